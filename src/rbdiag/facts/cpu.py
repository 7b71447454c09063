"""Facts about CPU time: the host's, each CPU's, each process's, and what limits it.

A *share* is in cores (1.0 is one CPU fully used); a *part* is 0 to 1 of all CPUs together. Every measured fact
says over how many seconds, and in which window: the first one, or the longer one that confirms a suspicion.
"""

from __future__ import annotations

from typing import Literal

from rbdiag.facts import number, percent, span
from rbdiag.model import Fact

Window = Literal["first", "confirm"]
Runtime = Literal["python", "java", "node", "go", "php", "ruby", "perl", "dotnet", "native", "kernel", "unknown"]
# What a service is told by; `siblings` are like processes that one parent started side by side.
ServiceKind = Literal["unit", "container", "parent", "siblings", "process", "kernel"]
# Work whose programs are known to use all they can get, and what a verdict has to be careful about.
Doing = Literal["", "build", "pack", "database"]
ToolState = Literal["ready", "missing", "forbidden"]


class CpuThresholds(Fact):
    """From which part of the usable CPUs (0 to 1) the host counts as busy, and as saturated."""

    warning: float
    critical: float

    def __str__(self) -> str:
        return f"busy from {percent(self.warning)}, critical from {percent(self.critical)}"


class CpuTime(Fact):
    """Where the CPU time of the whole host went, by the kernel's own kinds; each a part of all CPUs.

    `user` holds guest time too, as the kernel counts it. Source: proc(5), /proc/stat.
    """

    window: Window
    seconds: float
    cpus: int
    user: float
    nice: float
    system: float
    idle: float
    iowait: float
    irq: float
    softirq: float
    steal: float

    @property
    def busy(self) -> float:
        """The part spent on work. iowait is idle time with another name; stolen time was never ours."""
        return self.user + self.nice + self.system + self.irq + self.softirq

    def __str__(self) -> str:
        kinds = ", ".join(
            f"{name} {percent(part)}"
            for name, part in (
                ("user", self.user),
                ("nice", self.nice),
                ("system", self.system),
                ("iowait", self.iowait),
                ("irq", self.irq),
                ("softirq", self.softirq),
                ("steal", self.steal),
            )
            if part >= 0.005 or name in ("user", "system")
        )
        many = f"{self.cpus} CPUs" if self.cpus > 1 else "1 CPU"
        return f"{many} {percent(self.busy)} busy over {span(self.seconds)}: {kinds}"


class CoreTime(Fact):
    """One CPU of the host; `busy` and the kinds are parts of this CPU. Only the busiest few are recorded."""

    window: Window
    busy: float
    system: float
    softirq: float
    irq: float
    steal: float

    def __str__(self) -> str:
        kinds = "".join(
            f", {name} {percent(part)}"
            for name, part in (("system", self.system), ("softirq", self.softirq), ("irq", self.irq))
            if part >= 0.1
        )
        return f"{self.subject} {percent(self.busy)} busy{kinds}"


class CpuSupply(Fact):
    """How many CPUs can really be used from here: those online, those allowed, and the quota of our own cgroup."""

    online: int
    allowed: int
    quota: float | None

    @property
    def usable(self) -> float:
        return min(self.online, self.allowed, self.quota or self.online)

    def __str__(self) -> str:
        quota = "" if self.quota is None else f", a quota of {self.quota:g} CPUs on our own cgroup"
        return f"{self.online} CPUs online, {self.allowed} allowed{quota}"


class LoadAverage(Fact):
    """Load over 1, 5 and 15 minutes (on Linux: runnable tasks and tasks in uninterruptible sleep), tasks now."""

    load1: float
    load5: float
    load15: float
    runnable: int
    tasks: int

    def __str__(self) -> str:
        loads = f"load {self.load1:g} {self.load5:g} {self.load15:g}"
        return f"{loads}, {self.runnable} runnable of {number(self.tasks)} tasks"


class KernelRates(Fact):
    """What the scheduler and the interrupt code did per second, and the run queue at the end of the window."""

    window: Window
    context_switches: float
    forks: float
    interrupts: float
    runnable: int
    blocked: int

    def __str__(self) -> str:
        return (
            f"{number(self.context_switches)} context switches/s, {number(self.forks)} forks/s, "
            f"{number(self.interrupts)} interrupts/s, {self.runnable} runnable"
        )


class ProcessCpu(Fact):
    """One process over one window. The subject is `name[pid]`; `start_ticks` tells it from a reused pid.

    `wait` is the time its main thread (for the busiest processes: its threads together) was runnable and not
    running, in cores: a process that spins runs or waits, all the time. None where not measured.
    """

    window: Window
    seconds: float
    pid: int
    start_ticks: int
    name: str
    command: str
    user: str
    age: float
    state: str
    nice: int
    background: bool
    threads: int
    share: float
    user_share: float
    system_share: float
    wait: float | None
    rss: int
    read_rate: float | None
    write_rate: float | None
    allowed_cpus: int
    parent: str
    runtime: Runtime
    service: str
    service_kind: ServiceKind
    root: str
    doing: Doing
    unit: str = ""

    @property
    def low_priority(self) -> bool:
        """Nice 10 and up, SCHED_BATCH or SCHED_IDLE: it only takes what others leave."""
        return self.nice >= 10 or self.background

    def __str__(self) -> str:
        kinds = f"user {self.user_share:.2f}, system {self.system_share:.2f}"
        low = f", nice {self.nice}" if self.low_priority else ""
        state = {"T": ", stopped", "t": ", stopped by a debugger", "Z": ", ended and not reaped", "D": ", blocked"}
        many = f", {self.threads} threads" if self.threads > 1 else ""
        return (
            f"{self.subject} uses {self.share:.2f} cores ({kinds}) over {span(self.seconds)}{many}{low}"
            f"{state.get(self.state, '')}, "
            f"running for {span(self.age)}: {self.command or self.name}"
        )


class ThreadCpu(Fact):
    """One thread of a busy process; the subject is the process."""

    window: Window
    tid: int
    name: str
    share: float
    user_share: float
    system_share: float
    wait: float | None
    of_threads: int

    def __str__(self) -> str:
        return (
            f"thread {self.name} (tid {self.tid}) of {self.subject} uses {self.share:.2f} cores, "
            f"one of {self.of_threads} threads"
        )


class ServiceCpu(Fact):
    """The processes behind one service, summed: forty workers are one. The subject is the service."""

    window: Window
    kind: ServiceKind
    processes: int
    busy_processes: int
    share: float
    user_share: float
    system_share: float
    biggest: float
    low_priority: bool
    command: str
    doing: Doing
    root: str
    root_pid: int
    root_start_ticks: int
    unit: str = ""

    def __str__(self) -> str:
        if self.processes == 1:
            return f"{self.subject}: 1 process uses {self.share:.2f} cores"
        return (
            f"{self.subject}: {self.processes} processes use {self.share:.2f} cores together, "
            f"the busiest {self.biggest:.2f}"
        )


class EndedCpu(Fact):
    """CPU used by processes that were born and died inside the window, in cores.

    `seen` is what all processes that are still there used. `reaped` was counted by the kernel at their parents;
    `unseen` is what the host's own clock shows beyond every process we can see. `whole_host` is False inside a
    container or where other users' processes are hidden.
    """

    window: Window
    seen: float
    reaped: float
    unseen: float
    whole_host: bool

    @property
    def share(self) -> float:
        return max(self.reaped, self.unseen) if self.whole_host else self.reaped

    def __str__(self) -> str:
        if not self.whole_host:
            return f"{self.unseen:.2f} cores are used by processes that cannot be seen from here"
        return f"{self.share:.2f} cores were used by processes that ended within the window"


class Births(Fact):
    """Who starts new processes; the subject is the parent. From looks at the newest pid during the window."""

    window: Window
    parent_pid: int
    parent_start_ticks: int
    parent_command: str
    children: tuple[str, ...]
    hits: int
    looks: int
    doing: Doing
    service: str
    unit: str = ""

    def __str__(self) -> str:
        return (
            f"{self.subject} is the parent of {self.hits} of the {self.looks} new processes looked at "
            f"(such as {', '.join(self.children[:3])}): {self.parent_command}"
        )


class QuotaScan(Fact):
    """How many control groups were looked at, have a CPU quota, and were throttled within the window."""

    groups: int
    limited: int
    throttled: int
    complete: bool

    def __str__(self) -> str:
        many = "1 control group" if self.groups == 1 else f"{self.groups} control groups"
        some = "" if self.complete else " (not all)"
        return f"{many}{some}, {self.limited} with a CPU quota, {self.throttled} throttled"


class Throttle(Fact):
    """The CPU quota of one cgroup over the window; the subject is the service, or `cgroup` and its path below `mount`.

    `periods` and `throttled` are differences over the window, never counters since boot.
    Source: kernel documentation, cgroup-v2 (cpu.stat) and sched-bwc (v1).
    """

    window: Window
    mount: str
    path: str
    version: Literal[1, 2]
    seconds: float
    periods: int
    throttled: int
    throttled_seconds: float
    quota: float
    used: float | None
    members: tuple[str, ...]
    unit: str = ""

    @property
    def part(self) -> float:
        return self.throttled / self.periods if self.periods else 0.0

    def __str__(self) -> str:
        used = "" if self.used is None else f", using {self.used:.2f}"
        return (
            f"{self.subject} throttled in {self.throttled} of {self.periods} periods ({percent(self.part)}), "
            f"quota {self.quota:g} CPUs{used}"
        )


class Frequency(Fact):
    """How fast the CPUs may run, in MHz, and how often heat slowed them within the window."""

    highest: float
    allowed: float
    current: float
    throttle_events: int

    def __str__(self) -> str:
        heat = f", slowed by heat {self.throttle_events} times just now" if self.throttle_events else ""
        return f"{self.current:.0f} MHz, {self.allowed:.0f} allowed of {self.highest:.0f}{heat}"


class ProfilerTool(Fact):
    """Whether a profiler can be used here; the subject is its name."""

    state: ToolState
    path: str
    detail: str

    def __str__(self) -> str:
        return f"{self.subject} {self.state}" + (f": {self.detail}" if self.detail else "")


class Profile(Fact):
    """A stack profile taken of one process; the subject is the process."""

    tool: str
    seconds: float
    samples: int
    flame_graph: str

    def __str__(self) -> str:
        where = f", flame graph in {self.flame_graph}" if self.flame_graph else ""
        return f"{self.samples} samples of {self.subject} in {span(self.seconds)} by {self.tool}{where}"


class HotFunction(Fact):
    """A function that was on the CPU in `part` (0 to 1) of the samples; `total` counts its callees too."""

    rank: int
    function: str
    file: str
    line: int | None
    part: float
    total: float
    thread: str

    def __str__(self) -> str:
        where = f" ({self.file}:{self.line})" if self.line else f" ({self.file})" if self.file else ""
        return f"{percent(self.part)} in {self.function}{where}"


class RequestRate(Fact):
    """Requests per second from the access log that a busy service writes, now and before; the subject is the service.

    `top_client_part` is the part (0 to 1) of the recent requests that came from the one busiest client.
    """

    log: str
    now: float
    before: float
    now_seconds: float
    before_seconds: float
    top_client: str
    top_client_part: float

    def __str__(self) -> str:
        return (
            f"{number(self.now)} requests/s over the last {span(self.now_seconds)}, {number(self.before)}/s in the "
            f"{span(self.before_seconds)} before; {percent(self.top_client_part)} from {self.top_client} ({self.log})"
        )
