"""Strong words: what lines say that state no level, or a milder one, where something broke all the same."""

from __future__ import annotations

import re
from typing import NamedTuple


class Words(NamedTuple):
    """What to look for. A text that has, in lower case, none of the anchors has none of it: that costs far less."""

    anchors: tuple[str, ...]
    pattern: re.Pattern[str]


FATAL = Words(
    tuple("panic fatal segfault fault dumped illegal memory oom assertion killed".split()),
    re.compile(
        r"""(?xi) \bpanic:\  | \bkernel\ panic\b | \bfatal(?:\ error|\ exception|:) | \bsegfault\ at\b
    | \bsegmentation\ fault\b | \bcore\ dumped\b | \billegal\ instruction\b | \bout\ of\ memory\b
    | \bOutOfMemory(?:Error|Exception)\b | \boom-?kill(?:er|ed|ing)?\b | \bassertion\b.{0,200}\bfailed\b
    | \bline\ \d+:\ +\d+\ killed\b | (?-i:^[\d:.,TZ/+\[\]\ -]*[Kk]illed$)"""
    ),
)
ERROR = Words(
    (
        *"traceback exception error fail cannot can't unable could ora- tns- refused denied reset reject".split(),
        *"corrupt crashed abort unrecoverable".split(), "timed out", "no space", "broken pipe", "no such", "too many",
        "giving up", "already in use", "no route", "not known",
    ),
    re.compile(
    r"""(?xi) ^traceback\ \(most\ recent\ call\ last\)
    | \b(?:un(?:caught|handled)|fatal)\ (?:exception|error|promise|rejection)
    | \bexception\ (?:in|while|during|occurred|was\ thrown|caught)\b | (?-i:\b[A-Z]\w*(?:Exception|Error)):[ ]
    | \bfail(?:ed|ure|s)?[:.!]?(?=\ |$) | \bcannot\ \w+ | \bcan't\ \w+ | \bunable\ to\b | \bcould\ ?n(?:ot|'t)\ \w+
    | \berror(?:\ (?:in|while|during|when|on|from|at|code|occurred|reading|writing|opening|connecting|loading)\b|:|!|$)
    | \berror\ \d{2,5}\b | \bgot\ error\b | \bI/O\ error\b | \b(?:ORA|TNS)-\d{5}
    | \b(?:connection|access|permission|request|login)s?\ (?:was\ |were\ |has\ been\ )?
      (?:refused|denied|reset\ by\ peer|aborted|rejected)
    | \btimed\ out\b | \bno\ space\ left\ on\ device\b | \bbroken\ pipe\b | \bcorrupt(?:ed|ion)\b | \bno\ such\ file\b
    | \bcrashed\b | \babort(?:ed|ing)\b(?=[:.!\ ]|$) | \btoo\ many\ (?:open\ files|connections)\b
    | \bunrecoverable\b | \bgiving\ up\b | \baddress\ already\ in\ use\b | \bno\ route\ to\ host\b
    | \bname\ or\ service\ not\ known\b | \btemporary\ failure\ in\ name\ resolution\b"""
    ),
)  # fmt: skip
# What is written where something broke, and hardly elsewhere: by shells and linkers, supervisors and orchestrators,
# kernels, proxies, brokers and stores. An exit code of 130 or 143 is that of one who was asked to go.
BROKE = Words(
    (
        *"undefined exit code= died unexpectedly back-off backoff errimagepull failed createcontainer".split(),
        *"watermark read-only checksum magic unavailable exceeded exhausted unreachable lost expired".split(),
        *"deadlock x509 tls:".split(),
        *"econn etimedout ehost enet enotfound eai_again enospc emfile enfile enomem eaddr eacces erofs".split(),
        "not found", "syntax error", "by sig", "killed process", "nodenotready", "not responding", "blocked for",
        "lockup", "table full", "available", "is down", "limit alarm", "not discovered", "not elected", "bad file",
        "not permitted", "no healthy", "no live",
    ),
    re.compile(
    r"""(?xi) (?<=sh:\ )(?:(?:line\ )?\d+:\ )?[^:\s]{1,80}:\ (?:command\ )?not\ found\b
    | \bversion\ [`'"][^\s`'"]{1,80}['"]\ not\ found\b | \bundefined\ (?:symbol|reference)\b | \bsyntax\ error\b
    | \bexit(?:ed)?[ -]?(?:with\ )?(?:a\ |non-?zero\ |exit\ )?(?:code|status)(?:\ of\ |["']?\ ?[=:]\ ?|\ )
      (?!(?:130|143)\b)[1-9]\d{0,2}\b(?!;\ expected)
    | \bcode=exited,\ status=(?!(?:130|143)/)[1-9] | \bcode=dumped\b | \bcode=killed,\ status=(?:4|6|7|8|9|11)/
    | \b(?:terminated|killed)\ by\ (?:signal\ (?:6|7|9|11)\b|sig(?:kill|segv|abrt|bus)\b) | \bkilled\ process\ \d
    | \b(?:worker|process|child|thread|server|node|container|backend)\b.{0,40}\bdied\b | \bunexpectedly\ \w+ed\b
    | \b(?:closed|exited|terminated|died|stopped|disconnected)\b.{0,30}\bunexpectedly\b
    | \bback-off\ (?:re)?(?:starting|pulling)\b | \b(?:crashloop|imagepull)backoff\b | \berrimagepull\b
    | (?-i:\bFailed(?:Scheduling|Mount|AttachVolume|Create\w*|KillPod|Sync|Binding)\b | \bNodeNotReady\b)
    | \bcreatecontainer(?:config)?error\b
    | \bnot\ responding\b | \bblocked\ for\ more\ than\ \d | \bsoft\ lockup\b | \btable\ full\b
    | \bhas\ no\ server\ available\b | (?-i:\bis\ DOWN\b)
    | \bno\ (?:healthy|live|available)\ (?:upstream|server|backend|broker)s?\b | \blimit\ alarm\ set\b
    | \bwatermark\b.{0,80}\bexceeded\b | \b(?:master|leader)\ not\ (?:discovered|elected|available)\b
    | \bmarked\ read-only\b | \bremounting\ filesystem\ read-only\b | \bread-only\ file\ ?system\b
    | \bbad\ file\ (?:format|descriptor)\b | \b(?:bad|invalid)\ (?:magic|checksum)\b | \bchecksum\ mismatch\b
    | \b(?:service|temporarily|currently|is)\ unavailable\b | \b(?:deadline|quota)\ exceeded\b
    | \b(?:pool|memory|retries|attempts|ports|space|descriptors|inodes)\b.{0,30}\bexhausted\b
    | \b(?:host|network|server|node|peer|database|broker|upstream|backend|endpoint)s?\b.{0,40}\bunreachable\b
    | \blost\ connection\ to\b | \bconnection\ to\ \S{1,80}\ (?:was\ )?lost\b | \bcertificate\ (?:has\ |is\ )?expired\b
    | \bx509:\ | \btls:\ (?:bad|failed|no|server|client|handshake|unknown|unsupported|certificate|internal)\b
    | \bdeadlock\ (?:found|detected)\b | \boperation\ not\ permitted\b
    | (?-i:\bE(?:CONNREFUSED|TIMEDOUT|HOSTUNREACH|NETUNREACH|NOTFOUND|AI_AGAIN|NOSPC|MFILE|NFILE|NOMEM|ADDRINUSE|ACCES
      |ROFS)\b)"""
    ),
)  # fmt: skip
# What makes more of a warning than that.
_WARNED = Words(
    ("",),
    re.compile(
        r"""(?xi) \bfail(?:ed|ure|s)\b | \bdied\b | \b(?:was|were|been|got)\ killed\b | \bcrash(?:ed|ing)\b
    | \bcorrupt(?:ed|ion)\b | \bis\ (?:down|dead|unhealthy|full|gone)\b | \bunreachable\b | \bexhausted\b | \brefused\b
    | \brejected\b | \btimed[ -]out\b | \btime-?out\ (?:expired|exceeded|reached|after|waiting)\b
    | \b(?:limit|maximum|max_\w+|quota|capacity|threshold|deadline)\b.{0,60}\b(?:reached|exceeded|hit|exhausted)\b
    | \b(?:reached|exceeded|hit|exceeds)\b.{0,30}\b(?:limit|maximum|max_\w+|quota|capacity|deadline)\b
    | \bunable\ to\b | \bno\ space\ left\b | \bI/O\ error\b | \btoo\ many\ (?:open\ files|connections)\b
    | \bno\ route\ to\ host\b
    | \bcould\ ?n(?:ot|'t)\ be\ (?:established|reached|opened|written|read|loaded|delivered|resolved|connected)\b
    | \b(?:could\ ?n(?:ot|'t)|cannot|can't)\ (?:connect|reach|open|write|resolve|allocate|fork|acquire)\b
    | \b(?:may|is|are|was|were)\ not\ (?:be\ )?(?:available|reachable|accepting)\b | \bgiving\ up\b
    | \bdropp(?:ed|ing)\b | \bno\ longer\ (?:reachable|available|responding|responds)\b | \bevict(?:ed|ing)\b
    | (?-i:[Cc]ircuit\ ?[Bb]reaker\b.{0,60}\b(?:OPEN|TRIPPED)\b) | \blarger\ than\ the\ limit\b
    | \bmissed\ (?:\w+\ )?heartbeats?\b | \bdisk\ (?:is\ )?full\b | \b(?:has|certificate)\ expired\b"""
    ),
)
# What does no harm, and what clients and strangers do.
_HARMLESS = re.compile(
    r"(?i)\bdeprecat|\bignor(?:ed|ing)\b|\bskipp(?:ed|ing)\b|\b(?:using|to|the) defaults?\b|\bdefaulting\b|\boptional\b"
    r"|\bwill be removed\b|\baccess denied for user\b|\baborted connection\b|\bclient (?:\S+ )?\w+ed\b|\blogin fail"
    r"|\bresolve to address\b"
    r"|\binvalid (?:user|credentials|password|token|csrf)|\bfor (?:user|client)\b"
    r"|\b(?:retry|retries|attempt|fallback|failover|re-?connect\w*)\b.{0,20}\bsucceeded\b|\brecovered\b|\bsimulated\b"
)
# What a balancer calls a notice: its backend is gone.
_GONE = re.compile(r"\bhas no server available\b|\bis DOWN\b")
_NOT = re.compile(
    r"(?i)(?:\b(?:no|not|without|zero|never|non|ignoring|any|if|prevent(?:s|ed|ing)?|avoid(?:s|ed|ing)?|recovered from"
    r"|on)|n't|\b0+|[=:]\s*0)[\s:-]+$"
)
NONE_AFTER = re.compile(
    r"""(?xi)\w*["']?(?:(?:\s+(?:count|rate|total))?\s*[=:]\s*["'\[({]*
      (?:0+(?![.\d]*[1-9])\b|(?:none|null|nil|false)\b|[\]}]|-$)
    | \s+0+(?=\s*[%,;)\]|]|\s*$))"""
)
# What strangers do to every host that can be reached, and what a client did: no fault of this one.
_EVERY_DAY = re.compile(
    r"(?i)\bfailed (?:password|none|publickey|keyboard-interactive|login)\b|\bauthentication failures?\b|\[preauth\]"
    r"|\breverse mapping checking\b|\bPOSSIBLE BREAK-IN\b"
)
_REQUEST = re.compile(r'"[A-Z]{3,8} [^"]*" \d{3}\b')


def is_everyday(text: str) -> bool:
    """Whether a line tells of a request, or of what strangers do: whatever it says, nothing broke here."""
    return _REQUEST.search(text) is not None or _EVERY_DAY.search(text) is not None


def is_broken(text: str, notice: bool = False) -> bool:
    """Whether a warning says that something failed, died, was refused or is out of reach.

    `notice`: it calls itself less than that.
    """
    if notice:
        return _GONE.search(text) is not None
    if is_everyday(text) or _HARMLESS.search(text):
        return False
    return any(says(words, text) for words in (_WARNED, BROKE, FATAL))


def says(words: Words, text: str) -> bool:
    """Whether a text has these words, neither denied nor counted as none."""
    lower = text.lower()
    return any(anchor in lower for anchor in words.anchors) and any(
        not _NOT.search(text, max(0, found.start() - 24), found.start())
        and not NONE_AFTER.match(text, found.start() + len(found[0].rstrip(":.! ")))
        for found in words.pattern.finditer(text)
    )
