"""Traces whose frames begin with `at`: of the Java virtual machine, of Node.js, and of .NET."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rbdiag.collect.log_trace_frames import Frame, Link, Trace, own_file, own_name, trace_of

# What stands in brackets of a frame of Java tells it from the others.
_JAVA = re.compile(
    r"\s*at (?:[\w.$@ -]*/)*([\w.$<>/-]+)\.([\w$<>-]+)"
    r"\(((?:[\w.$@+-]+/)?"
    r"(?:[\w$-]+\.(?:java|kts?|scala|groovy|clj|sc)(?::-?(\d+))?|Native Method|Unknown Source|<generated>))\)"
)
_NODE = re.compile(
    r"\s*at (?:(?:async )?(?:(new )?([^\s()]+(?: \[as [^\]]*\])?|Array\.\w+(?: \(\w+ \d+\))?) )?\(?"
    r"((?:file://|node:|webpack[\w-]*:|https?:|[A-Za-z]:[\\/])?[^\s():]*):(\d+)(?::\d+)?\)?"
    r"|(?:async )?(?:new )?(\S+) \((?:<anonymous>|native|index \d+)\))\s*,?(?: \{)?\s*\Z"
)
_DOTNET = re.compile(r"\s*at ([\w.`<>+|$\[\], &]+?)\(([^()]*(?:\([^()]*\))?[^()]*)\)(?: in (.+):line (\d+))?\s*\Z")
_MORE = re.compile(r"\s*\.\.\. \d+")

# An exception's type: with its packages, or with a name that says what it is.
_TYPE = r"(?:[A-Za-z_$][\w$]*\.)+[A-Z_$][\w$]*|[A-Z][\w$]*(?:Exception|Error|Throwable|Failure|Fault)(?:\$\w+)?"
_JAVA_HEAD = re.compile(rf"({_TYPE}|[A-Z][\w$]*\$[A-Z][\w$]*)(?:: ?(.*)|\s*)\Z")
_JAVA_FIRST = re.compile(rf'(?:^|(?<=[\s"\'(:\]>|=]))({_TYPE})(?:: (.*)|[\s"]*)\Z')
_IN_THREAD = re.compile(r'.*?Exception in thread "[^"]*" ')
_CAUSE = re.compile(r"\s*(Caused by|Suppressed|Wrapped by|Causing): (?:\[CIRCULAR REFERENCE: ?)?(.*)")

_NODE_TYPE = r"(?:[A-Za-z_$][\w$]*\.)*[A-Z][\w$]*(?:Error|Exception|Rejection|Failure|Timeout|Fault)\d*|Error"
_NODE_HEAD = re.compile(rf"(?:^|(?<=[\s\[:>\](\"'|=]))((?:{_NODE_TYPE})(?: \[\w+\])?)(?:: (.*)|[\s\]{{]*)\Z")
_NODE_BARE = re.compile(r"([A-Z][\w$]*(?: \[\w+\])?): (.*)\Z")
_NODE_WRAPS = re.compile(r"(?:UnhandledPromiseRejectionWarning|PromiseRejectionHandledWarning)\Z")
_PLACE = re.compile(r"((?:file://)?/\S+):(\d+)\Z")
_WARNS = re.compile(r"\(node:\d+\) (?!UnhandledPromiseRejection)|\(Use `node |^\s*Trace(?::|$)|DeprecationWarning: ")
_INNER = re.compile(r"\s*(?:\[cause\]: |Caused by: |\[errors\]: \[)")

_DOTNET_HEAD = re.compile(
    r"(?:^|(?<=[\s:\"]))((?:[A-Z_]\w*[.+])*[A-Z_][\w`]*(?:Exception|Error|Failure)|(?:[A-Z_]\w*[.+])+[A-Z_][\w`]*)"
    r"(?: \((?:0x)?[0-9A-Fa-f]+\))?: (.*)\Z"
)
# How many lines a message may have between an exception's own line and its first frame.
_ABOVE = 12


def read(lines: Sequence[str]) -> Trace | None:
    """The trace in these lines, in whichever of the three languages its first frame is."""
    for line in lines:
        if "at " not in line:
            continue
        if _JAVA.match(line):
            return _java(lines)
        if _NODE.match(line):
            return _node(lines)
        if _DOTNET.match(line):
            return _dotnet(lines)
    return None


def _java(lines: Sequence[str]) -> Trace | None:
    chain: list[Link] = []
    head: tuple[str, str] | None = None
    frames: list[Frame] = []
    quiet = False  # inside what was suppressed: it came later than what is told
    last: str | None = None
    reverse = False
    above: list[str] = []
    for line in lines:
        if found := _JAVA.match(line):
            if head is None and not chain:
                head = _java_first(above)
                if head is None:
                    return None
            if not quiet:
                name = found[1].replace("/", ".")
                file = found[3].rpartition("/")[2].partition(":")[0]
                told = "." in file and " " not in file
                foreign = not own_name("java", name + ".") or file == "<generated>"
                frames.append(
                    Frame(file if told else "", int((found[4] or "0")[:9]), f"{name}.{found[2]}", not foreign)
                )
            above = []
        elif cause := _CAUSE.match(line):
            quiet = cause[1] == "Suppressed"
            if not quiet:
                if head is None and not chain:
                    head = _java_first(above)
                if head is not None and "CIRCULAR REFERENCE" not in line:
                    chain.append(Link(*head, frames))
                    found_head = _JAVA_HEAD.match(cause[2])
                    head = (found_head[1], found_head[2] or "") if found_head else ("", cause[2])
                    frames, last = [], cause[1]
                    reverse = reverse or last == "Wrapped by"
            above = []
        elif not _MORE.match(line):
            above.append(line)
    if head is not None:
        chain.append(Link(*head, frames))
    return trace_of("java", chain if reverse else chain[::-1])


def _java_first(above: Sequence[str]) -> tuple[str, str] | None:
    """The exception's own line above its first frame; a message may have more lines."""
    below = above[-_ABOVE:][::-1]
    for line in below:
        if begins := _IN_THREAD.match(line):
            name, _, message = line[begins.end() :].partition(": ")
            return name.strip(), message
    for line in below:
        # of a thread in a dump its state stands here
        if "java.lang.Thread.State" in line:
            return None
        if found := _JAVA_HEAD.match(line.strip()):
            return found[1], found[2] or ""
    return next(((found[1], found[2] or "") for line in below if (found := _JAVA_FIRST.search(line))), None)


def _node(lines: Sequence[str]) -> Trace | None:
    chain: list[Link] = []
    head: tuple[str, str] | None = None
    frames: list[Frame] = []
    above: list[str] = []
    gathers = False
    for line in lines:
        if (found := _NODE.match(line)) is not None:
            if above and (begun := _node_head(above, first=not chain and head is None)) is not None:
                if head is not None:
                    chain.append(Link(*head, frames))
                    frames = []
                head = begun
            elif head is None:
                return None
            above = []
            frames.append(_node_frame(found))
        else:
            gathers = gathers or "[errors]: [" in line
            above.append(line)
    if head is not None:
        chain.append(Link(*head, frames))
    # What cannot be compiled has no frame of its own: where it is stands above.
    if head is not None and head[0] == "SyntaxError" and (place := _PLACE.match(lines[0])):
        file = place[1].removeprefix("file://")
        chain[-1:] = [Link(*head, [*frames, Frame(file, int(place[2][:9]), "", own_file("node", file))])]
    # Of several that failed alike the first tells; of a cause of a cause the last.
    if gathers and len(chain) > 1:
        first = 1 if chain[0].exception.startswith("Aggregate") else 0
        return trace_of("node", [chain[first], *chain[:first], *chain[first + 1 :]])
    return trace_of("node", chain[::-1])


def _node_head(above: Sequence[str], *, first: bool) -> tuple[str, str] | None:
    for line in above[-_ABOVE:][::-1]:
        if first and _WARNS.search(line):
            return None
        text = _INNER.sub("", line, count=1).strip() if line.startswith((" ", "\t")) else line.rstrip()
        if text.startswith(("Emitted 'error'", "- ")) or not text:
            continue
        if not first and not (line.startswith((" ", "\t")) or text is not line):
            continue
        found = _NODE_BARE.match(text)
        if found is None or found[1] == "Uncaught":
            found = _NODE_HEAD.search(text)
        while found is not None and _NODE_WRAPS.match(found[1]) and (inner := _NODE_HEAD.match(found[2] or "")):
            found = inner
        if found is not None:
            return found[1], (found[2] or "").rstrip(" {]") if found[2] else ""
    return None


def _node_frame(found: re.Match[str]) -> Frame:
    if found[5]:
        return Frame("", 0, found[5], False)
    file = found[3].removeprefix("file://")
    function = (found[2] or "").split(" [as ")[0].removesuffix(" (index 0)")
    return Frame(file, int(found[4][:9]), function, own_file("node", file))


def _dotnet(lines: Sequence[str]) -> Trace | None:
    heads: list[tuple[str, str]] = []
    sections: list[list[Frame]] = [[]]
    for line in lines:
        if "--- End of inner" in line:
            sections.append([])
        elif (found := _DOTNET.match(line)) is not None and line.lstrip().startswith("at "):
            name = found[1].strip()
            sections[-1].append(Frame(found[3] or "", int((found[4] or "0")[:9]), name, own_name("dotnet", name)))
        elif not any(sections):
            parts = re.split(r"(?:^|\s)---> (?:\(Inner Exception #\d+\) )?", line)
            for part in parts if len(parts) > 1 or not heads else ():
                if (head := _DOTNET_HEAD.search(part)) is not None:
                    heads.append((head[1], head[2]))
    if not heads or not any(sections):
        return None
    # inner exceptions come last by name and first by frames
    chain = [Link(*head, sections[i] if i < len(sections) else ()) for i, head in enumerate(heads[::-1])]
    return trace_of("dotnet", chain)
