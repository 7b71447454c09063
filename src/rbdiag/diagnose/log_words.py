"""What a line of a log says of itself: who wrote it, what it names, how a person would find it again, and in short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote
from typing import NamedTuple

from rbdiag.facts.logs import LogKnown, LogTemplate, LogTrace, LogWindow
from rbdiag.model import Step

# Patterns are compiled when they are first needed, and kept by `re`: most runs read no log.
# How the system's loggers begin a line: the host, then the program that wrote it, with its pid unless it is the kernel.
_TAGGED = (
    r"(?:<\d{1,3}>(?:1 )?)?(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? |\d{4}-\d\d-\d\dT\S{8,26} )?(?:[\w.:-]{1,64} )?"
    r"(?:([A-Za-z][\w./@-]{0,40})\[\d{1,9}\]|(kernel)): "
)
# Words of paths that name no program.
_NOBODY = frozenset(
    "access access_log app application console current daemon debug default err error error_log errors general info journal kern kernel "
    "log logs main messages out output server service stderr stdout syslog trace warn".split()
)
_ENDINGS = ("log", ".out", ".err")
_GREP = {".gz": "zgrep", ".xz": "xzgrep", ".zst": "zstdgrep", ".bz2": "bzgrep"}
# What of a line can be searched for as it stands: words, without numbers, quotes, or what was masked in it.
_WORDS = r"[A-Za-z(][A-Za-z(),.;:_ -]{5,}"
_SEARCHED = 60
# A shape with less to it than this fits anything.
_TELLING = 8
_URL = r"(?:https?|fastcgi|uwsgi|grpc|tcp)://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?"
# An address that the one who wrote the line connects to or listens on: `client:` and `host:` of nginx name its own callers.
_UPSTREAM = r'upstream: "([^"]{1,300})"'
_ADDRESS = r"(?<![\w.:])(\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:]{2,39}\]|localhost)['\"]?(?::|, ?)(\d{2,5})(?![\d:.])"
_CALLER = r'(?:client|server|host|referrer): "?[^",]{0,300}"?'
_REQUEST = r'"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (/[^ "?]{0,300})'
# What of a line fits into a sentence; the whole stands in the evidence.
_BODY = 140
# What stands before the message: times, pids, threads and levels, in brackets or not.
_HEAD = (
    r"(?:[\s\"\]:,|-]+|[\[(<][^\])>]{0,60}[\])>]:?|#?\d[\d:.,TZ/+-]*[\]#:]?(?=[\s\]])"
    r"|(?:level=)?(?:ERROR|FATAL|CRITICAL|SEVERE|error|fatal)\b:?)+"
)
# Of a record of JSON the words for a person.
_MESSAGE = r'"(?:msg|message|event|error|err)": ?"((?:[^"\\]|\\.){1,300})"'


class Voice(NamedTuple):
    """Who wrote a line: `program` where the log is written by many and names it, "" else; `token` stands for this writer
    in this log, and is what two findings about one writer share."""

    token: str
    program: str


def voice(log_name: str, text: str) -> Voice:
    tagged = re.match(_TAGGED, text)
    if tagged is None:
        return Voice(log_name, "")
    program = (tagged[1] or tagged[2]).rpartition("/")[2]
    return Voice(f"{log_name}: {program}", program)


def untagged(text: str) -> str:
    """A line without what the system's logger put before it."""
    tagged = re.match(_TAGGED, text)
    return text[tagged.end() :] if tagged else text


def speaker(log_name: str, text: str, window: LogWindow | None) -> str:
    """Who says it, as a person would call him: the program, the unit, or the log itself."""
    if program := voice(log_name, text).program:
        return program
    if window is not None and window.owner:
        return window.owner.removesuffix(".service")
    *folders, name = log_name.split("/")
    stem = re.sub(
        r"[_-](?:access|error|out|err)$", "", re.sub(r"(?:\.(?:log|out|err|gz|xz|bz2|zst|old|\d{1,3}))+$", "", name)
    )
    # a folder elsewhere may have any name
    above = folders[3:] if folders[:3] == ["", "var", "log"] else []
    for word in (stem, *reversed(above)):
        if word and word.lower() not in _NOBODY and not word.isdigit() and name.endswith(_ENDINGS):
            return word
    return log_name


def read_lines(window: LogWindow | None, log_name: str, text: str) -> Iterator[Step]:
    """The command that shows such lines in the log itself."""
    # nginx ends its lines with what the client asked for
    text = text.partition(", client: ")[0]
    words = max((found.group().strip() for found in re.finditer(_WORDS, text)), key=len, default="")
    if len(words) > _SEARCHED:
        words = words[:_SEARCHED].rpartition(" ")[0] or words[:_SEARCHED]
    search = f"-F -e {quote(words)}" if len(words) >= 6 else ""
    if log_name.startswith("journal of "):
        what = log_name.removeprefix("journal of ")
        chosen = f"_PID={what.removeprefix('pid ')}" if what.removeprefix("pid ").isdigit() else f"-u {quote(what)}"
        begin = f" --since @{window.since:.0f}" if window is not None and window.since is not None else ""
        command = f"journalctl {chosen}{begin} --no-pager" + (f" | grep {search}" if search else "")
        yield Step("read these lines", f"{command} | tail -n 20")
    elif log_name != "standard input":
        file = file_of(log_name, window)
        tool = next((grep for ending, grep in _GREP.items() if file.endswith(ending)), "grep")
        yield Step(
            "read these lines",
            f"{tool} -an {search} {quote(file)} | tail -n 20" if search else f"tail -n 50 {quote(file)}",
        )


def file_of(log_name: str, window: LogWindow | None) -> str:
    """The file that is written to now; it can be no option."""
    file = window.parts[-1] if window is not None and window.parts else log_name
    return f"./{file}" if file.startswith("-") else file


def shaped(template: str, text: str) -> bool:
    """Whether a line has this shape: all that does not vary stands in it, in this order."""
    place = 0
    for part in template.split("*"):
        place = text.find(part.strip(), place)
        if place < 0:
            return False
        place += len(part.strip())
    return len(template.replace("*", "").strip()) >= _TELLING


def same_line(template: LogTemplate, known: LogKnown) -> bool:
    """Whether a shape is that of lines which the catalogue knows."""
    return template.subject == known.subject and (
        template.sample == known.text or shaped(template.template, known.text)
    )


def told(trace: LogTrace) -> str:
    """An exception in a sentence: what, and where in the program's own code."""
    what = f"{trace.exception}: {trace.message}" if trace.message else trace.exception
    return f"{what} at {trace.frame or trace.top}" if trace.frame or trace.top else what


def times_written(count: int) -> str:
    return f"{count:,} lines" if count != 1 else "one line"


def and_more(count: int) -> str:
    """How many kinds there are beside the one that is named."""
    return "" if count < 2 else "; and another kind" if count == 2 else f"; and {count - 1} more kinds"


def short_name(name: str) -> str:
    """What a line is about without what varies from one request to the next: of a URL the server, of a path all."""
    found = re.match(_URL, name)
    return found.group() if found else name


def subjects(name: str, text: str) -> set[str]:
    """What another log may name as well: hosts with ports, sockets, units, programs, files."""
    found = {short_name(name), name.removesuffix(".service"), name.partition("[")[0]} if name else set()
    upstream = re.search(_UPSTREAM, text)
    for words in (name, upstream[1] if upstream else "", re.sub(_CALLER, "", text)):
        if url := re.match(_URL, words):
            found.add(f"{url[1]}:{url[2] or (443 if words.startswith('https') else 80)}")
        found |= {f"{address[1]}:{address[2]}" for address in re.finditer(_ADDRESS, words)}
    return found - {""}


def address(name: str, text: str) -> tuple[str, int] | None:
    """The host and port that a line is about, None where it names none."""
    for subject in sorted(subjects(name, text)):
        host, _, port = subject.rpartition(":")
        # `http://unix:` is a socket, and a name without a dot and a port of its own that of a group of servers
        group = "." not in host and host != "localhost" and f"{host}:{port}" not in f"{name} {text}"
        if port.isdigit() and host and "/" not in host and host != "unix" and not group and 0 < int(port) < 65536:
            return host, int(port)
    return None


def requested(text: str) -> list[str]:
    """The paths of the requests that a line is about."""
    return [found[1] for found in re.finditer(_REQUEST, text)]


def like(template: str, path: str) -> bool:
    """Whether a path is of this shape, in which * stands for anything within one segment."""
    shape = template.partition(" ")[2] or template if template[:1].isupper() else template
    parts, ours = shape.split("/"), path.split("/")
    return len(parts) == len(ours) and all(p == o or "*" in p for p, o in zip(parts, ours, strict=True))


def body(sample: str) -> str:
    """The message of a line, without what its writer and the loggers put before it, as long as fits into a sentence."""
    if sample.startswith("{") and (said := re.search(_MESSAGE, sample)):
        text = said[1]
    else:
        text = untagged(sample)
        head = re.match(_HEAD, text)
        text = text[head.end() if head else 0 :].strip() or sample
    return text if len(text) <= _BODY else f"{text[:_BODY].rstrip()}…"
