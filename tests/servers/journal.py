"""Journals of systemd without systemd: written by systemd-journal-remote, read by the real journalctl.

with Journal() as journal:
    journal.write(Entry(time.time() - 60, "connect: connection refused", unit="shop.service", pid=812, priority=3))
    os.environ["PATH"] = journal.path()       # whoever calls journalctl reads this journal
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

REMOTE = shutil.which("systemd-journal-remote", path="/usr/lib/systemd:/lib/systemd:/usr/bin")
JOURNALCTL = shutil.which("journalctl")


def missing() -> str | None:
    """Why no journal can be made here, or None."""
    if JOURNALCTL is None:
        return "needs journalctl (apt install systemd)"
    return None if REMOTE else "needs systemd-journal-remote (apt install systemd-journal-remote)"


@dataclass(frozen=True)
class Entry:
    """One entry: what a process of a unit wrote; with pid 1 what systemd itself says about the unit."""

    at: float
    message: str
    unit: str = "shop.service"
    pid: int = 812
    priority: int = 6
    identifier: str = ""

    def fields(self) -> dict[str, str]:
        found = {"PRIORITY": str(self.priority), "_PID": str(self.pid), "_TRANSPORT": "stdout", "_UID": "0"}
        found |= {"_SYSTEMD_UNIT": "init.scope", "UNIT": self.unit} if self.pid == 1 else {"_SYSTEMD_UNIT": self.unit}
        name = self.identifier or ("systemd" if self.pid == 1 else self.unit.partition(".")[0])
        return found | {"SYSLOG_IDENTIFIER": name, "_COMM": name, "MESSAGE": self.message}


class Journal:
    """A journal with a folder of its own, which is removed at the end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rbdiag-journal-"))
        self.files = self.folder / "journal"
        self.files.mkdir()
        self._boot, self._machine, self._written = uuid4().hex, uuid4().hex, 0
        self._booted = time.time() - 30 * 86400  # entries of one boot are ordered by the time since it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, *entries: Entry) -> None:
        """Write these entries, in this order, into a file of their own."""
        assert REMOTE is not None, missing()
        self._written += 1
        told = b"".join(self._exported(entry) for entry in entries)
        done = subprocess.run(
            [REMOTE, f"--output={self.files}/{self._written:04d}.journal", "-"],
            input=told, capture_output=True, timeout=60,
        )  # fmt: skip
        if done.returncode:
            raise OSError(f"{REMOTE} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")

    def path(self) -> str:
        """A PATH whose journalctl reads this journal, and no other."""
        assert JOURNALCTL is not None, missing()
        return first_in_path(self.folder / "bin", [JOURNALCTL, "-D", str(self.files)])

    def _exported(self, entry: Entry) -> bytes:
        """The entry in the export format, in which texts of several lines stand with their length before them."""
        head = {
            "__REALTIME_TIMESTAMP": f"{entry.at * 1e6:.0f}",
            "__MONOTONIC_TIMESTAMP": f"{(entry.at - self._booted) * 1e6:.0f}",
            "_BOOT_ID": self._boot, "_MACHINE_ID": self._machine, "_HOSTNAME": "app-1",
        }  # fmt: skip
        lines = b""
        for name, text in (head | entry.fields()).items():
            data = text.encode(errors="surrogateescape")
            if b"\n" in data:
                lines += name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
            else:
                lines += name.encode() + b"=" + data + b"\n"
        return lines + b"\n"


def first_in_path(folder: Path, argv: Sequence[str]) -> str:
    """A PATH in which `journalctl` is this command, made in the folder."""
    folder.mkdir(exist_ok=True)
    script = folder / "journalctl"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
    script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
