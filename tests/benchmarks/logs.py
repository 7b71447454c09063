"""`rbdiag logs` on large logs, against ripgrep, grep and awk: a full scan for all patterns, a storm, a short window.

Writes logs of a gigabyte and one of ten. RBDIAG_BENCH_MB sets the size of the former in MB, for a run that takes less.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rbdiag.collect.log_patterns import PATTERNS
from tests.benchmarks.measure import Result, Side, compare, floor_of_peak, in_turn, median
from tests.benchmarks.programs import ROOT, CannotMeasure, console_script, environment

SIZE = int(os.environ.get("RBDIAG_BENCH_MB", "1024")) << 20
# Of each line so many in a million are failures.
RARE, STORM = 1000, 500_000
PER_SECOND = 100
START = 1_760_000_000
# Targets: with the extra against ripgrep, without it against grep; of a storm, a short window, and memory.
RG_CPU, RG_WALL, GREP_CPU = 0.5, 0.35, 1.8
STORM_CPU, WINDOW_CPU, AWK_CPU, PEAK = 0.15, 1.05, 0.01, 1.1
_USERS = ("shop", "report", "batch", "web")
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
    "curl/8.5.0",
    "python-requests/2.32.3",
)


# What the logs consist of: (healthy lines, failing lines), with {n} a number, {b} a byte, {x} hexadecimal, {u} a user.
LINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "error log": (
        (
            "{b} [Note] InnoDB: Buffer pool(s) load completed at {n}",
            "{b} [Note] {u}[{u}] @ 10.0.3.{b} [10.0.3.{b}] connect on shop, thread {n}",
            "{b} [Note] Start binlog_dump to slave_server({b}), pos(binlog.{b}, {n}), using_gtid(1)",
            "{b} [Note] InnoDB: log sequence number {n}; transaction id {n}",
        ),
        (
            "{b} [Warning] Aborted connection {n} to db: 'shop' user: '{u}' host: '10.0.3.{b}' "
            "(Got timeout reading communication packets)",
            "{b} [Warning] Access denied for user '{u}'@'10.0.3.{b}' (using password: YES)",
            "{b} [ERROR] mariadbd: Disk is full writing './binlog.{b}' "
            '(Errcode: 28 "No space left on device"). Waiting for someone to free space...',
            "{b} [ERROR] mariadbd: Table './shop/orders' is marked as crashed and should be repaired",
        ),
    ),
    "access log": (
        (
            '10.0.{b}.{b} - {u} "GET /api/v1/orders/{n} HTTP/1.1" 200 {n} "https://shop.example/" "{agent}" rt=0.{b}',
            '10.0.{b}.{b} - - "GET /static/app.{x}.js HTTP/1.1" 304 0 "https://shop.example/" "{agent}" rt=0.00{b}',
            '10.0.{b}.{b} - - "POST /cart/{n}/items HTTP/1.1" 201 {n} "-" "{agent}" rt=0.{b}',
        ),
        (
            "[error] 811#811: *{n} upstream timed out (110: Connection timed out) while reading response header "
            'from upstream, client: 10.0.{b}.{b}, server: shop, request: "GET /api/v1/orders HTTP/1.1", upstream: "http://10.0.5.7:8080/"',
            "[error] 811#811: *{n} connect() failed (111: Connection refused) while connecting to upstream, "
            'client: 10.0.{b}.{b}, server: shop, request: "GET / HTTP/1.1", upstream: "http://10.0.5.7:8080/"',
        ),
    ),
    "application log": (
        (
            "INFO shop.orders: request {x} GET /api/v1/orders/{n} 200 in {b} ms user={u}",
            "DEBUG shop.cart: cache hit key=orders:{n}:{x} ttl={b}",
            "INFO worker.mail: mail {x} queued for customer {n}",
            "WARNING shop.payments: slow call capture took {n} us, budget {b} ms",
        ),
        (
            "ERROR shop.orders: request {x} failed\nTraceback (most recent call last):\n"
            '  File "/srv/app/store.py", line {b}, in run\n    cursor.execute(sql, args)\n'
            "pymysql.err.OperationalError: (2013, 'Lost connection to MySQL server during query')",
            "ERROR shop.cart: QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
            "ERROR worker.mail: socket.gaierror: [Errno -3] Temporary failure in name resolution",
            "ERROR api.auth: connect ECONNREFUSED 10.0.5.{b}:6379",
        ),
    ),
}  # fmt: skip


def make_log(path: Path, kind: str, size: int, failing: int) -> int:
    """Write such a log with monotone times; returns the time of its last line. Some blocks of lines are used again."""
    dice = random.Random(kind)

    def line() -> bytes:
        bad = dice.randrange(1_000_000) < failing
        text = dice.choice(LINES[kind][bad])
        fields = {"n": dice.randrange(10**6, 10**8), "b": dice.randrange(1, 255), "x": f"{dice.getrandbits(48):012x}",
                  "u": dice.choice(_USERS), "agent": dice.choice(_AGENTS)}  # fmt: skip
        return text.format(**fields).encode() + b"\n"

    blocks = [[line() for _ in range(20_000)] for _ in range(8)]
    written, second, number = 0, START, 0
    with path.open("wb", 1 << 20) as file:
        while written < size:
            lines, out = blocks[number % len(blocks)], []
            number += 1
            for at in range(0, len(lines), PER_SECOND):
                stamp = stamped(second).encode() + b" "
                second += 1
                out.append(stamp + stamp.join(lines[at : at + PER_SECOND]))
            data = b"".join(out)
            written += file.write(data)
    return second - 1


def made(path: Path, kind: str, size: int, failing: int) -> int:
    """The same in a process of its own: what memory this one takes, its children are said to take, too."""
    call = f"make_log(Path({str(path)!r}), {kind!r}, {size}, {failing})"
    code = f"from pathlib import Path; from tests.benchmarks.logs import make_log; print({call})"
    argv = [sys.executable, "-c", code]
    return int(subprocess.run(argv, cwd=ROOT, env=environment(path.parent), capture_output=True, check=True).stdout)


def stamped(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


# The same patterns for others. What only our own engine knows (what must not stand around a match) is left out.
_AROUND = r"\(\?<?[!=](?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)"


def for_ripgrep(regex: str) -> str:
    return re.sub(r"\(\?P<\w+>", "(?:", re.sub(_AROUND, "", regex)).replace('\\"', '"')


def for_grep(regex: str) -> str:
    """POSIX knows no groups that are not counted, no repeats that take as little as they can, and no digits."""
    regex = re.sub(r"\(\?(?:P<\w+>|i?:)", "(", re.sub(_AROUND, "", regex).replace("(?i)", "").replace('\\"', '"'))
    return re.sub(r"([*+?}])\?", r"\1", regex).replace(r"\d", "[0-9]")


# What one would write to count ripgrep's lines by pattern: each anchor in the line, then the regex.
CLASSIFY = """
import json, re, subprocess, sys
patterns = [(name, [a.encode() for a in anchors], re.compile(regex.encode()).search)
            for name, anchors, regex in json.load(open(sys.argv[1]))]
counts = {}
with subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, bufsize=1 << 20) as program:
    for row in program.stdout:
        line = row.partition(b":")[2]
        low = line.lower()
        for name, anchors, search in patterns:
            if any(anchor in low for anchor in anchors) and search(line):
                counts[name] = counts.get(name, 0) + 1
                break
print(json.dumps(counts))
"""


def measure(place: Path) -> Iterator[Result]:
    """CPU of whole processes and their children, start-up included, and wall time; peak memory of ours."""
    for program in ("rg", "grep", "awk"):
        if shutil.which(program) is None:
            raise CannotMeasure(f"there is no {program} here")
    yield from _full_scans(place)
    yield from _storm(place)
    yield from _window(place)


class _Programs:
    """The programs that are compared, as they are called in one folder."""

    def __init__(self, place: Path) -> None:
        self.ours = console_script(place, "rbdiag", "rbdiag.__main__")
        self.env = environment(place)
        self.rust, self.posix, self.table = place / "ripgrep.txt", place / "grep.txt", place / "patterns.json"
        known = [pattern for pattern in PATTERNS if pattern.number]
        self.rust.write_text("".join(f"{for_ripgrep(pattern.regex)}\n" for pattern in known))
        self.posix.write_text("".join(f"{for_grep(pattern.regex)}\n" for pattern in known))
        self.table.write_text(json.dumps([(p.name, p.anchors, p.regex) for p in known]))

    def logs(self, log: Path, engine: str, right: Callable[[str], bool], *more: str, since: str = "") -> Side:
        argv = [
            self.ours,
            "logs",
            "--only",
            "logs.known",
            "--json",
            "-t",
            "600",
            "--since",
            since or stamped(START),
            *more,
        ]
        return Side(f"rbdiag ({engine or 'any'})", [*argv, str(log)], right, {**self.env, "RBDIAG_LOG_ENGINE": engine})

    def rg(self, log: Path) -> list[str]:
        return ["rg", "-aib", "--no-config", "--no-unicode", "-I", "-N", "-f", str(self.rust), str(log)]

    def grep(self, log: Path) -> list[str]:
        return ["grep", "-aiEb", "-f", str(self.posix), str(log)]


def _found(out: str) -> int:
    return sum(fact["count"] for fact in json.loads(out)["facts"] if fact["type"] == "LogKnown")


def _full_scans(place: Path) -> Iterator[Result]:
    use = _Programs(place)
    for kind in LINES:
        log = place / "scan.log"
        made(log, kind, SIZE, RARE)
        lines = int(subprocess.run([*use.rg(log), "-c"], env=use.env, capture_output=True, text=True).stdout)
        if not lines:
            raise CannotMeasure("ripgrep finds nothing")

        def right(out: str, lines: int = lines) -> bool:
            return _found(out) == lines

        rg = Side("rg", use.rg(log), lambda out, lines=lines: out.count("\n") == lines, use.env)
        costs = in_turn(use.logs(log, "hyperscan", right), rg, 5)
        yield compare(f"logs, {kind} / rg -f", "cpu", costs, RG_CPU)
        yield compare(f"logs, {kind} / rg -f", "wall", costs, RG_WALL)
        grep = Side(
            "grep", use.grep(log), lambda out, lines=lines: out.count("\n") == lines, {**use.env, "LC_ALL": "C"}
        )
        costs = in_turn(use.logs(log, "grep", right), grep, 3)
        yield compare(f"logs, {kind}, no extra / grep -E -f", "cpu", costs, GREP_CPU)
        log.unlink()


def _storm(place: Path) -> Iterator[Result]:
    use, log = _Programs(place), place / "storm.log"
    for kind in ("access log", "application log"):
        made(log, kind, SIZE // 4, STORM)
        argv = [sys.executable, "-c", CLASSIFY, str(use.table), *use.rg(log)]
        counts = json.loads(subprocess.run(argv, env=use.env, capture_output=True, text=True, check=True).stdout)
        total = sum(counts.values())
        theirs = Side("rg, classified", argv, lambda out: sum(json.loads(out).values()) > 1000, use.env)
        costs = in_turn(use.logs(log, "hyperscan", lambda out, total=total: _found(out) == total), theirs, 3)
        yield compare(f"logs, storm of an {kind} / rg and Python", "cpu", costs, STORM_CPU)
        log.unlink()


def _window(place: Path) -> Iterator[Result]:
    """The last 15 minutes of a log ten times as large, compared with nothing before."""
    use, big, alone, small = _Programs(place), place / "big.log", place / "alone.log", place / "small.log"
    since = stamped(made(big, "access log", SIZE * 10, RARE) - 900)
    with big.open("rb") as source, alone.open("wb") as file:
        source.seek(-(64 << 20), os.SEEK_END)
        source.readline()
        file.writelines(line for line in source if line >= since.encode())
    made(small, "access log", 10 << 20, RARE)

    def some(out: str) -> bool:
        return _found(out) > 50

    ours = use.logs(big, "", some, "--baseline", "0", since=since)
    costs = in_turn(ours, use.logs(alone, "", some, "--baseline", "0", since=since), 9)
    yield compare("logs, last 15 minutes / these alone", "cpu", costs, WINDOW_CPU)
    program = f'substr($0, 1, 20) >= "{since}"'
    awk = Side("awk", ["awk", program, str(big)], lambda out: out.startswith(since), {**use.env, "LC_ALL": "C"})
    yield compare("logs, last 15 minutes / awk over all", "cpu", in_turn(ours, awk, 1), AWK_CPU)
    whole = in_turn(use.logs(big, "hyperscan", some), use.logs(small, "hyperscan", some), 1)
    few = median([cost.peak for _, cost in whole])
    if few <= floor_of_peak():
        raise CannotMeasure("peak memory: this process itself is larger than what it measures")
    yield compare(f"logs, peak at {big.stat().st_size >> 20:,} MB / at 10 MB", "peak", whole, PEAK)
    for path in (big, alone, small):
        path.unlink()


def profile(place: Path, result: Result) -> str:
    """Where the CPU time goes in the check, by function; the scan's own threads are not in it."""
    log = place / "profile.log"
    make_log(log, next((kind for kind in LINES if kind in result.name), "access log"), SIZE // 4, RARE)
    script = (
        "import sys; from rbdiag.collect.log_known import known; from rbdiag.collect.log_sources import Wanted; "
        "from rbdiag.collect.log_window import Spans; from rbdiag.deadline import Deadline; d = Deadline(600); "
        f"s = Spans(Wanted((sys.argv[1],)), {START}, asked=True); list(s.find(d)); list(known(s, d))"
    )
    code = place / "profiled.py"
    code.write_text(script)
    argv = [sys.executable, "-m", "cProfile", "-s", "tottime", str(code), str(log)]
    done = subprocess.run(argv, env=environment(place), capture_output=True, text=True)
    log.unlink()
    return "\n".join(done.stdout.splitlines()[:20])
