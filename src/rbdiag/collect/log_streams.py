"""Logs that are no files: standard input, and the journal as lines of text."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import NamedTuple

from rbdiag.collect.log_parts import HEAD, File, Kept, Part
from rbdiag.collect.log_unpack import KEEP
from rbdiag.deadline import Deadline
from rbdiag.model import CannotLook, Gap

# Which part of the time left we listen to a stream, and to journalctl.
_LISTEN, _JOURNAL_SHARE = 0.6, 0.4
# Where journald is, this is too.
_RUNS = "/run/systemd/journal"
_JOURNAL_BYTES = 32 << 20
# Where nothing was written since, so many last records are taken; and where the window's were too many in the time.
_LAST_RECORDS = 2000
# syslog(3): what the numbers mean.
_PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_FIELDS = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_COMM,_PID,SYSLOG_PID,_TRANSPORT"

# Standard input.


def stream(fd: int, name: str, deadline: Deadline, keep: int = KEEP) -> tuple[Part, Gap | None]:
    """What comes from a stream until it ends, or until it has taken its part of the time: then with a gap.

    Raises CannotLook for a terminal, and OSError where there is no such stream.
    """
    about = os.fstat(fd)
    if stat.S_ISREG(about.st_mode):
        return File(name, name, os.dup(fd)), None
    if stat.S_ISDIR(about.st_mode) or os.isatty(fd):
        what = "a directory" if stat.S_ISDIR(about.st_mode) else "a terminal"
        raise CannotLook(Gap("skipped", f"{name} is {what}", "pipe a log into it: … | rbdiag logs -"))
    end = time.monotonic() + deadline.left() * _LISTEN
    data, head, dropped = bytearray(), b"", 0
    gap = None
    while True:
        left = end - time.monotonic()
        if left <= 0 or not is_ready(fd, left):
            gap = Gap("deadline", f"{name} did not end: what came until then was read", "give it more time: --deadline")
            break
        try:
            block = os.read(fd, 1 << 20)
        except BlockingIOError:
            continue  # somebody else who has the other end of it was faster
        if not block:
            break
        data += block
        if len(data) > keep + (8 << 20):  # not for each block: it may move all that is kept
            head = head or bytes(data[:HEAD])
            dropped += len(data) - keep
            del data[:-keep]
    return Kept(name, (data,), dropped=dropped, head=head or None), gap


def is_ready(fd: int, seconds: float) -> bool:
    """Whether something came, or the end of it, within so many seconds."""
    from select import POLLIN, poll

    ready = poll()
    ready.register(fd, POLLIN)
    return bool(ready.poll(seconds * 1000))


# The journal.


class Journal(Kept):
    """Records of the journal as lines of text. `cursor` is the last one's place in the journal, "" for none."""

    def __init__(self, name: str, records: list[Record], dropped: int) -> None:
        data = bytearray()
        self._ends: list[tuple[str, float, int]] = []
        for record in records:
            data += record.line
            self._ends.append((record.cursor, record.at, len(data)))
        super().__init__(name, (data,), dropped=dropped)
        self.cursor, self.at = self._ends[-1][:2] if self._ends else ("", 0.0)

    def after(self, cursor: str, at: float) -> int:
        """Where begins what came after the record with this cursor and time."""
        for known, _, end in reversed(self._ends):
            if known == cursor:
                return end
        return next((end for _, own, end in reversed(self._ends) if own <= at), 0)


class Record(NamedTuple):
    """One record of the journal: its place, its time, and its text with a newline at its end."""

    cursor: str
    at: float
    line: bytes


def journal(which: list[str], name: str, since: float, deadline: Deadline) -> Journal:
    """What the journal holds of a unit (`-u`, UNIT) or process (`_PID=…`) since then; where that is nothing, the last.

    Raises CannotLook where there is no journal, it is not ours to read, or it holds nothing.
    """
    argv = [*journalctl(), *which, "--reverse"]
    end = Deadline(deadline.left() * _JOURNAL_SHARE)
    found, dropped = _ask([*argv, "--since", f"@{since:.0f}"], name, end)
    if not found:
        found, more = _ask([*argv, "-n", str(_LAST_RECORDS)], name, deadline)
        dropped = dropped or more
    if not found:
        if os.geteuid() != 0:
            raise CannotLook(
                Gap("forbidden", f"we see nothing in the {name}", "run as root, or join the group systemd-journal")
            )
        raise CannotLook(Gap("missing", f"there is nothing in the {name}", "see whether the name is right: systemctl"))
    return Journal(name, found[::-1], dropped)


def journalctl() -> list[str]:
    """How the journal is asked. Raises CannotLook where there is none."""
    from rbdiag.collect import programs

    program = programs.find("journalctl")
    if program is None or not os.path.isdir(_RUNS):
        raise CannotLook(Gap("missing", "there is no journal here", "give the log file: rbdiag logs FILE"))
    # --all: without it a long message comes as null
    return [program, "-o", "json", "--all", "--no-pager", "-q", f"--output-fields={_FIELDS}"]


def _ask(argv: list[str], name: str, deadline: Deadline) -> tuple[list[Record], int]:
    """The records, the newest first, and 1 where older ones were left out."""
    from rbdiag.collect import programs
    from rbdiag.deadline import OutOfTime

    try:
        done = programs.call(argv, deadline, max_bytes=_JOURNAL_BYTES)
    except OutOfTime:
        if "-n" in argv:
            raise
        return [], 1  # too many: the last of them will do
    if done.status != 0 and not done.cut:
        why = done.stderr.decode(errors="replace").strip()[:200]
        raise CannotLook(
            Gap("forbidden" if os.geteuid() else "failed", f"the {name} cannot be read: {why}", "run as root")
        )
    return list(records(done.stdout.split(b"\n"))), int(done.cut)


def records(lines: list[bytes]) -> Iterator[Record]:
    """Records of `journalctl -o json`. A line that is none, or was cut off, is left out."""
    import json

    for line in lines:
        try:
            fields = json.loads(line)
            at = int(fields["__REALTIME_TIMESTAMP"])
            record = Record(str(fields.get("__CURSOR") or ""), at / 1e6, _rendered(fields, at))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, OSError):
            continue  # no object, no time, or a time that no calendar has
        yield record


def _rendered(fields: dict[str, object], at: int) -> bytes:
    """`TIME <PRIORITY> IDENTIFIER[PID]: MESSAGE`; further lines of the message begin with a tab.

    What goes to the journal through standard output has the priority `info` from systemd, not from its writer: it is
    left out.
    """
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1_000_000)) + f".{at % 1_000_000:06d}+00:00"
    who = _text(fields.get("SYSLOG_IDENTIFIER") or fields.get("_COMM") or "")
    pid = _text(fields.get("_PID") or fields.get("SYSLOG_PID") or "")
    number = _text(fields.get("PRIORITY") or "")
    word = f"<{_PRIORITIES[int(number)]}>" if number in tuple("01234567") else ""
    if word == "<info>" and fields.get("_TRANSPORT") == "stdout":
        word = ""
    message = _text(fields.get("MESSAGE") or "").rstrip("\r\n").replace("\n", "\n\t")
    begin = " ".join(part for part in (when, word, (f"{who}[{pid}]:" if pid else f"{who}:") if who else "") if part)
    return f"{begin} {message}\n".encode("utf-8", "replace")


def _text(value: object) -> str:
    """A field as text: one that is no clean text comes as a list of its bytes, a repeated one as a list of texts."""
    if isinstance(value, list):
        if all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):
            return bytes(value).decode("utf-8", "backslashreplace")
        return " ".join(_text(part) for part in value)
    return str(value)
