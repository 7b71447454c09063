"""Whether a line only holds the words of a known one: of the kernel, of somebody's mail, of what is over by now."""

from __future__ import annotations

import re

# Who writes the kernel's lines and systemd's: by their tags, by what dmesg puts before them, by what passes them on.
_HOST = re.compile(
    rb"""(?x) (?:^|[\s"|>]) (?:kernel|systemd[\w-]*|audit(?:d|ispd)?|dmesg|klogd|init|kern\s*|\([^()\s]{1,40}\))
        (?:\[\d{1,10}\])?\ ?:
    | \[\s{0,8}\d{1,9}\.\d{3,6}\]                           # the ring buffer's time
    | \bkernel-monitor\b | \bOOMKilling\b | "(?:kernel|kern|systemd)" """
)
# Another program's tag: with its process id; or behind the host, where syslog puts it.
_OTHERS = re.compile(
    rb"""(?x) (?:^|\s)(?!\d)[\w.@/-]{1,64}\[\d{1,10}\]:\ | ^(?:<\d{1,3}>)?
    (?:[A-Z][a-z]{2}\ [ \d]\d\ [\d:]{8} | \d{4}-\d\d-\d\dT\S{5,24})\ [\w.-]{1,64}\ [\w./-]{1,64}(?:\[\d{1,10}\])?:\ """
)
# What the kernel and systemd say first in a message.
_ALL_OF_IT = re.compile(
    rb"""(?x) "(?:(?:\S{1,80}\.(?:service|scope|socket|mount|slice|timer|target)
        | nf_conntrack | EXT[234]-fs | blk_\w{1,30} | (?:\w{1,30}_)?TCP | cgroup | watchdog):?\ )*$"""
)
# What opens the words of another. Of some it must stand right before them: programs make queries of their own.
_OPENED = re.compile(
    rb"""(?xi) \b(?:
        (?:subject|comment|title|note|ticket|review|feedback|tweet|caption|summary_text|user_?(?:text|message|input))
            (?:\ (?!fail|err)\w{1,16}){0,2}
      | (?:body|query|search(?:ed)?(?:\ for)?|q|text|phrase|keywords?)
      | (?:message|mail|post|reply|letter)\ (?:from|by|of)\ \S{1,60} | wrote | asked | commented | complained
    ) \\{0,3}["']? \s?[:=]?\s? (?: \\{0,3}"[^"]* | (?<=[\s:=])'[^']* ) $"""
)
# In a line in JSON these may be what its writer says, where no other field is.
_MAYBE_ITS_OWN = re.compile(rb"""(?i)"(?:text|body)" ?: ?"[^"]*$""")
_ITS_OWN = re.compile(rb'(?i)"(?:msg|message|event|@m|@mt)" ?:')
# So far before a match its quotation may begin.
_FAR = 400
_OVER = re.compile(
    rb"""(?xi)
      \b(?:retry|retries|attempt|retr(?:ied|ying))\b(?:\ (?:then|now|\#?\d+|was|has))?
        \ (?:succeeded|succe\w+ful\w*|worked|ok(?:ay)?\b|fine\b)
    | \b(?:then|now|but|and|finally|later)\ (?:it\ )?succeeded\b
    | \bsucceeded\ (?:on|at|after|in)\ (?:the\ )?(?:\w+\ )?(?:retry|attempt|try|\d)
    | \breconnected\b
    | \b(?:has|have|since|now|then|and|but|it|service|server|connection)\ recovered\b
    | [;,]\ recovered(?!["']?\s?[:=])\b
    | \bconnection\ (?:was\ |has\ been\ |is\ )?(?:re-?established|restored)\b
    | \b(?:is|are|was)\ back\ (?:up|online|again)\b"""
)
# Words before which that is yet to come, or never did.
_NOT_YET = re.compile(
    rb"(?i)(?:\b(?:when|until|till|if|unless|once|whether|before|after|no|not|never|none|cannot|wait\w*|to be)\b|n't)"
    rb"[^;,.]{0,40}$"
)
_HINTS = (b"succe", b"recover", b"reconnect", b"retr", b"attempt", b" back ", b"stored", b"established")
_TAIL = 400


def by_another(text: bytes, start: int) -> bool:
    """Whether what begins there would be the kernel's or systemd's, and this line is neither's."""
    head = text[:start]
    if _HOST.search(head) is not None or (text[:1] == b"{" and _HOST.search(text) is not None):
        return False
    if _OTHERS.search(head) is not None:
        return True
    from rbdiag.collect.log_levels import stated

    json = text[:1] == b"{"
    named = stated((text if json else head)[:1024].decode("utf-8", "replace")) != "none"
    # in JSON it may be passed on as all that a message says
    return named and not (json and _ALL_OF_IT.search(head))


def quoted(text: bytes, start: int) -> bool:
    """Whether what begins there stands in quotes behind a word for somebody's words: a subject, a comment, a search."""
    head = text[max(0, start - _FAR) : start]
    if b'"' not in head and b"'" not in head:
        return False
    if _OPENED.search(head) is None:
        return False
    return text[:1] != b"{" or _MAYBE_ITS_OWN.search(head) is None or _ITS_OWN.search(text) is not None


def over(text: bytes, end: int) -> bool:
    """Whether a line goes on to say, behind what went wrong, that it goes well by now."""
    tail = text[end : end + _TAIL]
    low = tail.lower()
    if not any(hint in low for hint in _HINTS) or (found := _OVER.search(tail)) is None:
        return False
    return _NOT_YET.search(tail, 0, found.start()) is None
