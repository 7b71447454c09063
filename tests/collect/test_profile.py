"""Profiles: what recorded tools wrote, which tools can be used, and real profiles of real programs that spin."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rbdiag.collect import proc, profile, profilers
from rbdiag.collect.profile import Frame, Stack, hottest, parse_perf, parse_py_spy
from rbdiag.collect.profilers import perf_wants
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.cpu import HotFunction, Profile, ProfilerTool
from rbdiag.model import CannotLook, Fact

RECORDED = Path(__file__).parent / "recorded"
THREADING = "/usr/lib/python3.11/threading.py"


# What the tools wrote


def test_a_recorded_py_spy_profile() -> None:
    """py-spy 0.4.3; the busy thread is called `prices; all (nightly)`, which looks like frames and is none."""
    stacks = parse_py_spy((RECORDED / "py-spy.raw").read_text())
    assert [(s.thread, [str(f) for f in s.frames[-2:]], n) for s, n in stacks.items()] == [
        ("prices; all (nightly)", ["reprice (worker.py:14)", "price (worker.py:7)"], 60),
        ("poller", ["Thread.run (threading.py:975)", "poll (worker.py:20)"], 7),
        ("prices; all (nightly)", ["reprice (worker.py:14)", "price (worker.py:8)"], 136),
    ]
    assert {s.frames[0] for s in stacks} == {Frame("Thread._bootstrap", THREADING, 995)}


def test_the_hottest_functions_of_a_recorded_profile() -> None:
    found = hottest(parse_py_spy((RECORDED / "py-spy.raw").read_text()), "worker[7]")
    assert found == [
        HotFunction(
            subject="worker[7]", rank=1, function="price", file="/srv/shop/worker.py", line=8,
            part=0.9655, total=0.9655, thread="prices; all (nightly)",
        ),
        HotFunction(
            subject="worker[7]", rank=2, function="poll", file="/srv/shop/worker.py", line=20,
            part=0.0345, total=0.0345, thread="poller",
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "stack"),
    [
        pytest.param(
            "thread (0x7F01): MainThread;<module> (a.py:1) 3",
            Stack("MainThread", (Frame("<module>", "a.py", 1),)),
            id="a number in hexadecimal",
        ),
        pytest.param("thread (9);run (a.py:1) 3", Stack("", (Frame("run", "a.py", 1),)), id="a thread without a name"),
        pytest.param(
            "thread (9): Thread-1 (work);run (a.py:1) 3",
            Stack("Thread-1 (work)", (Frame("run", "a.py", 1),)),
            id="a thread named after its function",
        ),
        pytest.param(
            "thread (9): M;run (/srv/a;b (old)/c.py:1);end (d.py:22) 3",
            Stack("M", (Frame("run", "/srv/a;b (old)/c.py", 1), Frame("end", "d.py", 22))),
            id="signs of the format in a path",
        ),
        pytest.param(
            "thread (9): M;run (a.py:1);compute (fast.so) 3",
            Stack("M", (Frame("run", "a.py", 1), Frame("compute", "fast.so"))),
            id="a frame without a line",
        ),
    ],
)
def test_lines_of_py_spy(line: str, stack: Stack) -> None:
    assert parse_py_spy(line) == {stack: 3}


@pytest.mark.parametrize("text", ["", "\n", "thread (9): M 3", "no samples", "run (a.py:1)"])
def test_what_is_no_stack_of_py_spy(text: str) -> None:
    assert parse_py_spy(text) == {}


def test_a_long_line_that_nearly_fits_takes_no_time() -> None:
    assert len(parse_py_spy("thread (9): " + "a (" * 50_000 + ";" * 50_000 + " (x:1) 1")) == 1


def test_a_recorded_perf_profile() -> None:
    stacks = parse_perf((RECORDED / "perf-encode.txt").read_text(), {20816: "encoder 1"})
    start = Frame("start_thread", "/usr/lib/x86_64-linux-gnu/libc.so.6")
    assert stacks == {
        Stack("encoder 1", (start, Frame("quantize", "/srv/shop/encode"))): 3,
        Stack("encoder 1", (start, Frame("filter_block", "/srv/shop/encode"))): 2,
    }


@pytest.mark.parametrize(
    ("recording", "function", "file", "outermost"),
    [
        pytest.param("stripped", "unnamed code", "/srv/shop/old-encode (deleted)", "start_thread", id="no symbols"),
        pytest.param("node", "unnamed just-in-time code", "", "__libc_start_call_main", id="code of a runtime"),
    ],
)
def test_recorded_perf_profiles_without_names(recording: str, function: str, file: str, outermost: str) -> None:
    stacks = parse_perf((RECORDED / f"perf-{recording}.txt").read_text(), {})
    top = hottest(stacks, "x")[0]
    assert (top.function, top.file, top.line, top.part) == (function, file, None, 1.0)
    assert top.thread.startswith("tid ")
    assert {s.frames[0].function for s in stacks} == {outermost}


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        pytest.param(
            "7\n\t 1a std::map<int, char (*)[3]>::at(int const&) (/opt/my app (new)/bin)\n",
            [Frame("std::map<int, char (*)[3]>::at(int const&)", "/opt/my app (new)/bin")],
            id="parentheses and blanks everywhere",
        ),
        pytest.param(
            "7\n\t 1a do_sys_poll ([kernel.kallsyms])\n\t 2b main (/bin/x)\n",
            [Frame("main", "/bin/x"), Frame("do_sys_poll", "[kernel.kallsyms]")],
            id="kernel code",
        ),
        pytest.param(
            "7\n\t 1a hot (/bin/x)\n\t 7f00 [unknown] ([unknown])\n\t 7f08 [unknown] ([unknown])\n",
            [Frame("hot", "/bin/x")],
            id="callers that are no code",
        ),
        pytest.param(
            "7\n\t 7f00 [unknown] ([unknown])\n", [Frame("unnamed code", "")], id="itself outside of any file"
        ),
        pytest.param(
            "7\n\t 1a LShop;::price (/tmp/perf-7.map)\n",
            [Frame("LShop;::price", "")],
            id="code of a runtime with names",
        ),
    ],
)
def test_samples_of_perf(text: str, frames: list[Frame]) -> None:
    assert parse_perf(text, {7: "main"}) == {Stack("main", tuple(frames)): 1}


@pytest.mark.parametrize("text", ["", "\n\n", "7\n", "7\n\t not an address\n", "\t 1a main (/bin/x)\n"])
def test_what_is_no_sample_of_perf(text: str) -> None:
    assert parse_perf(text, {}) == {}


def stack(*frames: tuple[str, int], thread: str = "t") -> Stack:
    return Stack(thread, tuple(Frame(function, "f.py", line) for function, line in frames))


def test_recursion_is_counted_once_and_a_function_has_its_hottest_line() -> None:
    stacks = {stack(("fib", 1), ("fib", 1), ("fib", 2)): 6, stack(("fib", 1)): 3, stack(("fib", 1), ("add", 9)): 1}
    assert [(h.rank, h.function, h.line, h.part, h.total) for h in hottest(stacks, "x")] == [
        (1, "fib", 2, 0.9, 1.0),
        (2, "add", 9, 0.1, 0.1),
    ]


@pytest.mark.parametrize(
    ("here", "thread"), [(80, "a"), (79, "")], ids=["four fifths are one thread's", "a little less is nobody's"]
)
def test_a_function_is_put_down_to_a_thread_that_has_most_of_it(here: int, thread: str) -> None:
    stacks = {stack(("f", 1), thread="a"): here, stack(("f", 1), thread="b"): 100 - here}
    assert hottest(stacks, "x")[0].thread == thread


def test_only_the_ten_hottest_are_named() -> None:
    found = hottest({stack((f"f{n}", 1)): n for n in range(1, 13)}, "x")
    assert [h.function for h in found] == [f"f{n}" for n in range(12, 2, -1)]


# Which tools can be used


@pytest.mark.parametrize(
    ("program", "wants"),
    [
        pytest.param(b"\x7fELF\x02 perf_ linux-tools", (), id="the real program"),
        pytest.param(b"#!/bin/sh\nexec /opt/perf/perf", (), id="another script"),
        pytest.param(b'#!/bin/bash\nexec "perf_$version" "$@"\n', ("perf_5.10", "perf_5.10.0"), id="Debian 11"),
        pytest.param(
            b'#!/bin/bash\nexec "/usr/lib/linux-tools/$full_version/perf"\n',
            ("/usr/lib/linux-tools/5.10.0-8-amd64/perf", "/usr/lib/linux-tools-5.10.0-8-amd64/perf"),
            id="Ubuntu",
        ),
    ],
)
def test_wrappers_of_perf(program: bytes, wants: tuple[str, ...]) -> None:
    assert perf_wants(program, "5.10.0-8-amd64") == wants


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A host with these programs only (by name, with their text), and nothing else where we look."""

    def make(**programs: str) -> None:
        for name, text in programs.items():
            path = tmp_path / name.replace("_", "-", 1)
            path.write_text(text)
            path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        monkeypatch.setattr("rbdiag.collect.programs._MORE", ())

    return make


def told(runtime: str, pid: int | None = None) -> dict[str, str]:
    return {t.subject: str(t).removeprefix(f"{t.subject} ") for t in profilers.tools(runtime, Deadline(20), pid)}


def test_nothing_is_installed(bare: Callable[..., None]) -> None:
    bare()
    assert told("python") == {
        "py-spy": "missing: not installed: pip install 'rbdiag[profile]'",
        "perf": "missing: not installed: package linux-perf, linux-tools or perf",
        "gdb": "missing: not installed: package gdb",
        "strace": "missing: not installed: package strace",
    }


@pytest.mark.parametrize(
    ("runtime", "names"),
    [
        ("python", ["py-spy", "perf", "gdb", "strace"]),
        ("java", ["jcmd", "perf", "gdb", "strace"]),
        ("native", ["perf", "gdb", "strace"]),
        ("unknown", ["perf", "gdb", "strace"]),
        ("kernel", ["perf"]),
    ],
)
def test_every_runtime_has_its_tools_best_first(runtime: str, names: list[str]) -> None:
    assert list(told(runtime)) == names


def test_a_wrapper_without_its_perf_is_missing(bare: Callable[..., None]) -> None:
    bare(perf='#!/bin/sh\nexec "perf_$version"\n')
    assert told("native")["perf"].startswith("missing: only its wrapper is installed, perf_")


def test_jcmd_is_found_beside_the_java_that_path_links_to(tmp_path: Path, bare: Callable[..., None]) -> None:
    home = tmp_path / "jdk"
    home.mkdir()
    for name in ("java", "jcmd"):
        (home / name).write_text("#!/bin/sh\n")
        (home / name).chmod(0o755)
    bare()
    assert told("java")["jcmd"].startswith("missing")
    (tmp_path / "java").symlink_to(home / "java")
    tool = next(profilers.tools("java", Deadline(20)))
    assert (tool.state, tool.path) == ("ready", str(home / "jcmd"))


@pytest.mark.parametrize(
    ("settings", "rights", "perf", "gdb"),
    [
        pytest.param({"perf_event_paranoid": 4, "yama/ptrace_scope": 2}, (19, 21), "ready", "ready", id="all rights"),
        pytest.param(
            {"perf_event_paranoid": 2},
            (),
            "ready: for your own processes only",
            "ready: for your own processes only",
            id="no rights, and none needed for our own",
        ),
        pytest.param(
            {"perf_event_paranoid": 3, "yama/ptrace_scope": 1},
            (),
            "forbidden: needs root: kernel.perf_event_paranoid is 3",
            "forbidden: needs root: kernel.yama.ptrace_scope is 1",
            id="a user of Debian or Ubuntu",
        ),
        pytest.param({"perf_event_paranoid": 3}, (38, 19), "ready", "ready", id="the right to perf alone"),
        pytest.param(
            {"perf_event_paranoid": -1, "yama/ptrace_scope": 3},
            (19, 21),
            "ready",
            "forbidden: kernel.yama.ptrace_scope is 3: nothing can attach until the next boot",
            id="nobody may attach",
        ),
        pytest.param({}, (19, 21), "forbidden: this kernel has no perf events", "ready", id="a kernel without perf"),
    ],
)
def test_what_the_kernel_allows(
    bare: Callable[..., None], monkeypatch: pytest.MonkeyPatch, settings: dict[str, int], rights: tuple[int, ...],
    perf: str, gdb: str,
) -> None:  # fmt: skip
    bare(perf="#!/bin/sh\n", gdb="#!/bin/sh\n")
    monkeypatch.setattr(profilers, "_setting", settings.get)
    monkeypatch.setattr(profilers, "capable", lambda *wanted: bool(set(wanted) & set(rights)))
    found = told("native")
    assert (found["perf"], found["gdb"]) == (perf, gdb)


def test_our_own_rights_are_read_as_the_kernel_counts_them() -> None:
    held = int(Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0], 16)
    assert [profilers.capable(bit) for bit in range(41)] == [bool(held >> bit & 1) for bit in range(41)]


AS_NOBODY = """
import os, sys
from rbdiag.collect import profile
from rbdiag.deadline import Deadline
from rbdiag.model import CannotLook
pid, ticks = map(int, sys.argv[1:])
sys.executable = ""
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
try:
    print(list(profile.profile(pid, ticks, "root's", "python", 1, "", Deadline(20))))
except CannotLook as error:
    print(f"{error.gap.reason}, {error.gap.unlock}: {error.gap.detail}")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_nobody_may_not_look_into_a_process_of_root() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name in ("py-spy", "perf"):
            shutil.copy("/bin/true", f"{folder}/{name}")
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(os.getpid()), str(own_ticks(os.getpid()))],
            capture_output=True,
            text=True,
            env={"PATH": folder, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert done.stdout.startswith("forbidden, run as root: py-spy forbidden: needs root"), done.stderr
    assert "perf forbidden: needs root" in done.stdout


# Real profiles


def own_ticks(pid: int) -> int:
    stat = proc.stat(pid)
    assert stat
    return stat.start


def need(tool: str, runtime: str) -> ProfilerTool:
    found = next(t for t in profilers.tools(runtime, Deadline(20), os.getpid()) if t.subject == tool)
    if found.state != "ready":
        pytest.skip(str(found))
    return found


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Starts programs that say a line when they are ready, and ends them."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*argv: str) -> int:
        child = subprocess.Popen(argv, stdout=subprocess.PIPE)
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        return child.pid

    yield begin
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def look(pid: int, runtime: str, seconds: float = 0.5, flame_graph: str = "", deadline: float = 30) -> list[Fact]:
    return list(profile.profile(pid, own_ticks(pid), f"it[{pid}]", runtime, seconds, flame_graph, Deadline(deadline)))


SPIN_PY = """
def crunch_numbers(count):
    total = 0
    for number in range(count):
        total += number * number
    return total

print("ready", flush=True)
while True:
    crunch_numbers(10_000)
"""

THREADS_PY = """
import threading, time

def crunch_numbers():
    while True:
        sum(range(1000))

def doze():
    while True:
        time.sleep(1)

for number in range(3):
    threading.Thread(target=doze, name=f"dozing {number}", daemon=True).start()
threading.Thread(target=crunch_numbers, name="busy; (one)", daemon=True).start()
print("ready", flush=True)
time.sleep(60)
"""

SPIN_C = """
#include <unistd.h>
volatile unsigned long x;
__attribute__((noinline)) void crunch_numbers(void) { for (int i = 0; i < 100000; i++) x += i; x++; }
int main(void) { write(1, "ready\\n", 6); for (;;) { crunch_numbers(); } }
"""


@pytest.fixture
def build(tmp_path: Path) -> Callable[[str], Path]:
    """Compiles a program."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler")

    def make(source: str) -> Path:
        (tmp_path / "spin.c").write_text(source)
        program = tmp_path / "spin"
        options = ("-O1", "-fno-omit-frame-pointer", "-pthread")
        subprocess.run([compiler, *options, "-o", str(program), str(tmp_path / "spin.c")], check=True)
        return program

    return make


@pytest.fixture
def spinner(build: Callable[[str], Path]) -> Path:
    """A compiled program that spins in a function of that name."""
    return build(SPIN_C)


def test_a_python_loop_is_named_with_file_and_line(tmp_path: Path, start: Callable[..., int]) -> None:
    need("py-spy", "python")
    (tmp_path / "spin.py").write_text(SPIN_PY)
    pid = start(sys.executable, str(tmp_path / "spin.py"))
    first, hot, *_ = look(pid, "python", flame_graph=str(tmp_path / "graph.svg"))
    assert isinstance(first, Profile)
    assert isinstance(hot, HotFunction)
    assert (first.tool, first.flame_graph) == ("py-spy", str(tmp_path / "graph.svg"))
    assert first.samples > 5
    assert (hot.function, hot.file, hot.line in (4, 5)) == ("crunch_numbers", str(tmp_path / "spin.py"), True)
    assert hot.part > 0.8
    assert "crunch_numbers (spin.py:" in str(
        [t.text for t in ElementTree.parse(tmp_path / "graph.svg").iter("{http://www.w3.org/2000/svg}title")]
    )


def test_the_busy_one_of_many_python_threads_is_named(tmp_path: Path, start: Callable[..., int]) -> None:
    need("py-spy", "python")
    (tmp_path / "threads.py").write_text(THREADS_PY)
    facts = look(start(sys.executable, str(tmp_path / "threads.py")), "python")
    hot = next(f for f in facts if isinstance(f, HotFunction))
    assert (hot.function, hot.thread) == ("crunch_numbers", "busy; (one)")


def test_a_compiled_loop_is_named_and_nothing_is_left_behind(
    tmp_path: Path, start: Callable[..., int], spinner: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("perf", "native")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(home))
    monkeypatch.chdir(home)
    first, hot, *_ = look(start(str(spinner)), "native")
    assert isinstance(first, Profile)
    assert isinstance(hot, HotFunction)
    assert (first.tool, hot.function, hot.file, hot.line) == ("perf", "crunch_numbers", str(spinner), None)
    assert hot.part > 0.8
    assert os.listdir(home) == []


def test_a_program_with_a_hostile_name(tmp_path: Path, start: Callable[..., int], spinner: Path) -> None:
    need("perf", "native")
    hostile = tmp_path / "\x1b[2J;) (\n7\n"
    shutil.copy(spinner, hostile)
    graph = tmp_path / "graph.svg"
    pid = start(str(hostile))
    first, hot, *_ = profile.profile(
        pid, own_ticks(pid), f"{hostile.name}[{pid}]", "native", 0.5, str(graph), Deadline(30)
    )
    assert isinstance(first, Profile)
    assert isinstance(hot, HotFunction)
    assert hot.thread == hostile.name
    assert r"\x1b[2J;) (\n7\n" in str(ElementTree.parse(graph).findtext("{http://www.w3.org/2000/svg}title"))


ORPHAN_C = """
#include <pthread.h>
#include <unistd.h>
volatile unsigned long x;
__attribute__((noinline)) void crunch_numbers(void) { for (int i = 0; i < 100000; i++) x += i; x++; }
void *work(void *none) { write(1, "ready\\n", 6); for (;;) crunch_numbers(); return none; }
int main(void) { pthread_t t; pthread_create(&t, 0, work, 0); pthread_exit(0); }
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel gives the files of such a process to root")
def test_a_process_whose_main_thread_has_ended(start: Callable[..., int], build: Callable[[str], Path]) -> None:
    """It looks like a zombie. perf finds no names there, because the kernel shows no memory map of it."""
    need("perf", "native")
    first, *_ = look(start(str(build(ORPHAN_C))), "native")
    assert isinstance(first, Profile)
    assert first.samples > 5


LATE_C = """
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>
volatile unsigned long x;
void *work(void *none) { prctl(PR_SET_NAME, "late worker"); for (;;) x++; return none; }
int main(void) { pthread_t t; write(1, "ready\\n", 6); usleep(300000); pthread_create(&t, 0, work, 0); pause(); }
"""


def test_a_thread_born_meanwhile_has_its_name(start: Callable[..., int], build: Callable[[str], Path]) -> None:
    need("perf", "native")
    _, hot, *_ = look(start(str(build(LATE_C))), "native", seconds=1)
    assert isinstance(hot, HotFunction)
    assert hot.thread == "late worker"


def test_a_shell_loop(start: Callable[..., int]) -> None:
    need("perf", "native")
    first, hot, *_ = look(start("sh", "-c", "echo ready; while :; do :; done"), "native")
    assert isinstance(first, Profile)
    assert isinstance(hot, HotFunction)
    assert (first.tool, first.samples > 5) == ("perf", True)


def test_perf_stands_in_where_py_spy_is_not_installed(
    tmp_path: Path, start: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    perf = need("perf", "python")
    pid = start(sys.executable, "-c", SPIN_PY)
    (tmp_path / "perf").symlink_to(perf.path)
    (tmp_path / "sleep").symlink_to(shutil.which("sleep") or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    first, hot, *_ = look(pid, "python")
    assert isinstance(first, Profile)
    assert isinstance(hot, HotFunction)
    assert first.tool == "perf"


def test_perf_stands_in_where_py_spy_fails(start: Callable[..., int]) -> None:
    need("py-spy", "python")
    need("perf", "python")
    first, *_ = look(start("sh", "-c", "echo ready; while :; do :; done"), "python")
    assert isinstance(first, Profile)
    assert first.tool == "perf"


def test_perf_stands_in_where_py_spy_sees_nothing(
    tmp_path: Path, start: Callable[..., int], bare: Callable[..., None]
) -> None:
    perf = need("perf", "python")
    pid = start("sh", "-c", "echo ready; while :; do :; done")
    (tmp_path / "perf").symlink_to(perf.path)
    (tmp_path / "sleep").symlink_to(shutil.which("sleep") or "")
    bare(py_spy="#!/bin/sh\n")
    first, *_ = look(pid, "python")
    assert isinstance(first, Profile)
    assert (first.tool, first.samples > 5) == ("perf", True)


def test_py_spy_is_told_to_stop_when_its_seconds_are_over(bare: Callable[..., None]) -> None:
    """It takes whole seconds only, and may start late."""
    bare(py_spy="#!/bin/sh\ntrap 'exit 7' INT\nwhile :; do :; done\n")
    assert refused(os.getpid(), own_ticks(os.getpid()), runtime="python")[1] == "py-spy: exit status 7"


@pytest.mark.parametrize(("tool", "runtime"), [("py-spy", "python"), ("perf", "native")])
def test_a_process_that_vanishes_meanwhile_is_profiled_to_its_end(
    start: Callable[..., int], tool: str, runtime: str
) -> None:
    need(tool, runtime)
    pid = start(sys.executable, "-c", SPIN_PY)
    timer = threading.Timer(1, os.kill, (pid, signal.SIGKILL))
    timer.start()
    first, hot, *_ = look(pid, runtime, seconds=15)
    timer.join()
    assert isinstance(first, Profile)
    assert isinstance(hot, HotFunction)
    assert (first.tool, first.seconds < 10) == (tool, True)


def test_an_idle_process_has_no_samples_and_no_hot_function(tmp_path: Path, start: Callable[..., int]) -> None:
    need("perf", "native")
    graph = tmp_path / "graph.svg"
    (only,) = look(start("sh", "-c", "echo ready; exec sleep 60"), "native", flame_graph=str(graph))
    assert isinstance(only, Profile)
    assert only.samples == 0
    assert "no samples" in graph.read_text()


def test_fewer_seconds_where_the_deadline_is_near(start: Callable[..., int]) -> None:
    need("perf", "native")
    first, *_ = look(start("sh", "-c", "echo ready; while :; do :; done"), "native", seconds=30, deadline=4)
    assert isinstance(first, Profile)
    assert 0.2 <= first.seconds <= 2.5


def test_no_profile_where_no_time_is_left_for_one() -> None:
    need("perf", "native")
    with pytest.raises(OutOfTime):
        look(os.getpid(), "native", deadline=1.6)


def refused(*arguments: object, flame_graph: str = "", runtime: str = "native") -> tuple[str, str, str]:
    pid, ticks = arguments
    with pytest.raises(CannotLook) as caught:
        list(profile.profile(pid, ticks, "it[1]", runtime, 1, flame_graph, Deadline(20)))  # type: ignore[arg-type]
    return caught.value.gap.reason, caught.value.gap.detail, caught.value.gap.unlock


def test_another_process_with_the_same_number_is_not_touched(tmp_path: Path, bare: Callable[..., None]) -> None:
    bare(perf=f"#!/bin/sh\n: > {tmp_path}/called\n")
    assert refused(os.getpid(), own_ticks(os.getpid()) + 1) == (
        "missing",
        "it[1] ended before it could be profiled",
        "",
    )
    assert not (tmp_path / "called").exists()


def test_a_process_replaced_meanwhile_has_no_profile(
    bare: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare(py_spy="#!/bin/sh\nfor last; do :; done\necho 'thread (1): M;run (a.py:1) 9' > ${last#--output=}\n")
    before_and_after = iter((5, 6))
    monkeypatch.setattr(profile, "_start_ticks", lambda _: next(before_and_after))
    assert refused(os.getpid(), 5, runtime="python") == ("missing", "it[1] ended before it could be profiled", "")


def test_a_process_that_has_gone() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert refused(gone.pid, 1)[:2] == ("missing", "it[1] ended before it could be profiled")


def test_a_graph_that_cannot_be_written_is_said_before_anything_is_profiled(bare: Callable[..., None]) -> None:
    bare()
    folder = "/nowhere/to/be/found"
    assert refused(os.getpid(), own_ticks(os.getpid()), flame_graph=f"{folder}/x.svg") == (
        "missing",
        f"the folder {folder} for the flame graph is not there",
        f"mkdir -p {folder}",
    )


def test_no_profiler_at_all(bare: Callable[..., None]) -> None:
    bare()
    assert refused(os.getpid(), own_ticks(os.getpid()), runtime="python") == (
        "missing",
        "py-spy missing: not installed: pip install 'rbdiag[profile]'; "
        "perf missing: not installed: package linux-perf, linux-tools or perf",
        "py-spy: pip install 'rbdiag[profile]'; perf: package linux-perf, linux-tools or perf",
    )


FAILS = "#!/bin/sh\necho 'cannot: password=hunter2' >&2\nexit 5\n"


@pytest.mark.parametrize(
    ("allowed", "reason", "unlock"),
    [(True, "failed", ""), (False, "forbidden", "run as root")],
    ids=["with all rights", "without the rights"],
)
def test_a_profiler_that_fails_is_quoted_without_secrets(
    bare: Callable[..., None], monkeypatch: pytest.MonkeyPatch, allowed: bool, reason: str, unlock: str
) -> None:
    bare(perf=FAILS)
    monkeypatch.setattr(profilers, "_setting", {"perf_event_paranoid": 1}.get)
    monkeypatch.setattr(profile, "capable", lambda *_: allowed)
    monkeypatch.setattr(profilers, "capable", lambda *_: allowed)
    assert refused(os.getpid(), own_ticks(os.getpid())) == (
        reason,
        "perf record: exit status 5: cannot: password=***",
        unlock,
    )


def test_the_first_tools_failure_is_told_where_none_succeeds(
    bare: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare(py_spy="#!/bin/sh\nexit 6\n", perf=FAILS)
    monkeypatch.setattr(profilers, "_setting", {"perf_event_paranoid": 1}.get)
    monkeypatch.setattr(profile, "capable", lambda *_: True)
    monkeypatch.setattr(profilers, "capable", lambda *_: True)
    assert refused(os.getpid(), own_ticks(os.getpid()), runtime="python")[1] == "py-spy: exit status 6"


def test_a_process_that_ended_is_why_its_profiler_failed(
    bare: Callable[..., None], monkeypatch: pytest.MonkeyPatch, start: Callable[..., int]
) -> None:
    pid = start("sh", "-c", "echo ready; exec sleep 60")
    ticks = own_ticks(pid)
    # a signal takes its time: the profiler gives up only when its process is gone
    bare(perf=f"#!/bin/sh\nkill -9 {pid}\nuntil grep -q '^State:.*Z' /proc/{pid}/status; do :; done\nexit 5\n")
    monkeypatch.setattr(profilers, "_setting", {"perf_event_paranoid": 1}.get)
    assert refused(pid, ticks)[:2] == ("missing", "it[1] ended before it could be profiled")


def test_a_graph_that_could_not_be_saved_does_not_lose_the_profile(tmp_path: Path, start: Callable[..., int]) -> None:
    need("perf", "native")
    folder = tmp_path / "folder"
    folder.mkdir()
    pid = start("sh", "-c", "echo ready; while :; do :; done")
    timer = threading.Timer(0.3, shutil.rmtree, (folder,))
    timer.start()
    facts = profile.profile(pid, own_ticks(pid), "it", "native", 1, str(folder / "graph.svg"), Deadline(30))
    first, hot = next(facts), next(facts)
    with pytest.raises(FileNotFoundError):
        list(facts)
    timer.join()
    assert isinstance(first, Profile)
    assert first.flame_graph == ""
    assert isinstance(hot, HotFunction)
