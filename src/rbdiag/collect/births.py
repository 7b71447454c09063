"""Who starts new processes: looks at the newest pid tell the parents of those too short-lived for any list."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from rbdiag.collect import proc
from rbdiag.collect.service import Owners, doing
from rbdiag.deadline import Deadline
from rbdiag.facts.cpu import Births, Window

# At the most so many looks, spread over the window; each costs two small reads.
_LOOKS, _LOOK_EVERY = 80, 0.008


class Watched:
    """Who was seen being born: parents with a count and their children's names."""

    def __init__(self) -> None:
        self.parents = Counter[int]()
        self.children: dict[int, Counter[str]] = {}
        self.stats: dict[int, proc.Stat] = {}
        self.hits = 0

    def facts(self, window: Window, owners: Owners) -> Iterator[Births]:
        from rbdiag.redact import redact_command

        for pid, count in self.parents.most_common(3):
            stat = self.stats[pid]
            owner = owners.of(stat)
            names = tuple(name for name, _ in self.children[pid].most_common(5))
            works = [w for name in (*names, stat.name) if (w := doing(name))]
            yield Births(
                subject=proc.subject(stat.name, pid), window=window, parent_pid=pid, parent_start_ticks=stat.start,
                parent_command=redact_command(list(owners.command(pid))) or stat.name,
                children=names, hits=count, looks=self.hits, doing=works[0] if works else "",
                service=owner.name, unit=owner.unit,
            )  # fmt: skip


def watch(until: float, deadline: Deadline) -> Watched:
    """Look again and again at the newest pid (the last field of /proc/loadavg): whose child is it?"""
    watched, previous = Watched(), int(proc.read("/proc/loadavg", 256).rpartition(b" ")[2])
    every = max(_LOOK_EVERY, (until - time.monotonic()) / _LOOKS)
    for _ in range(_LOOKS):
        if time.monotonic() + every > until:
            break
        deadline.sleep(every)
        newest = int(proc.read("/proc/loadavg", 256).rpartition(b" ")[2])
        if newest == previous:
            continue
        previous = newest
        try:
            status = proc.text(proc.read(f"/proc/{newest}/status", 1024))
        except OSError:
            continue  # it has already ended
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        if fields.get("Tgid") != str(newest):
            continue  # a new thread, not a new process
        parent = int(fields.get("PPid", "0"))
        if parent not in watched.stats:
            if (stat := proc.stat(parent)) is None:
                continue
            watched.stats[parent] = stat
        watched.hits += 1
        watched.parents[parent] += 1
        name = fields.get("Name", "?")
        if name != watched.stats[parent].name:  # before its exec a child still bears its parent's name
            watched.children.setdefault(parent, Counter())[name] += 1
        else:
            watched.children.setdefault(parent, Counter())
    return watched
