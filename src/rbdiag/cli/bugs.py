"""A bug in rbdiag: one sentence for the person, and a file with the details for whoever mends it."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from rbdiag import __version__
from rbdiag.cli.streams import say
from rbdiag.redact import redact


def tell(bugs: Iterable[tuple[str, BaseException]]) -> str:
    """Write down each (where, error) and say so in one sentence, which is also returned."""
    met = list(bugs)
    what = ", ".join(f"{type(error).__name__} in {where}" for where, error in met)
    sentence = f"a bug in rbdiag ({what}), {_write_down(met)}"
    say(sentence)
    return sentence


def _write_down(met: list[tuple[str, BaseException]]) -> str:
    text = f"rbdiag {__version__}, {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}\n"
    for where, error in met:
        text += f"\nin {where}:\n{''.join(traceback.format_exception(error))}"
    # An error may quote what it choked on.
    data = redact(text).encode(errors="backslashreplace")
    # The same bug writes the same file, so that a run every minute does not fill the disk.
    places = [(error.__traceback__, type(error)) for _, error in met]
    frames = [(f.f_code.co_filename, line, kind.__name__) for tb, kind in places for f, line in traceback.walk_tb(tb)]
    name = f"bug-{sha256(repr(frames).encode()).hexdigest()[:8]}.txt"
    try:
        return f"the details are in {_write(state_directory() / name, data)}"
    except OSError:
        pass  # no home, read-only, full: the temporary directory may do
    try:
        return f"the details are in {_write_temporary(data)}"
    except OSError as error:
        last = traceback.extract_tb(met[0][1].__traceback__)[-1]
        return f"at {last.filename}:{last.lineno}; the details could not be written: {error.strerror}"


def state_directory() -> Path:
    """Where rbdiag may keep things of its own. An empty or relative XDG path does not count, as XDG says."""
    asked = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(asked):
        return Path(asked) / "rbdiag"
    return Path("/var/lib/rbdiag") if os.geteuid() == 0 else Path(os.path.expanduser("~/.local/state/rbdiag"))


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Nobody but the owner reads it, and a link that somebody put there is not followed.
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(number, "wb") as file:
        file.write(data)
    return path


def _write_temporary(data: bytes) -> str:
    from tempfile import mkstemp

    number, path = mkstemp(prefix="rbdiag-bug-", suffix=".txt")
    with os.fdopen(number, "wb") as file:
        file.write(data)
    return path
