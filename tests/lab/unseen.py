"""Faults and healthy twins that no threshold was set by: other programs, other languages, other ways to be busy."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.lab import proc
from tests.lab.cpu import FUNCTION, MASTER, PART_TIME, SHELL_SPIN, SPIN, prove_cores
from tests.lab.proc import cpu_seconds, cpus, group_counter, rate, stat_counter
from tests.lab.scenario import Fault, Setup, fault, twin
from tests.lab.workbench import Lab, NotInEffect

HOG = "cpu.process-hog"
KERNEL = "cpu.system-time"


def _child(pid: int, within: float = 5) -> int:
    """The first child of a wrapper, once it has one."""
    deadline = time.monotonic() + within
    while not (found := proc.children(pid)):
        if time.monotonic() > deadline:
            raise NotInEffect(f"process {pid} has no child")
        time.sleep(0.02)
    return found[0]


def _family(pid: int) -> list[int]:
    """A process and all that descend from it, as they are now."""
    try:
        below = proc.children(pid)
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(member for child in below for member in _family(child))]


def _prove_family(lab: Lab, pid: int, at_least: float) -> None:
    """Prove that a process and its children, the ended and reaped ones too, use so many cores together."""
    reaped = slice(11, 15)
    counter = lambda: sum(cpu_seconds(member, kinds=reaped) for member in _family(pid))  # noqa: E731 - a measurement
    lab.prove(f"cores used by {pid} and its children", lambda: rate(counter, 1.5), at_least=at_least)


def _threads_busiest(pid: int) -> float:
    """Cores used by the busiest thread of a process."""
    before = _thread_times(pid)
    time.sleep(1)
    return max(seconds - before.get(tid, 0.0) for tid, seconds in _thread_times(pid).items())


def _thread_times(pid: int) -> dict[str, float]:
    """The CPU time of each thread; /proc/TID/stat, without the task, would be that of the whole process."""
    stats = {task.name: (task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()}
    return {tid: sum(map(int, stat.rpartition(")")[2].split()[11:13])) * proc.TICK for tid, stat in stats.items()}


# One process


@fault(HOG, needs=("awk",))
def awk_loop(lab: Lab) -> Setup:
    """An awk program whose loop never ends."""
    pid = lab.start("awk", "BEGIN { while (1) x++ }").pid
    prove_cores(lab, pid)
    yield Fault((str(pid),))


@fault(HOG, needs=("perl",))
def perl_loop(lab: Lab) -> Setup:
    """A Perl script whose pattern backtracks for ever."""
    pid = lab.start(lab.script("parselog.pl", '("a" x 40) =~ /^(a|a)*b/ while 1;\n', "/usr/bin/perl")).pid
    prove_cores(lab, pid)
    yield Fault((str(pid),), shown=("parselog.pl",))


@fault(HOG)
def threads_of_one_lock(lab: Lab) -> Setup:
    """A Python service of eight busy threads that take turns at the interpreter's one lock: one core, no hot thread."""
    source = "import threading\ndef spin():\n    while True:\n        pass\n"
    source += "for n in range(8):\n    threading.Thread(target=spin, name=f'feed-{n}').start()\n"
    pid = lab.start(lab.script("feedd", source)).pid
    prove_cores(lab, pid, at_least=0.85)
    lab.prove("most cores used by one thread", lambda: _threads_busiest(pid), at_most=0.4)
    yield Fault((str(pid),), shown=("feedd",))


@fault(HOG, KERNEL, needs=("yes",))
def yes_to_nowhere(lab: Lab) -> Setup:
    """`yes` that somebody left running."""
    pid = lab.start("yes").pid
    prove_cores(lab, pid)
    yield Fault((str(pid),), shown=("yes",))


@fault(HOG, needs=("openssl",))
def crypto_benchmark(lab: Lab) -> Setup:
    """A benchmark of hashes that somebody left running."""
    pid = lab.start("openssl", "speed", "-seconds", "60", "-bytes", "16384", "sha256").pid
    prove_cores(lab, pid)
    yield Fault((str(pid),), shown=("openssl",))


@fault(HOG, "cpu.db-query", needs=("sqlite3",))
def sqlite_loop(lab: Lab) -> Setup:
    """A statement of SQLite that has no end."""
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    pid = lab.start("sqlite3", ":memory:", endless).pid
    prove_cores(lab, pid)
    yield Fault((str(pid),), shown=("sqlite3",))


@fault(HOG, needs=("taskset",))
def pinned_alone(lab: Lab) -> Setup:
    """One process in an endless loop that may use one CPU only, which is all it could use anyway."""
    pid = lab.start("taskset", "-c", str(min(os.sched_getaffinity(0))), sys.executable, "-c", SPIN).pid
    prove_cores(lab, pid)
    lab.prove("CPUs it may use", lambda: len(os.sched_getaffinity(pid)), at_most=1)
    yield Fault((str(pid),))


@fault(HOG, needs=("gcc",))
def deleted_program(lab: Lab) -> Setup:
    """A compiled program in an endless loop whose file has been deleted, as after an upgrade."""
    path = Path(lab.compiled("spin", "ledgerd"))
    pid = lab.start(str(path)).pid
    path.unlink()
    lab.prove("its program is deleted", lambda: os.readlink(f"/proc/{pid}/exe").endswith("(deleted)"), at_least=1)
    prove_cores(lab, pid)
    yield Fault((str(pid),), shown=("ledgerd",))


@fault(HOG, needs=("root", "unshare"))
def hog_in_a_pid_namespace(lab: Lab) -> Setup:
    """An endless loop that is process 1 of a pid namespace of its own; outside it has another number."""
    wrapper = lab.start("unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", SPIN).pid
    pid = _child(wrapper)
    lab.prove("its number inside", lambda: _inner_pid(pid), at_most=1)
    prove_cores(lab, pid)
    yield Fault((str(pid),))


def _inner_pid(pid: int) -> int:
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("NSpid:"))
    return int(line.split()[-1])


@fault(HOG, KERNEL)
def chatty_log(lab: Lab) -> Setup:
    """A service at debug level that logs in a loop, each line flushed, to memory."""
    if not os.access("/dev/shm", os.W_OK):
        raise NotInEffect("no tmpfs at /dev/shm")
    path = Path(f"/dev/shm/rbdiag-lab-{os.getpid()}.log")
    lab.defer(path.unlink, True)
    source = "import logging, os, sys\nlogging.basicConfig(filename=sys.argv[1], level=logging.DEBUG)\nwhile True:\n"
    source += "    for n in range(10000):\n        logging.debug('item %d of the queue looked at', n)\n"
    source += "    os.truncate(sys.argv[1], 0)\n"
    pid = lab.start(lab.script("queued", source), str(path)).pid
    prove_cores(lab, pid)
    yield Fault((str(pid),), shown=("queued",))


@fault(HOG, needs=("gcc",))
def memory_bandwidth(lab: Lab) -> Setup:
    """A program that copies memory to and fro: it waits for memory, which shows as user time."""
    copier = """
    #include <stdlib.h>
    #include <string.h>
    int main(void) {
        size_t size = 128u << 20;
        volatile char *from = malloc(size), *to = malloc(size);
        memset((char *)from, 1, size);
        for (;;) { memcpy((char *)to, (char *)from, size); volatile char *old = from; from = to; to = old; }
    }
    """
    pid = lab.start(_compiled(lab, "cubed", copier)).pid
    prove_cores(lab, pid)
    yield Fault((str(pid),), shown=("cubed",))


def _compiled(lab: Lab, name: str, source: str) -> str:
    file, path = lab.write(f"{name}.c", source), str(lab.folder / name)
    lab.run("gcc", "-O1", "-pthread", "-o", path, str(file))
    return path


@fault(HOG, "cpu.finite-work", needs=("sort", "shuf"))
def big_sort(lab: Lab) -> Setup:
    """A sort of some hundred megabytes of numbers."""
    lab.run("shuf", "-i", "1-5000000", "-o", str(lab.folder / "numbers"))
    pid = lab.start("sort", "-S", "200M", "-T", str(lab.folder), "-o", "sorted", *["numbers"] * 8).pid
    prove_cores(lab, pid)
    yield Fault((str(pid),), shown=("sort",))


# Several processes


@fault("cpu.many-processes")
def shell_children(lab: Lab) -> Setup:
    """A shell script that starts loops in the background and waits for them."""
    many = 4 * cpus()
    source = f"for n in $(seq {many}); do ({SHELL_SPIN}) & done\nwait\n"
    pid = lab.start(lab.script("rebuild-index", source, "/bin/bash")).pid
    _prove_family(lab, pid, 0.6 * cpus())
    yield Fault(("rebuild-index", str(pid)))


@fault("cpu.many-processes", "cpu.finite-work", needs=("xargs",))
def xargs_workers(lab: Lab) -> Setup:
    """Workers that xargs starts anew every half second each: the family stays, its members do not."""
    work = "import time\nwhile time.process_time() < 0.5:\n    sum(range(10_000))\n"
    convert = lab.script("convert-one", work)
    items = lab.write("items", "\n".join(map(str, range(5000))))
    pid = lab.start("xargs", "-a", str(items), "-P", str(2 * cpus()), "-n", "1", convert).pid
    _prove_family(lab, pid, 0.6 * cpus())
    yield Fault(("xargs", str(pid)))


@fault(HOG, "cpu.many-processes")
def python_pool(lab: Lab) -> Setup:
    """A Python pool of one worker for each CPU, all at work on a job that has no end."""
    source = "import multiprocessing as m\ndef work(n):\n    while True:\n        pass\n"
    source += f"if __name__ == '__main__':\n    m.Pool({cpus()}).map(work, range({cpus()}))\n"
    pid = lab.start(lab.script("score-all", source)).pid
    _prove_family(lab, pid, 0.7 * cpus())
    yield Fault(("score-all", str(pid), *map(str, proc.children(pid))))


@fault("cpu.finite-work", needs=("cat", "gzip"))
def gzip_pipe(lab: Lab) -> Setup:
    """A pipe into gzip."""
    pid = lab.start("sh", "-c", "cat /dev/zero | gzip > /dev/null").pid
    _prove_family(lab, pid, 0.7)
    yield Fault(("gzip", *map(str, _family(pid))))


@fault("cpu.finite-work", needs=("dpkg-deb",))
def package_build(lab: Lab) -> Setup:
    """dpkg-deb packs a large package."""
    (lab.folder / "tree/DEBIAN").mkdir(parents=True)
    lab.write(
        "tree/DEBIAN/control", "Package: big\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: big\n"
    )
    (lab.folder / "tree/data").write_bytes(os.urandom(40_000_000).hex().encode())
    pid = lab.start("dpkg-deb", "--build", "tree", "big.deb").pid
    _prove_family(lab, pid, 0.7)
    yield Fault(("dpkg-deb", *map(str, _family(pid))))


@fault(KERNEL, HOG, "cpu.fork-storm", needs=("find",))
def metadata_scan(lab: Lab) -> Setup:
    """A scan of every file's metadata, over and over, from the kernel's caches."""
    scan = "while :; do find /usr -xdev -size +1000000k > /dev/null; done"
    pid = lab.start(lab.script("audit-files", scan, "/bin/sh")).pid
    lab.run("find", "/usr", "-xdev", "-size", "+1000000k")
    _prove_family(lab, pid, 0.7)
    yield Fault(("audit-files", "find", str(pid)))


@fault("svc.crash-loop", "cpu.fork-storm", "cpu.many-processes")
def crash_looping_child(lab: Lab) -> Setup:
    """A shell that starts its program again each time it ends, which it does after a third of a second of work."""
    lab.script("worker", "import time\nwhile time.process_time() < 0.3:\n    sum(range(10_000))\n")
    pid = lab.start(lab.script("keep-running", "while :; do ./worker; done", "/bin/sh")).pid
    _prove_family(lab, pid, 0.7)
    lab.prove("forks a second", lambda: rate(lambda: stat_counter("processes"), 2), at_most=15)
    yield Fault(("keep-running", "sh", str(pid)))


@fault("cpu.job-overlap")
def overlapping_jobs(lab: Lab) -> Setup:
    """Three runs of one scheduled job, half a minute apart (they wait meanwhile), each with a shell of its own."""
    job = lab.script("nightly", "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.1)\n" + SPIN)
    shells = []
    for _ in range(3):
        if shells:
            time.sleep(31)
        shells.append(lab.start("sh", "-c", f"{job} --all; :").pid)
    lab.write("go", "")
    jobs = [_child(pid) for pid in shells]
    prove_cores(lab, *jobs, at_least=0.6 * cpus())
    yield Fault(("nightly", *map(str, jobs)))


@fault(KERNEL, "cpu.softirq", needs=("root", "ping"))
def ping_flood(lab: Lab) -> Setup:
    """A flood of pings to the host itself."""
    pid = lab.start("ping", "-f", "-q", "127.0.0.1").pid
    prove_cores(lab, pid, at_least=0.6)
    yield Fault(shown=("ping",))


def _stressed(lab: Lab, *argv: str, cores: float) -> int:
    pid = lab.start("stress-ng", "--quiet", "--temp-path", str(lab.folder), *argv).pid
    _prove_family(lab, pid, cores)
    return pid


@fault("cpu.many-processes", needs=("stress-ng",))
def stress_many(lab: Lab) -> Setup:
    """A load generator with four workers for each CPU."""
    pid = _stressed(lab, "--cpu", str(4 * cpus()), cores=0.6 * cpus())
    yield Fault(("stress-ng", str(pid)))


@fault(KERNEL, needs=("stress-ng",))
def stress_switching(lab: Lab) -> Setup:
    """A load generator that does nothing but switch between tasks."""
    pid = _stressed(lab, "--switch", "1", cores=0.5)
    lab.prove("context switches a second", lambda: rate(lambda: stat_counter("ctxt")), at_least=50_000)
    yield Fault(("stress-ng", "stress-ng-switch", *map(str, _family(pid))))


@fault("cpu.fork-storm", needs=("stress-ng",))
def stress_forking(lab: Lab) -> Setup:
    """A load generator that does nothing but fork."""
    pid = _stressed(lab, "--fork", "2", cores=0.4)
    lab.prove("forks a second", lambda: rate(lambda: stat_counter("processes")), at_least=150)
    yield Fault(("stress-ng", "stress-ng-fork", *map(str, _family(pid))))


@fault(KERNEL, needs=("stress-ng",))
def stress_locks(lab: Lab) -> Setup:
    """A load generator that hands a futex to and fro."""
    pid = _stressed(lab, "--futex", "2", cores=0.6)
    yield Fault(("stress-ng", "stress-ng-futex", *map(str, _family(pid))))


@fault(KERNEL, needs=("stress-ng",))
def stress_polling(lab: Lab) -> Setup:
    """A load generator that polls without waiting."""
    pid = _stressed(lab, "--poll", "2", cores=0.6)
    yield Fault(("stress-ng", "stress-ng-poll", *map(str, _family(pid))))


@fault(KERNEL, HOG, needs=("stress-ng",))
def stress_memory(lab: Lab) -> Setup:
    """A load generator that maps, writes and gives back memory."""
    pid = _stressed(lab, "--vm", "1", "--vm-bytes", "256M", cores=0.7)
    yield Fault(("stress-ng", "stress-ng-vm", *map(str, _family(pid))))


# Healthy twins


@twin(needs=("root", "cgroup v1 cpu"))
def quota_not_reached(lab: Lab) -> Setup:
    """A service that lives well below its CPU quota."""
    group = lab.cgroup(1, "cpu", cpu_cfs_period_us=100_000, cpu_cfs_quota_us=80_000)
    pid = lab.start(lab.script("mailerd", "import time\n" + PART_TIME.format(busy=0.03)), group=group).pid
    prove_cores(lab, pid, at_least=0.15)
    lab.prove("throttled periods a second", lambda: rate(lambda: group_counter(group, "nr_throttled"), 1), at_most=0)
    yield Fault()


SERVER = """
import hashlib, socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        body = hashlib.pbkdf2_hmac("sha256", b"basket", b"salt", 3000).hex()
        self.wfile.write(f"HTTP/1.0 200 OK\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}".encode())
server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
CLIENT = """
import socket, sys, time
while True:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.sendall(b"GET / HTTP/1.0\\r\\n")
        while connection.recv(4096):
            pass
    time.sleep(float(sys.argv[2]))
"""


@twin()
def web_server_at_work(lab: Lab) -> Setup:
    """A web server with hundreds of short requests a second, each on a connection of its own, at some 40 %."""
    server = lab.start(lab.script("basketd", SERVER), stdout=-1)
    assert server.stdout is not None
    port = server.stdout.readline().decode().strip()
    clients = [lab.start(sys.executable, "-c", CLIENT, port, "0.003").pid for _ in range(2)]
    prove_cores(lab, server.pid, *clients, at_least=0.3)
    lab.prove("busy part of the host", lambda: proc.busy_part(1), at_least=0.2, at_most=0.65)
    yield Fault()


TEAM = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static long busy, rest;
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static void *work(void *arg) {
    struct timespec pause = {0, rest * 1000};
    for (;;) {
        for (double end = now() + busy / 1e6; now() < end;)
            for (volatile int n = 0; n < 10000; n++) ;
        nanosleep(&pause, NULL);
    }
    return arg;
}
int main(int argc, char **argv) {
    pthread_t thread;
    int many = atoi(argv[1]);
    busy = atol(argv[2]), rest = atol(argv[3]);
    for (int n = 0; n < many; n++) pthread_create(&thread, NULL, work, NULL);
    puts("ready");
    fflush(stdout);
    pthread_join(thread, NULL);
    return argc;
}
"""


@twin(needs=("gcc",))
def threads_a_little_busy(lab: Lab) -> Setup:
    """A service of 300 threads, each a little busy: a quarter of the host together."""
    rest = int(300 * 100 / (0.25 * cpus()))
    pid = lab.ready(_compiled(lab, "streamd", TEAM), "300", "100", str(rest)).pid
    lab.prove("threads", lambda: proc.threads(pid), at_least=300)
    prove_cores(lab, pid, at_least=0.1 * cpus())
    lab.prove("busy part of the host", lambda: proc.busy_part(1), at_most=0.45)
    yield Fault()


@twin(needs=("gcc",))
def application_server_at_work(lab: Lab) -> Setup:
    """One service of twelve threads, none of which is ever long at it: 60 % of the host, and nobody waits."""
    many = 6 * cpus()
    pid = lab.ready(_compiled(lab, "ordersrv", TEAM), str(many), "1000", "8500").pid
    prove_cores(lab, pid, at_least=0.5 * cpus())
    lab.prove("most cores used by one thread", lambda: _threads_busiest(pid), at_most=0.25)
    lab.prove("busy part of the host", lambda: proc.busy_part(1), at_least=0.5, at_most=0.75)
    yield Fault()


IDLE = """
public class Idle {
    public static void main(String[] args) throws Exception {
        for (int n = 0; n < 200; n++)
            new Thread(() -> { try { for (;;) Thread.sleep(100); } catch (InterruptedException e) { } }).start();
        System.out.println("ready");
    }
}
"""


@twin(needs=("java", "javac"))
def idle_jvm(lab: Lab) -> Setup:
    """A Java service of 200 threads that wake ten times a second and find nothing to do."""
    lab.run("javac", str(lab.write("Idle.java", IDLE)))
    pid = lab.ready("java", "-cp", str(lab.folder), "Idle").pid
    lab.prove("threads", lambda: proc.threads(pid), at_least=200)
    lab.prove("busy part of the host", lambda: proc.busy_part(1), at_most=0.2, within=20)
    yield Fault()


@twin(needs=("root", "mariadbd", "mariadb-install-db"))
def idle_database(lab: Lab) -> Setup:
    """MariaDB just started, without a client."""
    data, socket = lab.folder / "data", lab.folder / "s"
    lab.run("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db",
            "--auth-root-authentication-method=normal")  # fmt: skip
    lab.start("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={socket}",
              "--skip-networking", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M")  # fmt: skip
    lab.prove("socket is there", socket.exists, at_least=1, within=20)
    lab.prove("busy part of the host", lambda: proc.busy_part(1), at_most=0.2, within=20)
    yield Fault()


@twin()
def busy_cron_minute(lab: Lab) -> Setup:
    """Checks of a monitoring agent: some thirty short programs a second."""
    lab.start(lab.script("agent", "while :; do /bin/true; sleep 0.06; done", "/bin/sh"))
    lab.prove("forks a second", lambda: rate(lambda: stat_counter("processes"), 2), at_least=20, at_most=60)
    lab.prove("busy part of the host", lambda: proc.busy_part(1), at_most=0.25)
    yield Fault()


@twin(needs=("gcc", "make"))
def brief_build(lab: Lab) -> Setup:
    """A build that is over in two seconds."""
    for number in range(cpus()):
        text = "\n".join(FUNCTION.replace("SEED", str(number)).replace("N", str(n)) for n in range(250))
        lab.write(f"part{number}.c", text)
    lab.write("Makefile", "all: $(patsubst %.c,%.o,$(wildcard *.c))\n%.o: %.c\n\t@gcc -O2 -c -o $@ $<\n")
    make = lab.start("make", f"-j{cpus()}")
    lab.prove("busy part of the host", lambda: proc.busy_part(0.2), at_least=0.7, within=2, lasting=False)
    yield Fault()
    lab.prove("the build is over", lambda: make.poll() is not None, at_least=1, within=1)


@twin(allowed=("cpu.background-batch",))
def batch_at_nice_10(lab: Lab) -> Setup:
    """A batch job at nice 10 that takes all idle CPU."""
    source = "import os\nos.nice(10)\n" + MASTER.format(workers=cpus()) + SPIN
    workers = proc.children(lab.ready(lab.script("thumbsd", source)).pid)
    lab.prove("lowest nice value of the workers", lambda: min(map(proc.nice, workers)), at_least=10)
    prove_cores(lab, *workers, at_least=0.6 * cpus())
    yield Fault()
