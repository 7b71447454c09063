"""Service units that concern the CPU: those that start again and again."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import steps
from rbdiag.facts.cpu import Births
from rbdiag.facts.svc import Unit
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# systemd itself gives up after five starts in ten seconds; three with a short life in between are a loop.
_RESTARTS, _SHORT_LIFE = 3, 120.0

CRASH_LOOP = Spec(
    code="svc.crash-loop",
    title="a service starts and dies again and again",
    severity=Severity.CRITICAL,
    meaning="The service manager restarts a unit that ends soon after each start. Starting is what costs the CPU.",
    told="The unit has been restarted at least three times, and is starting now or has been up for less than two minutes.",
    not_to_be_taken_for="one restart after a deploy; a unit restarted long ago that has been up since.",
    resolution=("read the first error of the last run", "mend it, then systemctl reset-failed and start"),
    explains=("cpu.fork-storm", "cpu.process-hog", "cpu.system-time"),
)


def crash_loop(facts: Facts) -> Iterator[Finding]:
    root = steps.sudo(facts)
    for unit in facts.of(Unit):
        young = unit.active_for is not None and unit.active_for < _SHORT_LIFE
        if unit.restarts < _RESTARTS or not (young or unit.active in ("activating", "failed")):
            continue
        name = quote(unit.subject)
        births = [b for b in facts.of(Births) if b.unit == unit.subject][-1:]
        yield Finding(
            CRASH_LOOP, Severity.CRITICAL, Confidence.LIKELY, unit.subject,
            f"{unit.subject} starts and dies again and again: restarted {unit.restarts} times, now {unit.active} ({unit.sub})",
            evidence=(unit, *births),
            resolution=(
                Step("read what it said before it died", f"journalctl -u {name} -n 80 --no-pager"),
                Step("see how it ended", f"systemctl status {name} --no-pager"),
                Step("stop the loop until it is mended", f"{root}systemctl stop {name}", "disruptive", f"systemctl is-active {name}"),
                Step(
                    "then start it afresh", f"{root}systemctl reset-failed {name}; {root}systemctl start {name}", "disruptive",
                    f"systemctl status {name} --no-pager",
                ),
            ),
            about=frozenset({unit.subject}), impact=0.5,
        )  # fmt: skip


RULES = (crash_loop,)
