"""Stack traces: made by real programs that really fail, recorded of those that are seldom installed, and any bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbdiag.collect.log_sources import Wanted
from rbdiag.collect.log_traces import is_continuation, parse, traces
from rbdiag.collect.log_window import Spans
from rbdiag.deadline import Deadline
from rbdiag.facts.logs import LogTrace

RECORDED = Path(__file__).parent / "recorded" / "trace_recorded.txt"


def told(data: bytes) -> list[str]:
    """Every trace that these lines hold, in a few words each, as one log would tell them."""
    found = []
    for fact in facts_of([data]):
        found.append(f"{fact.language} {fact.exception} | {fact.message} | {fact.frame}".rstrip())
    return found


def facts_of(texts: Sequence[bytes], since: float = 3600.0, folder: Path | None = None) -> list[LogTrace]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as scratch:
        paths = []
        for number, text in enumerate(texts):
            path = Path(folder or scratch) / f"{number}.log"
            path.write_bytes(text)
            paths.append(str(path))
        spans = Spans(Wanted(tuple(paths)), time.time() - since, asked=True)
        try:
            list(spans.find(Deadline(10)))
            return [fact for fact in traces(spans, Deadline(20), None) if isinstance(fact, LogTrace)]
        finally:
            spans.close()


def recorded() -> dict[str, tuple[str, bytes]]:
    found = {}
    for part in RECORDED.read_text().split("=== ")[1:]:
        title, says, *lines = part.rstrip("\n").split("\n")
        found[title] = (says.removeprefix("--- ").rstrip(), "\n".join(lines).encode())
    return found


RECORDS = recorded()


@pytest.mark.parametrize(("says", "text"), RECORDS.values(), ids=RECORDS)
def test_a_recorded_trace(says: str, text: bytes) -> None:
    trace = parse(text.split(b"\n"))
    assert trace is not None
    assert f"{trace.language} {trace.exception} | {trace.message} | {trace.frame}".rstrip() == says


def written(tmp_path: Path, name: str, source: str, *argv: str, env: dict[str, str] | None = None) -> bytes:
    """What a program writes to its standard error."""
    (tmp_path / name).write_text(source)
    done = subprocess.run(
        argv, cwd=tmp_path, capture_output=True, timeout=120, check=False, env={**os.environ, **(env or {})}
    )
    return done.stderr + done.stdout


PYTHON = {
    "a cause": (
        "def find(i):\n    return {}[i]\ndef load(i):\n    try:\n        find(i)\n    except KeyError as e:\n"
        "        raise RuntimeError('load failed') from e\nload('x17')\n",
        "python KeyError | 'x17' | app.py:2 in find",
    ),
    "during another": (
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    int('x')\n",
        "python ZeroDivisionError | division by zero | app.py:2 in <module>",
    ),
    "a library's frames deepest": (
        "import json\ndef load():\n    json.loads('{')\nload()\n",
        "python json.decoder.JSONDecodeError | Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)"
        " | app.py:3 in load",
    ),
    "a group": (
        "import asyncio\nasync def bad():\n    raise OSError(111, 'Connection refused')\nasync def main():\n"
        "    async with asyncio.TaskGroup() as group:\n        group.create_task(bad())\nasyncio.run(main())\n",
        "python ConnectionRefusedError | [Errno 111] Connection refused | app.py:3 in bad",
    ),
    "a task nobody waited for": (
        "import asyncio\nasync def bad():\n    raise ValueError('lost')\nasync def main():\n"
        "    asyncio.ensure_future(bad())\n    await asyncio.sleep(0)\nasyncio.run(main())\n",
        "python ValueError | lost | app.py:3 in bad",
    ),
    "a wait that was cancelled": (
        "import asyncio\nasync def main():\n    await asyncio.wait_for(asyncio.sleep(9), 0.01)\nasyncio.run(main())\n",
        "python TimeoutError |  | app.py:3 in main",
    ),
    "a syntax error": ("def f(\n", "python SyntaxError | '(' was never closed | app.py:1"),
    "endless recursion": (
        "def f():\n    return f()\nf()\n", "python RecursionError | maximum recursion depth exceeded | app.py:2 in f",
    ),
    "a death": (
        "import faulthandler, os, signal\nfaulthandler.enable()\nos.kill(os.getpid(), signal.SIGSEGV)\n",
        "python Fatal Python error | Segmentation fault | app.py:3 in <module>",
    ),
    "a thread": (
        "import threading\ndef work():\n    raise LookupError('no')\nthreading.Thread(target=work).start()\n",
        "python LookupError | no | app.py:3 in work",
    ),
    "through a logger as JSON": (
        "import json, logging, sys, traceback\ntry:\n    [][3]\nexcept IndexError:\n"
        "    print(json.dumps({'level': 'error', 'exc_info': traceback.format_exc()}))\n",
        "python IndexError | list index out of range | app.py:3 in <module>",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "says"), PYTHON.values(), ids=PYTHON)
def test_python(tmp_path: Path, source: str, says: str) -> None:
    assert told(written(tmp_path, "app.py", source, sys.executable, "app.py")) == [
        says.replace("app.py", str(tmp_path / "app.py"))
    ]


QUIET_PYTHON = {
    "a warning": "import warnings\nwarnings.warn('old', DeprecationWarning, stacklevel=1)\n",
    "a dump that was asked for": "import faulthandler, sys\nfaulthandler.dump_traceback(sys.stderr)\n",
    "a stack printed": "import traceback\ndef f():\n    traceback.print_stack()\nf()\n",
    "a stop": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time\ntime.sleep(5)\n",
    "words": "print('we catch every Traceback, look at 3 items, at line 5 in code (x)')\n",
}


@pytest.mark.parametrize("source", QUIET_PYTHON.values(), ids=QUIET_PYTHON)
def test_what_is_no_exception(tmp_path: Path, source: str) -> None:
    output = written(tmp_path, "app.py", source, sys.executable, "-W", "always", "app.py")
    assert output
    assert told(output) == []


JAVA = """import java.util.*;
import java.util.logging.*;
public class App {
  static class Gone extends RuntimeException { Gone(String m, Throwable c) { super(m, c); } }
  static int parse(String s) { return Integer.parseInt(s); }
  static void load(String s) {
    try { parse(s); } catch (NumberFormatException e) { throw new Gone("load of " + s + "\\nsecond line", e); }
  }
  public static void main(String[] a) throws Exception {
    try { load("x17"); } catch (Exception e) { Logger.getLogger("app").log(Level.SEVERE, "request failed", e); }
    Throwable x = new IllegalStateException("round"), y = new Exception("y", x); x.initCause(y); x.printStackTrace();
    try { List.of(1).get(3); } catch (Exception e) { e.printStackTrace(); }
    new ProcessBuilder("kill", "-3", "" + ProcessHandle.current().pid()).start().waitFor();
    Thread.sleep(300);
    Object o = null; o.hashCode();
  }
}
"""


@pytest.mark.skipif(not shutil.which("javac"), reason="no Java compiler here")
def test_java(tmp_path: Path) -> None:
    output = written(tmp_path, "App.java", JAVA, "java", "App.java")
    assert b"Full thread dump" in output  # which is no exception
    lines = {f"{fact.exception} | {fact.frame}" for fact in facts_of([output])}
    assert lines == {
        "java.lang.NumberFormatException | App.java:5 in App.parse",
        "java.lang.Exception | App.java:11 in App.main",
        "java.lang.ArrayIndexOutOfBoundsException | App.java:12 in App.main",
        "java.lang.NullPointerException | App.java:15 in App.main",
    } or lines == {
        "java.lang.NumberFormatException | App.java:5 in App.parse",
        "java.lang.Exception | App.java:11 in App.main",
        "java.lang.IndexOutOfBoundsException | App.java:12 in App.main",
        "java.lang.NullPointerException | App.java:15 in App.main",
    }


NODE = {
    "a cause": (
        """
async function load(p) {
  try { return await require('fs').promises.readFile(p); }
  catch (e) { throw new Error('load failed', { cause: e }); }
}
load('/no/such').catch(e => console.error(e));
""",
        "node Error | ENOENT: no such file or directory, open '/no/such' | app.js:3 in load",
    ),
    "uncaught": (
        "function f(x) {\n  return x.y;\n}\nf(null);\n",
        "node TypeError | Cannot read properties of null (reading 'y') | app.js:2 in f",
    ),
    "a rejection nobody handled": (
        """
class PayError extends Error {}
function pay() {
  throw new PayError('no card');
}
Promise.resolve().then(pay);
""",
        "node PayError | no card | app.js:4 in pay",
    ),
    "a port taken, by libraries' frames alone": (
        """
const net = require('net');
process.on('uncaughtException', e => { console.error(e.stack.replace(/:\\d{4,5}\\n/, ':9\\n')); process.exit(1); });
const s = net.createServer();
s.listen(0, '127.0.0.1', () => net.createServer().listen(s.address().port, '127.0.0.1', 9));
""",
        "node Error | listen EADDRINUSE: address already in use 127.0.0.1:9 |",
    ),
    "as JSON": (
        """
function f() {
  const e = new RangeError('too far');
  console.log(JSON.stringify({level: 50, err: {type: e.name, stack: e.stack}}));
}
f();
""",
        "node RangeError | too far | app.js:3 in f",
    ),
    "a syntax error": ("function f( {\n", "node SyntaxError | Unexpected end of input | app.js:2"),
}


@pytest.mark.skipif(not shutil.which("node"), reason="no Node.js here")
@pytest.mark.parametrize(("source", "says"), NODE.values(), ids=NODE)
def test_node(tmp_path: Path, source: str, says: str) -> None:
    assert told(written(tmp_path, "app.js", source, "node", "app.js")) == [
        says.replace("| app.js", f"| {tmp_path}/app.js")
    ]


@pytest.mark.skipif(not shutil.which("node"), reason="no Node.js here")
def test_a_stack_that_node_was_asked_for_is_no_exception(tmp_path: Path) -> None:
    assert told(written(tmp_path, "a.js", "console.trace('here');\n", "node", "a.js")) == []


GO = shutil.which("go") or next((p for p in ("/usr/lib/go/bin/go", "/usr/local/go/bin/go") if os.path.exists(p)), "")
PANICS = {
    "a nil pointer": (
        "type T struct{ n int }\nfunc (t *T) set() { t.n = 1 }\nfunc main() { var t *T; t.set() }\n",
        "go panic | runtime error: invalid memory address or nil pointer dereference | main.go:4 in main.(*T).set",
    ),
    "panicked again": (
        'func main() {\n\tdefer func() { r := recover(); panic(r.(string) + "!") }()\n'
        '\tdeep()\n}\nfunc deep() { panic("first") }\n',
        "go panic | first | main.go:7 in main.deep",
    ),
    "a deadlock": (
        "func main() {\n\tc := make(chan int)\n\t<-c\n}\n",
        "go fatal error | all goroutines are asleep - deadlock! | main.go:5 in main.main",
    ),
}


@pytest.mark.skipif(not GO, reason="no Go here")
@pytest.mark.parametrize(("source", "says"), PANICS.values(), ids=PANICS)
def test_go(tmp_path: Path, source: str, says: str) -> None:
    env = {"GOFLAGS": "-mod=mod", "GO111MODULE": "auto", "GOCACHE": str(Path.home() / ".cache" / "go-build")}
    output = written(tmp_path, "main.go", "package main\n\n" + source, GO, "run", "main.go", env=env)
    assert told(output) == [says.replace("| main.go", f"| {tmp_path}/main.go")]


CONTINUES = {
    "a frame of Java": b"\tat com.shop.A.b(A.java:3)", "what is left out": b"... 12 more",
    "a cause": b"Caused by: x.Y: no",
    "the beginning of a traceback": b"Traceback (most recent call last):", "a goroutine": b"goroutine 1 [running]:",
    "a call of Go": b"main.(*T).f(0xc000012, 0x3)", "who began it": b"created by main.main", "a blank line": b"",
    "a frame of PHP": b"#0 /srv/a.php(12): f()", "a frame of Ruby": b"app/x.rb:3:in `f'",
    "a property": b"  errno: -111,",
    "a closing brace": b"}", "the end of .NET's inner": b"--- End of inner exception stack trace ---",
    "a call of MySQL": b"/usr/sbin/mysqld(my_print_stacktrace+0x2e)[0x55]",
}  # fmt: skip


@pytest.mark.parametrize("line", CONTINUES.values(), ids=CONTINUES)
def test_what_goes_on(line: bytes) -> None:
    assert is_continuation(line)


STANDS = [
    b"ValueError: no", b"panic: no", b"2026-11-24 10:00:00 INFO x", b"starting server.listen() on port 80", b"#hash",
    b"x.rb:1:in `f': boom (RuntimeError)", b"at 10:00 all was well", b"from here on", b"done (0x12)",
]  # fmt: skip


@pytest.mark.parametrize("line", STANDS, ids=lambda line: line.decode())
def test_what_stands_alone(line: bytes) -> None:
    assert not is_continuation(line)


def timed(at: float) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)).encode()


def test_a_storm_is_one_kind_and_its_times_are_told() -> None:
    now = int(time.time())
    records = [
        timed(now - 3000 + n) + b" WARN request %d failed password=hunter%d\n" % (n, n)
        + b"java.lang.IllegalStateException: no row %d, token=s3cr3t%d\n" % (n, n)
        + b"".join(b"\tat com.shop.Layer%d.call(Layer.java:%d)\n" % (k, k + 1) for k in range(20))
        for n in range(2500)
    ]  # fmt: skip
    (fact,) = facts_of([b"".join(records)])
    assert (fact.count, fact.exception) == (2500, "java.lang.IllegalStateException")
    assert fact.frame == "Layer.java:1 in com.shop.Layer0.call"
    assert (fact.first_at, fact.happened_at, fact.level) == (now - 3000, now - 501, "warning")
    assert "s3cr3t" not in str(fact)
    assert "hunter" not in fact.head


def test_the_baseline_is_counted_apart() -> None:
    now = int(time.time())
    trace = b'Traceback (most recent call last):\n  File "/srv/a.py", line 3, in f\n    g()\nValueError: no\n'
    old = [timed(now - 7000 + n) + b" ERROR failed\n" + trace for n in range(7)]
    quiet = [timed(now - 6000 + n) + b" INFO fine\n" for n in range(5000)]
    (fact,) = facts_of([b"".join([*old, *quiet, timed(now - 10) + b" ERROR failed\n" + trace])])
    assert (fact.count, fact.before, fact.first_at) == (1, 7, now - 10)


def test_traces_with_a_prefix_are_counted_exactly_over_blocks() -> None:
    """A log of more than one block, in which a trace may be cut anywhere, for each of its lines begins a record."""
    now = int(time.time())
    lines = ["Traceback (most recent call last):", '  File "/srv/a.py", line 3, in f', "    g()", "ValueError: no"]
    text = []
    for number in range(12_000):
        stamp = time.strftime("%b %e %H:%M:%S", time.localtime(now - 1000 + number // 12))
        text += [f"{stamp} host app[{17 + number % 2}]: {line}\n" for line in (*lines, "fine")]
    data = "".join(text).encode()
    assert len(data) > 2 << 20
    (fact,) = facts_of([data])
    assert (fact.exception, fact.frame, fact.count) == ("ValueError", "/srv/a.py:3 in f", 12_000)


def test_no_more_kinds_are_told_than_a_person_reads() -> None:
    names = [bytes((97 + n // 26, 97 + n % 26)) for n in range(400)]
    data = b"".join(
        b'Traceback (most recent call last):\n  File "/srv/%s.py", line 3, in f\n    g()\nValueError: no\n' % name
        for name in names
    )
    assert len(facts_of([data])) == 20


PIECES = st.sampled_from([
    b"Traceback (most recent call last):", b'  File "/a.py", line 3, in f', b"\tat a.b.C(D.java:3)",
    b"Caused by: a.B: c",
    b"    at f (/x.js:1:2)", b"   at A.B() in /x.cs:line 3", b" ---> A.BError: c", b"goroutine 1 [running]:",
    b"main.f()",
    b"\t/x.go:3 +0x1", b"panic: x", b"#0 /x.php(3): f()", b"Uncaught X: y in /x.php:3", b"a.rb:1:in `f': b (C)",
    b"** (X) y",
    b"thread 'm' panicked at a.rs:1:2:", b'{"log":"', b"\\n\\tat ", b"#012#011at a.b(", b"\n", b"\n", b"\n", b" ",
    b'"', b"\\",
    b"SyntaxError: x", b"[object] (A(code: 0): b at /c:1)", b"  | ", b"  +-+------", b"Nov 24 10:00:00 h a[1]: ",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=40))
def test_any_bytes_are_read(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    parse(data.split(b"\n"))
    for line in data.split(b"\n"):
        is_continuation(line)


@pytest.mark.parametrize(
    "unit", [b"a.", b"at ", b"\\", b'"', b"(", b" ", b":in `", b"/", b"0x", b"- ", b"#0 ", b"a::B "]
)
def test_a_long_line_takes_no_long_time(unit: bytes) -> None:
    """Bounded by work: the processor's time of this thread, far from what a regex that runs away takes."""
    for lead in (
        b"\tat ",
        b"   at ",
        b"panic: ",
        b"x.rb:1:in `",
        b"Uncaught ",
        b"** (",
        b"\tat //",
        b"Traceback (most recent",
    ):
        before = time.thread_time()
        parse([lead + unit * (200_000 // len(unit)), b"\tat x", b"goroutine 1 [running]:"])
        assert time.thread_time() - before < 5
