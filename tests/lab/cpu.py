"""Faults of CPU: who burns it, how, and what only looks like it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.lab import proc
from tests.lab.proc import cpu_seconds, cpus, group_counter, rate, stat_counter, thread_seconds
from tests.lab.scenario import Fault, Setup, fault
from tests.lab.workbench import Lab

SPIN = "while True:\n    pass\n"
SHELL_SPIN = "while :; do :; done"
# Forks workers that each do what the text after it says, and waits for ever.
MASTER = """
import os, signal, time
for _ in range({workers}):
    if os.fork() == 0:
        break
else:
    print("ready", flush=True)
    signal.pause()
"""
# Uses so many seconds of CPU time in each tenth of a second. It counts between its looks at the clock of its CPU time,
# which is a system call: looking all the time is kernel time, and another fault.
PART_TIME = """
while True:
    begin, enough = time.monotonic(), time.process_time() + {busy}
    while time.process_time() < enough:
        for _ in range(10_000):
            pass
    time.sleep(max(0.0, begin + 0.1 - time.monotonic()))
"""


def prove_cores(lab: Lab, *pids: int, at_least: float = 0.7, lasting: bool = True) -> None:
    """Prove that these processes together use so many cores; less than they could, for this machine has other work."""
    text = f"cores used by {_listed(pids)}"
    lab.prove(text, lambda: rate(lambda: cpu_seconds(*pids)), at_least=at_least, lasting=lasting)


def _listed(pids: Iterable[int]) -> str:
    first, *rest = pids
    return f"process {first}" + (f" and {len(rest)} more" if rest else "")


@fault("cpu.process-hog", fast=True)
def python_endless_loop(lab: Lab) -> Setup:
    """One Python process in an endless loop."""
    pid = lab.start(sys.executable, "-c", SPIN).pid
    prove_cores(lab, pid)
    yield Fault((str(pid),))


@fault("cpu.process-hog")
def shell_loop(lab: Lab) -> Setup:
    """One shell in an endless loop."""
    pid = lab.start("sh", "-c", SHELL_SPIN).pid
    prove_cores(lab, pid)
    yield Fault((str(pid),))


@fault("cpu.process-hog", needs=("gcc",))
def c_loop(lab: Lab) -> Setup:
    """One compiled program in an endless loop."""
    pid = lab.start(lab.compiled("spin")).pid
    prove_cores(lab, pid)
    yield Fault((str(pid),))


@fault("cpu.process-hog", needs=("gcc",))
def eight_spinning_threads(lab: Lab) -> Setup:
    """One process with 8 spinning threads, one of them named indexer."""
    pid = lab.ready(lab.compiled("threads", "searchd"), "0", "8", "indexer").pid
    prove_cores(lab, pid, at_least=0.6 * min(cpus(), 8))
    lab.prove("cores used by the thread indexer", lambda: rate(lambda: thread_seconds(pid, "indexer")), at_least=0.05)
    yield Fault((str(pid),), shown=("indexer",))


@fault("cpu.runaway-thread", needs=("gcc",), fast=True)
def one_hot_thread(lab: Lab) -> Setup:
    """One thread of 21 spins, named compactor; the others sleep."""
    pid = lab.ready(lab.compiled("threads", "stored"), "20", "1", "compactor").pid
    lab.prove("threads", lambda: proc.threads(pid), at_least=22)
    lab.prove(
        "cores used by the thread compactor", lambda: rate(lambda: thread_seconds(pid, "compactor")), at_least=0.7
    )
    yield Fault((str(pid),), shown=("compactor",))


@fault("cpu.many-processes", fast=True)
def forty_workers(lab: Lab) -> Setup:
    """40 workers of one service at 5 % of a core each."""
    master = lab.ready(lab.script("ordersd", MASTER.format(workers=40) + PART_TIME.format(busy=0.005)))
    workers = proc.children(master.pid)
    lab.prove("workers", lambda: len(proc.children(master.pid)), at_least=40, at_most=40)
    prove_cores(lab, *workers, at_least=1.2)
    lab.prove("most cores used by one worker", lambda: _busiest(workers), at_most=0.2)
    yield Fault(("ordersd", str(master.pid)))


def _busiest(pids: list[int]) -> float:
    before = {pid: cpu_seconds(pid) for pid in pids}
    time.sleep(1)
    return max(cpu_seconds(pid) - before[pid] for pid in pids)


@fault("cpu.many-processes")
def eight_spinning_workers(lab: Lab) -> Setup:
    """Many spinning workers of one command, several for each CPU."""
    many = max(8, 4 * cpus())
    master = lab.ready(lab.script("crunchd", MASTER.format(workers=many) + SPIN))
    workers = proc.children(master.pid)
    lab.prove("workers", lambda: len(workers), at_least=many)
    prove_cores(lab, *workers, at_least=0.6 * cpus())
    yield Fault(("crunchd", str(master.pid)))


@fault("cpu.fork-storm", fast=True)
def fork_storm(lab: Lab) -> Setup:
    """A shell loop that starts one short-lived program after another."""
    pid = lab.start("sh", "-c", "while :; do /bin/true; done").pid
    lab.prove("forks a second", lambda: rate(lambda: stat_counter("processes")), at_least=150)
    yield Fault((str(pid),))


@fault("cpu.fork-storm")
def fork_storm_of_a_poller(lab: Lab) -> Setup:
    """A Python service that starts one short-lived program after another."""
    source = "import os\nwhile True:\n    os.waitpid(os.posix_spawn('/bin/uname', ['uname', '-r'], os.environ), 0)\n"
    pid = lab.start(lab.script("pollerd", source)).pid
    lab.prove("forks a second", lambda: rate(lambda: stat_counter("processes")), at_least=150)
    yield Fault(("pollerd", str(pid)))


@fault("cpu.system-time", fast=True)
def byte_by_byte(lab: Lab) -> Setup:
    """Copying byte by byte on every CPU: system calls and little else."""
    pids = [lab.start("dd", "if=/dev/zero", "of=/dev/null", "bs=1").pid for _ in range(cpus())]
    prove_cores(lab, *pids, at_least=0.6 * cpus())
    _prove_kernel_time(lab, pids)
    yield Fault(("dd", *map(str, pids)))


@fault("cpu.system-time")
def kernel_random_reader(lab: Lab) -> Setup:
    """One process has the kernel make random numbers without end."""
    pid = lab.start("cat", "/dev/urandom").pid
    prove_cores(lab, pid)
    _prove_kernel_time(lab, [pid])
    yield Fault(("cat", str(pid)))


@fault("cpu.system-time", needs=("gcc",))
def pipe_ping_pong(lab: Lab) -> Setup:
    """Two processes hand one byte to and fro: context switches and little else."""
    yield from _ping_pong(lab, pairs=1, cores=0.5)


@fault("cpu.system-time", needs=("gcc",))
def pipe_ping_pong_everywhere(lab: Lab) -> Setup:
    """A pair of processes for each CPU that hand one byte to and fro."""
    yield from _ping_pong(lab, pairs=cpus(), cores=0.6 * cpus())


def _ping_pong(lab: Lab, pairs: int, cores: float) -> Setup:
    program = lab.compiled("pingpong")
    pids = [lab.start(program).pid for _ in range(pairs)]
    lab.prove("context switches a second", lambda: rate(lambda: stat_counter("ctxt")), at_least=50_000)
    everyone = [*pids, *(child for pid in pids for child in proc.children(pid))]
    prove_cores(lab, *everyone, at_least=cores)
    _prove_kernel_time(lab, everyone)
    yield Fault(("pingpong", *map(str, everyone)))


def _prove_kernel_time(lab: Lab, pids: list[int]) -> None:
    def part() -> float:
        total, system = cpu_seconds(*pids), cpu_seconds(*pids, kinds=proc.SYSTEM)
        time.sleep(0.5)
        return (cpu_seconds(*pids, kinds=proc.SYSTEM) - system) / max(cpu_seconds(*pids) - total, proc.TICK)

    lab.prove(f"part of their time in the kernel, {_listed(pids)}", part, at_least=0.55)


@fault("cpu.cgroup-throttled", needs=("root", "cgroup v1 cpu"), fast=True)
def throttled_by_quota(lab: Lab) -> Setup:
    """A service at its CPU quota (cgroup v1) on an idle host."""
    yield from _throttled(lab, lab.cgroup(1, "cpu", cpu_cfs_period_us=100_000, cpu_cfs_quota_us=20_000))


@fault("cpu.cgroup-throttled", needs=("root", "cgroup v2 cpu"))
def throttled_by_quota_v2(lab: Lab) -> Setup:
    """A service at its CPU quota (cgroup v2) on an idle host."""
    yield from _throttled(lab, lab.cgroup(2, "cpu", cpu_max="20000 100000"))


def _throttled(lab: Lab, group: Path) -> Setup:
    pid = lab.start(lab.script("reportd", SPIN), group=group).pid
    lab.prove("throttled periods a second", lambda: rate(lambda: group_counter(group, "nr_throttled"), 1), at_least=5)
    lab.prove("busy part of the host", proc.busy_part, at_most=0.5)
    yield Fault((group.name, "reportd", str(pid)))


@fault("cpu.dstate-load", needs=("gcc",), fast=True)
def stuck_tasks(lab: Lab) -> Setup:
    """Ten tasks in uninterruptible sleep that wait for no disk, and an idle CPU."""
    pid = lab.ready(lab.compiled("stuck", "mountd"), "10").pid
    lab.prove("tasks in state D", lambda: proc.states(proc.children(pid)).count("D"), at_least=10)
    lab.prove("busy part of the host", proc.busy_part, at_most=0.5)
    yield Fault(shown=("mountd",))


@fault("cpu.dstate-load", "host.hung-tasks", needs=("root", "cgroup v1 freezer"))
def frozen_group(lab: Lab) -> Setup:
    """Ten processes frozen by a cgroup v1 freezer."""
    group = lab.cgroup(1, "freezer")
    master = lab.ready(lab.script("batchd", MASTER.format(workers=10) + PART_TIME.format(busy=0.001)), group=group)
    workers = proc.children(master.pid)
    lab.freeze(group)
    lab.prove("tasks in state D", lambda: proc.states(workers).count("D"), at_least=10)
    yield Fault(shown=("batchd",))


@fault("cpu.single-core-bound", needs=("two CPUs",))
def pinned_pool(lab: Lab) -> Setup:
    """A pool of four processes pinned to one CPU, while the others idle."""
    cpu = min(os.sched_getaffinity(0))
    pin = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\n"
    master = lab.ready(lab.script("encoderd", pin + MASTER.format(workers=4) + SPIN))
    workers = proc.children(master.pid)
    prove_cores(lab, *workers)
    lab.prove(f"busy part of CPU {cpu}", lambda: rate(lambda: proc.busy_seconds(cpu)), at_least=0.9)
    lab.prove("busy part of all CPUs", proc.busy_part, at_most=0.5 + 0.5 / cpus())
    yield Fault(("encoderd", str(master.pid), *map(str, workers), f"cpu{cpu}", f"CPU {cpu}"), shown=("encoderd",))


@fault("cpu.process-hog")
def two_unrelated_hogs(lab: Lab) -> Setup:
    """Two processes that have nothing to do with each other, both in an endless loop."""
    python = lab.start(lab.script("exportd", SPIN)).pid
    shell = lab.start("sh", "-c", SHELL_SPIN).pid
    for pid in (python, shell):
        prove_cores(lab, pid, at_least=0.6)
    answer = yield Fault((str(python), str(shell)))
    findings = answer.report["findings"] if answer.stdout else []
    for pid in (python, shell):
        named = any(f"[{pid}]" in f["subject"] + f["summary"] for f in findings)
        lab.expect(named, f"the hog {pid} is in no finding")


@fault("cpu.process-hog")
def hostile_name(lab: Lab) -> Setup:
    """A spinning process whose name would clear the screen."""
    rename = "open('/proc/self/comm', 'w').write('\\x1b[2J')\nprint('ready', flush=True)\n"
    pid = lab.ready(sys.executable, "-c", rename + SPIN).pid
    comm = Path(f"/proc/{pid}/comm")
    lab.prove("name begins with an escape", lambda: comm.read_text().startswith("\x1b[2J"), at_least=1)
    prove_cores(lab, pid)
    answer = yield Fault((str(pid),))
    for output in (answer, lab.rbdiag("cpu"), lab.rbdiag("cpu", "-o", "markdown")):
        lab.expect("\x1b" not in output.stdout + output.stderr, "an escape of the process name reaches the output")
        lab.expect(str(pid) in output.stdout, "the process is not in the output")


@fault("cpu.process-hog", "cpu.runaway-thread", needs=("node",))
def node_busy_event_loop(lab: Lab) -> Setup:
    """A Node.js service whose event loop never gets to its events."""
    pid = lab.start("node", "-e", "for (;;) {}").pid
    prove_cores(lab, pid)
    yield Fault((str(pid),))


@fault("cpu.finite-work", needs=("gcc", "make"))
def compile_jobs(lab: Lab) -> Setup:
    """A build that compiles with one job for each CPU: busy for a good reason."""
    for number in range(120):
        lab.write(f"part{number}.c", _source(number))
    lab.write("Makefile", "all: $(patsubst %.c,%.o,$(wildcard *.c))\n%.o: %.c\n\t@gcc -O2 -c -o $@ $<\n")
    pid = lab.start("make", f"-j{cpus()}").pid
    lab.prove("busy part of the host", lambda: proc.busy_part(1), at_least=0.8)
    lab.prove("compilers at work", lambda: len(proc.children(pid)), at_least=1)
    lab.prove("files compiled", lambda: len(list(lab.folder.glob("*.o"))), at_least=1)
    yield Fault(("make", str(pid), "gcc", "cc1"))


FUNCTION = """
double fN(double *a, int n) {
    double s = N + SEED;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) {
            if (a[i] > s) s += a[k] * N.5; else s -= a[(i * k + N) % n];
            switch (k % 7) { case N % 7: s *= a[i]; break; default: a[k] = s + i; }
        }
    return s;
}
"""


def _source(seed: int) -> str:
    """A C file that takes a compiler about a second."""
    return "\n".join(FUNCTION.replace("SEED", str(seed)).replace("N", str(n)) for n in range(250))


CHURN = """
import java.util.*;
public class Churn {
    public static void main(String[] args) {
        byte[][] live = new byte[50_000][];
        Random random = new Random(7);
        for (int i = 0; i < live.length; i++) live[i] = new byte[1000];
        for (;;) live[random.nextInt(live.length)] = new byte[1000];
    }
}
"""


@fault("cpu.gc-thrash", needs=("java", "javac"))
def java_gc_thrash(lab: Lab) -> Setup:
    """A Java service whose heap is nearly full of live objects, so that it does little but collect garbage."""
    source = lab.write("Churn.java", CHURN)
    lab.run("javac", str(source))
    heap = ("-Xmx64m", "-XX:+UseParallelGC", f"-XX:ParallelGCThreads={max(2, cpus())}", "-XX:-UseGCOverheadLimit")
    pid = lab.start("java", *heap, "-cp", str(lab.folder), "Churn").pid
    collectors = [f"GC Thread#{n}" for n in range(max(2, cpus()))]
    lab.prove(
        "cores used by the threads of the garbage collector",
        lambda: rate(lambda: sum(thread_seconds(pid, name) for name in collectors), 1),
        at_least=0.6,
        within=20,
    )
    yield Fault(("java", str(pid)))


@fault("cpu.db-query", needs=("root", "mariadbd", "mariadb-install-db", "mariadb"))
def database_query(lab: Lab) -> Setup:
    """MariaDB with a heavy query for each CPU."""
    data, socket = lab.folder / "data", str(lab.folder / "s")
    lab.run("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db",
            "--auth-root-authentication-method=normal")  # fmt: skip
    server = lab.start("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={socket}",
                       "--skip-networking", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M")  # fmt: skip
    lab.prove("socket is there", lambda: Path(socket).exists(), at_least=1, within=20)
    query = "SELECT BENCHMARK(100000000000, MD5(1))"
    for _ in range(cpus()):
        lab.start("mariadb", "--no-defaults", f"--socket={socket}", "--user=root", "-e", query)
    prove_cores(lab, server.pid, at_least=0.6 * cpus())
    yield Fault(("mariadbd", str(server.pid)), shown=("mariadbd",))


SHOP = """
import hashlib, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
log = open("access.log", "a", buffering=1)
def line(address, when):
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(when))
    return f'{address} - - [{stamp}] "GET /basket HTTP/1.1" 200 64 "-" "shop/1"\\n'
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or each answer waits for a delayed acknowledgement
    def do_GET(self):
        body = hashlib.pbkdf2_hmac("sha256", self.path.encode(), b"salt", 60_000).hex().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        log.write(line(self.client_address[0], time.time()))
    def log_message(self, *args):
        pass
class Server(ThreadingHTTPServer):
    daemon_threads = True
# The ten minutes before, as this server would have logged them: 10 requests a second from many clients.
now = time.time()
for n in range(6000):
    log.write(line(f"10.1.{n % 7}.{n % 251}", now - 600 + n / 10))
server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
CLIENTS = """
import http.client, sys, threading, time
def ask():
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    while time.monotonic() < end:
        connection.request("GET", "/basket")
        connection.getresponse().read()
end = time.monotonic() + 120
for _ in range(8):
    threading.Thread(target=ask).start()
"""


@fault("cpu.traffic-surge")
def traffic_surge(lab: Lab) -> Setup:
    """A web service that gets ten times its usual requests; the calm before is in its access log."""
    server = lab.start(lab.script("shopd", SHOP), stdout=-1)
    assert server.stdout is not None
    port = server.stdout.readline().decode().strip()
    lab.start(sys.executable, "-c", CLIENTS, port)
    log = lab.folder / "access.log"
    # A surge of a few seconds is a spike; let it stand long enough to be one.
    lab.prove("requests a second over 15 s", lambda: rate(lambda: log.read_bytes().count(b"\n"), 15), at_least=80)
    prove_cores(lab, server.pid, at_least=0.9)
    yield Fault(("shopd", str(server.pid)))


@fault("cpu.softirq", needs=("root", "ip", "gcc", "two CPUs"))
def packet_flood(lab: Lab) -> Setup:
    """A flood of small packets between two network namespaces."""
    sender, _ = lab.namespaces()
    flood = lab.compiled("flood")
    pids = [lab.start("ip", "netns", "exec", sender, flood, "10.90.77.2", "9").pid for _ in range(cpus())]
    softirq = lambda: rate(lambda: proc.host_seconds("softirq")) / (os.cpu_count() or 1)  # noqa: E731 - a measurement
    lab.prove("part of all CPU time in softirq", softirq, at_least=0.22)
    prove_cores(lab, *pids, at_least=0.6)
    yield Fault()
