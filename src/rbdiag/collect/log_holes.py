"""Holes in logs: stretches of NULs that nobody wrote.

A crash leaves one behind the last line, and a writer that does not append leaves one before the first, when its file
is emptied under it (logrotate's copytruncate): it goes on where it was.
"""

from __future__ import annotations

import os

from rbdiag.collect.log_parts import File, Part

# Shorter holes are read over. Of a file so many are asked for: one that is written in steps may have thousands.
LEAST, _MOST = 1 << 20, 1000
_ZEROS = bytes(LEAST)


def is_hole(data: bytes) -> bool:
    """Whether there is nothing but NULs in these bytes, of which there are at most LEAST."""
    return data == _ZEROS[: len(data)]


def holes(part: Part) -> list[tuple[int, int]]:
    """Where the long holes of a file begin and end, as far as its file system knows of them; they cost no reading."""
    if not isinstance(part, File):
        return []
    number, found = part.fileno(), list[tuple[int, int]]()
    if os.fstat(number).st_blocks * 512 > part.size - LEAST:
        return []
    # of standard input the place is not ours alone
    place = os.lseek(number, 0, os.SEEK_CUR)
    try:
        start = os.lseek(number, 0, os.SEEK_HOLE)
        for _ in range(_MOST):
            if start >= part.size:
                break
            end = _data_from(number, start, part.size)
            if end - start >= LEAST:
                found.append((start, end))
            start = part.size if end >= part.size else os.lseek(number, end, os.SEEK_HOLE)
    except OSError:
        found = []  # emptied meanwhile, or a file system that cannot tell: then the holes are read
    finally:
        os.lseek(number, place, os.SEEK_SET)
    # what was emptied under us is read elsewhere, and its holes are no holes there
    return found if part.same() else []


def _data_from(number: int, start: int, size: int) -> int:
    try:
        return min(size, os.lseek(number, start, os.SEEK_DATA))
    except OSError as error:
        import errno

        if error.errno == errno.ENXIO:  # nothing behind it
            return size
        raise
