"""Finding, in blocks of a log, the lines that may have a known pattern: three engines, one answer.

All look for the patterns' anchors without regard to case; which pattern a line has is for `Matcher.confirm`.
`hyperscan` is by far the fastest and comes with the extra `fast`; `grep` is on every server; `python` needs nothing.
"""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from rbdiag.collect.log_patterns import Matcher

if TYPE_CHECKING:
    from rbdiag.deadline import Deadline

Engine = Literal["hyperscan", "grep", "python"]
# Forces an engine, for comparing them.
VARIABLE = "RBDIAG_LOG_ENGINE"
# Below these sizes an engine's start costs more than it saves (measured: 15 ms; 4 ms for each batch).
_HYPERSCAN_FROM, _GREP_FROM = 256 << 10, 512 << 10
# From here on it pays to keep the memory of blocks; as much as glibc lets itself be taught.
_MUCH, _KEPT = 8 << 20, 31 << 20
# What one call of grep gets, and how much it may say of it: of more hits than that, looking ourselves is no slower.
_BATCH, _SAID = 8 << 20, 2 << 20
# Blocks that are scanned beside the one whose lines are being looked at, and in how many threads.
_AHEAD, _THREADS = 3, 2
# Beyond so many hits in a block the threads that report them would wait for each other.
_STORM = 64
# A hit is a number: where it ends, and which anchor it is, in so many bits.
_BITS = 12
_ANCHOR = (1 << _BITS) - 1
# Sets of anchors that stood in one line; no log has more kinds of lines than that.
_MEMO = 4096


class HasData(Protocol):
    """A block of a log."""

    @property
    def data(self) -> bytes: ...


B = TypeVar("B", bound=HasData)
# Where a line begins and ends in its block, and the patterns whose anchors it has, in the order of application.
Line = tuple[int, int, tuple[int, ...]]


def scan(
    matcher: Matcher, blocks: Iterable[B], deadline: Deadline, size: int, engine: Engine | None = None
) -> Iterator[tuple[B, Iterator[Line]]]:
    """Each block with its lines that have an anchor, in their order. `size` is about how much there is to scan.

    Raises OutOfTime where grep was cut off by the deadline.
    """
    if size >= _MUCH:
        # glibc gives each block back to the kernel and takes it anew, page by page, which costs as much as reading it,
        # until it has seen a larger one freed. Nothing is written into this one, so it takes no memory.
        bytes(_KEPT)
    # Whole lines may be cut at a block's end: what continues there is a line of its own, with every engine.
    forced = engine or _forced()
    for name in _fitting(size) if forced is None else (forced,):
        if name == "hyperscan" and (find := _hyperscan(matcher)) is not None:
            return _ahead(matcher, blocks, find)
        if name == "grep" and (program := _grep()) is not None:
            return _by_grep(matcher, blocks, program, deadline)
    return _by_python(matcher, blocks)


def _forced() -> Engine | None:
    name = os.environ.get(VARIABLE, "")
    return name if name in ("hyperscan", "grep", "python") else None  # type: ignore[return-value]  # the three


def _fitting(size: int) -> tuple[Engine, ...]:
    fast: tuple[Engine, ...] = ("hyperscan",) if size >= _HYPERSCAN_FROM else ()
    return (*fast, "grep") if size >= _GREP_FROM else fast


class _Lines:
    """Makes lines of hits. A line's anchors are bits of a number, whose patterns are worked out once."""

    def __init__(self, matcher: Matcher) -> None:
        self._owners = matcher.owners
        self._known: dict[int, tuple[int, ...]] = {}

    def of(self, data: bytes, hits: Iterable[int]) -> Iterator[Line]:
        """The lines that these hits stand in, which come in the order of their ends."""
        start, end, anchors = 0, -1, 0
        for hit in hits:
            at = (hit >> _BITS) - 1
            if at >= end:
                if anchors:
                    yield start, end, self._patterns(anchors)
                start = data.rfind(b"\n", 0, at) + 1
                end = data.find(b"\n", at)
                end = len(data) if end < 0 else end
                anchors = 0
            anchors |= 1 << (hit & _ANCHOR)
        if anchors:
            yield start, end, self._patterns(anchors)

    def _patterns(self, anchors: int) -> tuple[int, ...]:
        known = self._known.get(anchors)
        if known is None:
            if len(self._known) >= _MEMO:
                self._known.clear()
            each = (owner for number, owner in enumerate(self._owners) if anchors >> number & 1)
            known = self._known[anchors] = tuple(sorted({index for owner in each for index in owner}))
        return known


# Hyperscan.

Find = Callable[[bytes], "array[int]"]


def _hyperscan(matcher: Matcher) -> Callable[[], Find] | None:
    """Makes a function that finds anchors, one for each thread; None where there is no hyperscan for this machine."""
    try:
        import hyperscan
    except ImportError:
        return None
    database = hyperscan.Database()
    count = len(matcher.anchors)
    flags = [hyperscan.HS_FLAG_CASELESS] * count
    try:
        database.compile(list(matcher.anchors), list(range(count)), count, flags, literal=True)
    except hyperscan.HyperscanError:
        return None

    def make() -> Find:
        scratch = hyperscan.Scratch(database)

        def find(data: bytes) -> array[int]:
            found = array("Q")
            note = found.append
            database.scan(
                data, lambda anchor, _start, end, _flags, _context: note(end << _BITS | anchor), scratch=scratch
            )
            return found

        return find

    return make


class _Task:
    """One block that a thread scans: its hits, or the error that came instead."""

    def __init__(self, data: bytes) -> None:
        import threading

        self.data = data
        self._hits: array[int] | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()

    def do(self, find: Find) -> None:
        try:
            self._hits = find(self.data)
        except BaseException as exc:  # noqa: BLE001 - raised again where the result is taken
            self._error = exc
        self._done.set()

    def result(self) -> array[int]:
        self._done.wait()
        if self._hits is None:
            raise self._error or RuntimeError("a block was not scanned")
        return self._hits


def _ahead(matcher: Matcher, blocks: Iterable[B], make: Callable[[], Find]) -> Iterator[tuple[B, Iterator[Line]]]:
    """Blocks are scanned in threads, for the engine leaves the interpreter to others meanwhile, and come in order.

    In a storm, where nearly every line has hits, they are not: each hit takes the interpreter back.
    """
    import queue
    import threading

    def work(find: Find) -> None:
        while (task := tasks.get()) is not None:
            task.do(find)

    tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
    pending: deque[tuple[B, _Task]] = deque()
    lines, find = _Lines(matcher), make()
    threads: list[threading.Thread] = []
    storm = False
    try:
        for block in blocks:
            if storm and not pending:
                hits = find(block.data)
                storm = len(hits) > _STORM
                yield block, lines.of(block.data, hits)
                continue
            if len(threads) < _THREADS:
                threads.append(threading.Thread(target=work, args=(make(),), daemon=True))
                threads[-1].start()
            task = _Task(block.data)
            pending.append((block, task))
            tasks.put(task)
            while len(pending) > (0 if storm else _AHEAD):
                oldest, task = pending.popleft()
                hits = task.result()
                storm = len(hits) > _STORM
                yield oldest, lines.of(oldest.data, hits)
        while pending:
            oldest, task = pending.popleft()
            yield oldest, lines.of(oldest.data, task.result())
    finally:
        for _ in threads:
            tasks.put(None)


# GNU grep.


def _grep() -> str | None:
    """Where GNU grep is: others know no byte offsets, or do not say them of matches."""
    from rbdiag.collect import programs

    program = programs.find("grep")
    if program is None or not hasattr(os, "memfd_create"):
        return None
    from rbdiag.deadline import Deadline, OutOfTime

    try:
        said = programs.call([program, "--version"], Deadline(2.0)).stdout
    except (OSError, OutOfTime):
        return None
    return program if b"GNU grep" in said else None


def _by_grep(
    matcher: Matcher, blocks: Iterable[B], program: str, deadline: Deadline
) -> Iterator[tuple[B, Iterator[Line]]]:
    """Some blocks at a time lie in memory for grep to read."""
    lines = _Lines(matcher)
    look = _finder(matcher)
    argv = [program, "-aoibF", "-e", b"\n".join(matcher.anchors).decode()]
    file = os.memfd_create("rbdiag", os.MFD_CLOEXEC)
    try:
        for batch in _batches(blocks):
            offsets = _grepped([*argv, f"/dev/fd/{file}"], file, batch, deadline)
            start = 0
            for block in batch:
                if offsets is None:
                    yield block, lines.of(block.data, look(block.data))
                else:
                    yield block, _around(matcher, block.data, start, offsets)
                start += len(block.data) + 1
    finally:
        os.close(file)


def _batches(blocks: Iterable[B]) -> Iterator[list[B]]:
    batch: list[B] = []
    size = 0
    for block in blocks:
        batch.append(block)
        size += len(block.data)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _grepped(argv: list[str], file: int, batch: list[Any], deadline: Deadline) -> deque[int] | None:
    """Where grep finds anchors in these blocks, each with a line end behind it; None where they are too many."""
    from rbdiag.collect import programs

    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    for block in batch:
        for piece in (block.data, b"\n"):
            view = memoryview(piece)
            while view:
                view = view[os.write(file, view) :]
    done = programs.call(argv, deadline, pass_fds=[file], max_bytes=_SAID)
    if done.cut or done.status not in (0, 1):
        return None
    return deque(int(row.partition(b":")[0]) for row in done.stdout.splitlines())


def _around(matcher: Matcher, data: bytes, base: int, offsets: deque[int]) -> Iterator[Line]:
    """The lines of this block around what grep found, which begins at `base` in what it was given."""
    past = base + len(data)
    end = -1
    while offsets and offsets[0] < past:
        at = offsets.popleft() - base
        if at >= end:
            start = data.rfind(b"\n", 0, at) + 1
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            yield start, end, matcher.candidates(data[start:end])


# Python alone.


def _finder(matcher: Matcher) -> Callable[[bytes], list[int]]:
    """Finds each anchor at its first place in each line: more would tell nothing more."""
    anchors, possible = matcher.anchors, matcher.possible

    def find(data: bytes) -> list[int]:
        low, hits = data.lower(), []
        seek = low.find
        for number in possible(low):
            anchor = anchors[number]
            at = seek(anchor)
            while at >= 0:
                hits.append(at + len(anchor) << _BITS | number)
                if (end := seek(b"\n", at)) < 0:
                    break
                at = seek(anchor, end)
        hits.sort()
        return hits

    return find


def _by_python(matcher: Matcher, blocks: Iterable[B]) -> Iterator[tuple[B, Iterator[Line]]]:
    lines, find = _Lines(matcher), _finder(matcher)
    for block in blocks:
        yield block, lines.of(block.data, find(block.data))
