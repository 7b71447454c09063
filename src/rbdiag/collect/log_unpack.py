"""What the bytes of a log file are: text, packed text, wide text, or no log at all."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import IO, Any

from rbdiag.collect.log_parts import HEAD, Kept, Part
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.model import CannotLook, Gap

# So much of the end of what can only be read from its beginning is kept: packed files, streams.
KEEP = 64 << 20
_BLOCK = 1 << 20
_SAMPLE = 8192

# By their first bytes, for a name may say anything.
_PACKED = (
    (b"\x1f\x8b", "gzip"), (b"BZh", "bz2"), (b"\xfd7zXZ\0", "lzma"), (b"\x5d\0\0", "lzma"),
    (b"\x28\xb5\x2f\xfd", "zstd"), (b"PK\x03\x04", "zip"), (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x1f\x9d", "compress"), (b"7z\xbc\xaf", "7-Zip"), (b"\x89LZO", "lzop"),
)  # fmt: skip
_WIDE = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_KNOWN = (
    (b"\x7fELF", "an executable"), (b"\x89PNG", "an image"), (b"\xff\xd8\xff", "an image"), (b"GIF8", "an image"),
    (b"SQLite format 3\0", "a database"), (b"%PDF-", "a document"), (b"LPKSHHRH", "a journal file"),
)  # fmt: skip
# A crash leaves a hole of zeros in a text log; a binary file has its zeros in short runs.
_HOLE = re.compile(rb"\0{512,}")
_CONTROL = bytes(set(range(1, 32)) - set(b"\t\n\r\v\f\b\x1b\x1e\a")) + b"\x7f"
# Shares of a sample above which it is no text: zeros, and other control characters (random bytes have 0.1 of them).
_ZEROS, _CONTROLS = 0.1, 0.04


def packing(head: bytes) -> str:
    """How the file is packed, "" for not at all."""
    return next((name for magic, name in _PACKED if head.startswith(magic)), "")


def readable(part: Part, deadline: Deadline, keep: int = KEEP) -> tuple[Part, Gap | None]:
    """The same part as text: unpacked and decoded where it has to be; with a gap where something is missing of it.

    Raises CannotLook where it is no log. The part given is closed where another takes its place, or none.
    """
    try:
        how = packing(part.head)
        wide = next((codec for mark, codec in _WIDE if part.head.startswith(mark)), "")
        if not how and not wide:
            if reason := _no_text(part):
                raise CannotLook(reason)
            return part, None
        made, gap = _kept(part, _unpacked(part, how) if how else _decoded(part, wide), deadline, keep)
        if how and made.size and (reason := _no_text(made)):
            raise CannotLook(reason)
    except BaseException:
        part.close()
        raise
    part.close()
    return made, gap


def _kept(part: Part, blocks: Iterator[bytes], deadline: Deadline, keep: int) -> tuple[Kept, Gap | None]:
    """The end of what comes. What breaks off is given as far as it came, with the gap."""
    taken: deque[bytes] = deque()
    held = dropped = 0
    head = b""
    gap = None
    try:
        for block in blocks:
            deadline.left()
            if len(head) < HEAD:
                head = (head + block)[:HEAD]
            taken.append(block)
            held += len(block)
            while held - len(taken[0]) >= keep:
                held -= len(taken[0])
                dropped += len(taken.popleft())
    except OutOfTime:
        # What came is not its end but its beginning: older than what was asked for, and apart from it.
        raise CannotLook(
            Gap("deadline", f"{part.name} could not be unpacked in time", "give it more time: --deadline SECONDS")
        ) from None
    except _Broken as error:
        gap = Gap("failed", f"{part.name} is damaged: {error}", "unpack what can be: it was read up to there")
    return Kept(part.name, taken, part.written_at, dropped=dropped, head=head, inode=part.inode), gap


class _Broken(Exception):
    """A packed file that does not go on."""


class _Raw:
    """A part as a file object, as the libraries want it."""

    def __init__(self, part: Part) -> None:
        self._part, self._at = part, 0

    def read(self, length: int = -1) -> bytes:
        data = self._part.read(self._at, self._part.size - self._at if length < 0 else length)
        self._at += len(data)
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def _unpacked(part: Part, how: str) -> Iterator[bytes]:
    """The packed bytes, in blocks. Raises _Broken where it breaks off, CannotLook where nothing here can unpack it."""
    stream, broken = _stream(part, how)
    while True:
        try:
            # read1 gives what there is before it fails, read would keep it
            block = stream.read1(_BLOCK)
        except broken as error:
            raise _Broken(str(error) or type(error).__name__) from error
        if not block:
            return
        yield block


def _stream(part: Part, how: str) -> tuple[Any, tuple[type[Exception], ...]]:
    """A file object that unpacks, and what it raises where it cannot."""
    raw: IO[bytes] = _Raw(part)  # type: ignore[assignment]  # it has what they use
    if how == "gzip":
        import gzip
        import zlib

        return gzip.GzipFile(fileobj=raw, mode="rb"), (EOFError, OSError, zlib.error)
    if how == "bz2":
        import bz2

        return bz2.BZ2File(raw), (EOFError, OSError, ValueError)
    if how == "lzma":
        import lzma

        return lzma.LZMAFile(raw), (EOFError, OSError, lzma.LZMAError)
    if how == "zstd":
        from importlib import import_module

        try:
            zstd: Any = import_module("compression.zstd")  # Python 3.14
            return zstd.ZstdFile(raw), (EOFError, OSError, zstd.ZstdError)
        except ImportError:
            pass  # the library, then
        try:
            zstd = import_module("zstandard")
        except ImportError:
            raise CannotLook(
                Gap("missing", f"{part.name} is packed with zstd", f"pip install zstandard, or: zstd -d {part.name}")
            ) from None
        return zstd.ZstdDecompressor().stream_reader(raw, read_across_frames=True), (zstd.ZstdError, OSError)
    raise CannotLook(Gap("missing", f"{part.name} is packed with {how}, which we cannot unpack", "unpack it first"))


def _decoded(part: Part, codec: str) -> Iterator[bytes]:
    """UTF-16 as UTF-8, in blocks."""
    from codecs import getincrementaldecoder

    decoder = getincrementaldecoder(codec)("replace")
    for start in range(2, part.size, _BLOCK):
        yield decoder.decode(part.read(start, _BLOCK)).encode("utf-8", "replace")


def _no_text(part: Part) -> Gap | None:
    """Why this is no text; None where it is."""
    head = part.head[:HEAD]
    if what := next((what for magic, what in _KNOWN if head.startswith(magic)), ""):
        unlock = f"journalctl --file {part.name} | rbdiag logs -" if what == "a journal file" else "name a log"
        return Gap("failed", f"{part.name} is {what}, no log", unlock)
    samples = [part.read(0, _SAMPLE)]
    if part.size > _SAMPLE:
        samples.append(part.read(max(_SAMPLE, part.size - _SAMPLE), _SAMPLE))
    samples = [_HOLE.sub(b"", sample).strip(b"\0") for sample in samples]
    if part.size and not any(samples):
        return Gap("failed", f"{part.name} holds nothing but zeros", "name a log")
    if any(_is_binary(sample) for sample in samples if sample):
        return Gap("failed", f"{part.name} is binary, no log", "name a log")
    return None


def _is_binary(sample: bytes) -> bool:
    zeros = sample.count(0)
    controls = len(sample) - zeros - len(sample.translate(None, _CONTROL + b"\0"))
    return zeros > _ZEROS * len(sample) or controls > _CONTROLS * len(sample)
