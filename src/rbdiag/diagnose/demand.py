"""Rules about demand: more requests than before, more services than CPUs, load that cannot be seen from here."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import steps
from rbdiag.diagnose.burners import about, against, surge
from rbdiag.diagnose.view import HALF, HOT, view
from rbdiag.facts import percent
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

TRAFFIC_SURGE = Spec(
    code="cpu.traffic-surge",
    title="far more requests than before",
    severity=Severity.WARNING,
    meaning="The service is busy because it is asked more: the request rate has gone up several times, not the cost of "
    "one request. A campaign, a crawler, a retrying client or an attack.",
    told="The access log that the busy service has open shows at least three times the rate of the minutes before.",
    not_to_be_taken_for="the same rate with dearer requests (cpu.process-hog, change.bad-deploy).",
    resolution=(
        "see who asks",
        "limit the rate at the proxy, block an abuser",
        "add workers or hosts where demand is real",
    ),
)


def traffic_surge(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    for s, share in v.services:
        rate = surge(s.subject, facts)
        members = [p for p, _ in v.processes if p.service == s.subject]
        if rate is None or (share < HALF and not any(b.process.service == s.subject for b in v.burners)):
            continue
        times = f"{rate.now / rate.before:.0f} times" if rate.before else "many times"
        one = f"; {percent(rate.top_client_part)} come from {rate.top_client}" if rate.top_client_part >= HALF else ""
        yield Finding(
            TRAFFIC_SURGE, v.severity, min(v.confidence, Confidence.LIKELY), s.subject,
            f"{s.subject} gets {times} the requests of before ({rate.now:.0f}/s, was {rate.before:.0f}/s) and uses "
            f"{share:.2f} of {v.cpus:g} cores{one}",
            evidence=(rate, s, *members[:3]), against=against(v),
            resolution=(
                Step("see who asks most", f"tail -n 20000 {quote(rate.log)} | cut -d' ' -f1 | sort | uniq -c | sort -rn | head"),
                Step("see what they ask for", f"tail -n 20000 {quote(rate.log)} | cut -d'\"' -f2 | sort | uniq -c | sort -rn | head"),
                Step("limit the rate at the proxy in front, or block the client if it is an abuser", risk="disruptive"),
                Step("if the demand is real: more workers where CPUs are idle, else more hosts", risk="disruptive"),
            ),
            about=about(members, s.subject), impact=min(1.0, share / v.cpus),
        )  # fmt: skip


CAPACITY = Spec(
    code="cpu.capacity",
    title="demand from many services exceeds the CPUs",
    severity=Severity.WARNING,
    meaning="The CPUs are full, tasks wait for them, and no single process or service is to blame: the host has more to do "
    "than it can.",
    told="The host is over its busy threshold in every window, tasks wait for a CPU, and the busiest service uses less than "
    "half of what is used.",
    not_to_be_taken_for="one hog among others; a spike shorter than the observation.",
    resolution=("move or stop the least important service", "more CPUs, or another host"),
)


def capacity(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    if v.time is None or v.busy < v.warning or not v.queued or not v.whole_host:
        return
    used = v.busy * v.cpus
    low = sum(s.share for s, _ in v.services if s.low_priority)
    if v.burners or v.crowds or v.pinned or v.building >= HALF * used or low >= HALF * used:
        return
    if v.ended_share >= HALF * used or v.churn >= HOT:
        return  # short-lived processes: another rule's, with or without their parent
    rows = [s for s, _ in v.services if s.kind != "kernel"][:3]
    if not rows:
        return  # who does it was not looked at, so nobody can be cleared
    names = ", ".join(f"{s.subject} {s.share:.2f}" for s in rows)
    yield Finding(
        CAPACITY, v.severity, min(v.confidence, Confidence.LIKELY), "host",
        f"the CPUs are {percent(v.time.busy)} busy and tasks wait, but no single service is to blame; the busiest: {names}",
        evidence=(v.time, *([p] if (p := v.pressure("cpu")) else []), *rows),
        resolution=(
            Step("see the busiest processes with their control groups", "ps -eo pcpu,pid,cgroup:60,args --sort=-pcpu | head -20"),
            *steps.cap(rows[0].unit, facts),
            Step("if every one of them is wanted: more CPUs, or move one to another host", risk="disruptive"),
        ),
        about=frozenset({"host"}), impact=v.busy,
    )  # fmt: skip


UNSEEN_LOAD = Spec(
    code="cpu.unseen-load",
    title="the CPUs are busy with processes that cannot be seen from here",
    severity=Severity.WARNING,
    meaning="The machine's CPUs are busy, but not with what is visible: we run inside a container, or other users' processes "
    "are hidden.",
    told="The host's own counters against the sum of all visible processes, where kernel threads do not show. A note "
    "where it is a core or so of a host that is not busy.",
    not_to_be_taken_for="processes that came and went (cpu.fork-storm), which only a full view can tell.",
    resolution=("run rbdiag on the host itself, or as root",),
)


def unseen_load(facts: Facts) -> Iterator[Finding]:
    v = view(facts)
    if v.time is None or v.whole_host or not v.ended:
        return
    unseen, busy = min(e.unseen for e in v.ended), v.held(lambda t: t.busy)
    full = busy >= v.warning and unseen >= HALF * busy * v.time.cpus
    if not full and unseen < HOT:
        return
    yield Finding(
        # a core that somebody else uses is no fault yet, but must not pass unsaid
        UNSEEN_LOAD, Severity.WARNING if full else Severity.NOTE, min(v.confidence, Confidence.LIKELY), "host",
        f"{unseen:.2f} of {v.time.cpus} cores are used by processes that cannot be seen from here",
        evidence=(v.ended[-1], v.time),
        resolution=(Step("run it on the host itself, or as root", f"{steps.sudo(facts)}rbdiag cpu"),),
        about=frozenset({"host"}), impact=min(1.0, unseen / v.time.cpus),
    )  # fmt: skip


RULES = (traffic_surge, capacity, unseen_load)
