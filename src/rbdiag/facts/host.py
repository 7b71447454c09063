"""Facts about the host itself: pressure, memory, disks, task states, the kernel's log."""

from __future__ import annotations

from typing import Literal

from rbdiag.facts import number, percent, size
from rbdiag.model import Fact

Resource = Literal["cpu", "memory", "io"]
# What a task in uninterruptible sleep waits for, told by the kernel function it sleeps in.
Wait = Literal["disk", "network-fs", "fuse", "freezer", "vfork", "lock", "other"]
KernelEventKind = Literal["hung-task", "soft-lockup", "oom-kill", "thermal", "io-error", "fs-readonly"]
# What a filesystem holds of the service.
SpaceRole = Literal["data", "tmp", "log", "binary log", "socket", "other"]


class Standing(Fact):
    """What we may do here: whether we are root, and which of the host's managers are there to be spoken to."""

    root: bool
    sudo: bool
    systemd: bool

    def __str__(self) -> str:
        return f"{'root' if self.root else 'not root'}, systemd {'runs' if self.systemd else 'does not run'} here"


class Pressure(Fact):
    """Pressure stall information: the part of the window in which some, or all, tasks waited for a resource.

    Source: kernel documentation, accounting/psi. `full` of cpu is always 0 for a whole host.
    """

    resource: Resource
    seconds: float
    some: float
    full: float
    some_avg10: float

    def __str__(self) -> str:
        full = f", all tasks {percent(self.full)}" if self.resource != "cpu" else ""
        return f"some task waited for {self.resource} in {percent(self.some)} of the time{full}"


class Memory(Fact):
    """Memory of the host in bytes. `available` is the kernel's estimate of what can be had without swapping."""

    total: int
    available: int
    swap_total: int
    swap_free: int

    def __str__(self) -> str:
        swap = (
            f", swap {size(self.swap_total - self.swap_free)} of {size(self.swap_total)} used"
            if self.swap_total
            else ""
        )
        return f"{size(self.available)} of {size(self.total)} memory available{swap}"


class Paging(Fact):
    """Pages per second that memory management moved or looked at within the window. Source: /proc/vmstat."""

    swap_in: float
    swap_out: float
    scan_direct: float
    scan_kswapd: float
    major_faults: float

    def __str__(self) -> str:
        return (
            f"{number(self.swap_in)} pages/s swapped in, {number(self.swap_out)} out, "
            f"{number(self.scan_direct + self.scan_kswapd)} scanned, {number(self.major_faults)} major faults/s"
        )


class DiskUse(Fact):
    """One block device over the window: part of the time busy, bytes per second, seconds per request, queue."""

    util: float
    read_rate: float
    write_rate: float
    wait_seconds: float
    queue: float

    def __str__(self) -> str:
        return (
            f"{self.subject} busy {percent(self.util)} of the time, {size(self.read_rate)}/s read, "
            f"{size(self.write_rate)}/s written, {self.wait_seconds * 1000:.1f} ms a request, queue {self.queue:.1f}"
        )


class TaskStates(Fact):
    """Processes by state. `exact` is False where a large host was sampled and the counts are estimates."""

    total: int
    running: int
    blocked: int
    zombies: int
    stopped: int
    exact: bool

    def __str__(self) -> str:
        about = "" if self.exact else "about "
        return (
            f"{self.total:,} process{'' if self.total == 1 else 'es'}, {self.running} tasks running, "
            f"{about}{self.blocked} in uninterruptible sleep, {self.zombies} zombies"
        )


class BlockedTask(Fact):
    """A process in uninterruptible sleep (state D) at most looks; the subject is the process."""

    pid: int
    wait: Wait
    wchan: str
    hits: int
    looks: int
    command: str

    def __str__(self) -> str:
        where = f" in {self.wchan}" if self.wchan else ""
        return f"{self.subject} in state D{where} at {self.hits} of {self.looks} looks: {self.command}"


class Zombies(Fact):
    """Ended children that one parent has not reaped; the subject is the parent."""

    count: int
    parent_pid: int
    parent_start_ticks: int
    command: str

    def __str__(self) -> str:
        return f"{self.count} unreaped children of {self.subject}: {self.command}"


class KernelEvent(Fact):
    """A line of the kernel's log inside the time window that says the host is in trouble.

    `process` and `pid` are of the process it names, "" and None where it names none. `cgroup` says for an OOM kill that
    it was the limit of a control group that was reached, not the host's memory; `group` is the killed process's own.
    """

    kind: KernelEventKind
    happened_at: float
    text: str
    process: str = ""
    pid: int | None = None
    cgroup: bool = False
    group: str = ""

    def __str__(self) -> str:
        return f"kernel: {self.text}"


class FilesystemUse(Fact):
    """A filesystem that the service writes to; the subject is its mount point, `path` what lies on it for `role`.

    Sizes are bytes. `available` is what an ordinary user may still write, `free` includes root's reserve. `inodes` is 0
    where the filesystem does not count them. `read_only` is how it is mounted now (or forced to by an error).
    """

    role: SpaceRole
    path: str
    kind: str
    device: str
    total: int
    free: int
    available: int
    inodes: int
    inodes_free: int
    read_only: bool
    error: bool = False

    def __str__(self) -> str:
        only = ", read only" + (" after an error" if self.error else "") if self.read_only else ""
        inodes = f", {number(self.inodes_free)} of {number(self.inodes)} inodes free" if self.inodes else ""
        left = f"{size(self.available)} of {size(self.total)} free"
        return f"{self.subject} ({self.role}: {self.path}): {left}{inodes}{only}"


class SpaceUser(Fact):
    """Something big on a filesystem that is nearly full; the subject is its path.

    `kind` says what it is; "deleted" is a file without a name that a process (`holder`, `pid`) keeps open as `fd`.
    `files` counts the entries of a folder. Of binary logs the subject is the newest.
    """

    kind: Literal["file", "folder", "binary logs", "deleted", "log"]
    bytes: int
    mount: str
    holder: str = ""
    pid: int | None = None
    start_ticks: int = 0
    fd: int | None = None
    files: int = 0

    def __str__(self) -> str:
        held = f", held open by {self.holder}" if self.holder else ""
        files = f" ({number(self.files)} entries)" if self.files else ""
        what = {"deleted": " (deleted)", "binary logs": " and the binary logs before it"}.get(self.kind, "")
        return f"{size(self.bytes)} in {self.subject}{what}{files}{held}"
