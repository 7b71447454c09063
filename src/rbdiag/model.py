"""The words of the house as records: fact, gap, spec, finding, report.

Everything here is frozen and knows nothing of the outside world. Times are seconds since the epoch (UTC),
durations are seconds, sizes are bytes, shares of CPU are cores (1.0 is one CPU fully used) unless a name
says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Literal, TypeVar

from rbdiag.frozen import NamedRecord, Record


class _Word(IntEnum):
    """An ordered word: compares by rank, prints as itself."""

    def __str__(self) -> str:
        return self.name.lower()


class Severity(_Word):
    """How bad a finding is: a note is worth knowing and never alarms."""

    NOTE = 0
    WARNING = 1
    CRITICAL = 2


class Confidence(_Word):
    """How sure we are; certain needs evidence that no other catalogued cause can produce."""

    POSSIBLE = 0
    LIKELY = 1
    CERTAIN = 2


class Status(_Word):
    """The state of the whole report, ranked as the contract ranks it."""

    OK = 0
    UNKNOWN = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def exit_code(self) -> int:
        return {Status.OK: 0, Status.WARNING: 1, Status.CRITICAL: 2, Status.UNKNOWN: 3}[self]


GapReason = Literal["deadline", "forbidden", "missing", "failed", "skipped"]
Risk = Literal["safe", "disruptive", "destructive"]
# How one line of the report is marked: what the findings say about this check, or that it has a gap.
Mark = Literal["ok", "note", "warning", "critical", "gap"]

EXIT_BUG = 70


class Fact(NamedRecord):
    """One thing seen, on one subject, at one time. `str()` is the line a person reads.

    `check` and `seen_at` are stamped by the runner, not by the check that yields the fact.
    """

    subject: str
    check: str = ""
    seen_at: float | None = None


F = TypeVar("F", bound=Fact)


class Facts:
    """All facts of one run, in the order they were seen, found by their type."""

    def __init__(self, items: Iterable[Fact] = ()) -> None:
        self._items = tuple(items)
        self._by_type: dict[type[Fact], list[Fact]] = {}
        for fact in self._items:
            self._by_type.setdefault(type(fact), []).append(fact)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def of(self, kind: type[F]) -> tuple[F, ...]:
        """Every fact of this type, in the order seen."""
        return tuple(self._by_type.get(kind, ()))  # type: ignore[arg-type]  # the key is the type of each value

    def first(self, kind: type[F], subject: str | None = None) -> F | None:
        """The first fact of this type (about this subject, if one is given), or None."""
        return next((f for f in self.of(kind) if subject in (None, f.subject)), None)

    def last(self, kind: type[F], subject: str | None = None) -> F | None:
        """The latest fact of this type (about this subject, if one is given), or None."""
        return next((f for f in reversed(self.of(kind)) if subject in (None, f.subject)), None)


class Gap(Record):
    """One thing we could not see, why, and what would unlock it."""

    reason: GapReason
    detail: str
    unlock: str = ""


class CannotLook(Exception):
    """Raised by a check that cannot look at its thing; the runner makes its `gap` the check's row."""

    def __init__(self, gap: Gap) -> None:
        super().__init__(gap.detail)
        self.gap = gap


class Spec(Record):
    """A catalogue entry. `explains` is the only causal knowledge, and it is data."""

    code: str
    title: str
    severity: Severity
    meaning: str
    told: str
    not_to_be_taken_for: str
    resolution: tuple[str, ...]
    explains: tuple[str, ...] = ()

    @property
    def area(self) -> str:
        return self.code.partition(".")[0]


class Step(Record):
    """One thing to do, ready to paste, with its risk and how to verify that it worked."""

    text: str
    command: str = ""
    risk: Risk = "safe"
    verify: str = ""


class Finding(Record):
    """A spec met on this host, with the facts that show it and those that speak against it.

    `about` names every subject the finding concerns (process, service, cgroup, host): a finding stands under
    another that explains its code only if they share one. `impact` (0 to 1) is the part of the trouble this
    finding accounts for; it orders findings of equal severity and confidence.
    """

    spec: Spec
    severity: Severity
    confidence: Confidence
    subject: str
    summary: str
    evidence: tuple[Fact, ...]
    against: tuple[Fact, ...] = ()
    resolution: tuple[Step, ...] = ()
    about: frozenset[str] = frozenset()
    impact: float = 0.0
    explained_by: str | None = None

    @property
    def code(self) -> str:
        return self.spec.code


class CheckRow(Record):
    """What became of one planned check; every planned check has exactly one."""

    name: str
    target: str
    summary: str
    duration: float | None
    gap: Gap | None = None
    decides: bool = False
    mark: Mark = "ok"


class Moment(Record):
    """One entry of the timeline: a change or a symptom."""

    at: float
    source: str
    text: str


class Contact(Record):
    """Whom to call, and when."""

    name: str
    role: str
    contact: str
    when: str = ""


class Cost(Record):
    """What the run cost the host. None means not measured."""

    cpu_seconds: float | None = None
    bytes_read: int | None = None
    connections: int = 0
    queries: int = 0


class Report(Record):
    """Facts, gaps, findings and verdict in their final order. Renderers only write down what stands here."""

    runbook: str
    target: str
    host: str
    started_at: float
    duration: float
    status: Status
    exit_code: int
    summary: str
    findings: tuple[Finding, ...]
    checks: tuple[CheckRow, ...]
    timeline: tuple[Moment, ...] = ()
    facts: Facts = Facts()
    contacts: tuple[Contact, ...] = ()
    cost: Cost = Cost()
    rbdiag_version: str = ""

    @property
    def verdict(self) -> Finding | None:
        """The finding that explains the others, or None."""
        return self.findings[0] if self.findings else None

    @property
    def gaps(self) -> tuple[CheckRow, ...]:
        return tuple(row for row in self.checks if row.gap is not None)
