"""The logs of a service that becomes known only while a runbook runs: found from its unit or process, then read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rbdiag.deadline import Deadline
from rbdiag.model import Fact, Facts
from rbdiag.runner import Job

if TYPE_CHECKING:
    from rbdiag.collect.log_sources import Wanted
    from rbdiag.collect.log_window import Spans

CHECKS = ("logs.find", "logs.known", "logs.new", "logs.traces")
# Seconds that each of these checks may take: they run on hosts that are in trouble, beside checks that matter more.
_MOST = 2.0
# The baseline is as long as the window, not four times that: what it is for here is to tell old noise from news.
_BASELINE = 1.0


class ServiceLogs:
    """The spans of the logs that `wanted` names once the facts are there; nothing is read where it names none.

    `since` is seconds since the epoch.
    """

    def __init__(self, wanted: Callable[[Facts], Wanted | None], since: float) -> None:
        self._wanted, self._since = wanted, since
        self._spans: Spans | None = None

    def jobs(self, target: str, after: tuple[str, ...]) -> tuple[Job, ...]:
        """The checks, of which the first follows those named."""
        found = ("logs.find",)
        return (
            Job("logs.find", target, self._find, after=after),
            Job("logs.known", target, self._known, after=found),
            Job("logs.new", target, self._new, after=found),
            Job("logs.traces", target, self._traces, after=found),
        )

    def close(self) -> None:
        """Let go of the files."""
        if self._spans is not None:
            self._spans.close()

    def _find(self, deadline: Deadline, facts: Facts) -> Iterator[Fact]:
        wanted = self._wanted(facts)
        if wanted is None:
            return
        from rbdiag.collect.log_window import Spans

        # What was written before the window has nothing to do with what goes on now: it does not move.
        self._spans = Spans(wanted, self._since, asked=True, baseline=_BASELINE)
        yield from self._spans.find(Deadline(deadline.left(_MOST)))

    def _known(self, deadline: Deadline, _: Facts) -> Iterator[Fact]:
        if self._spans is not None:
            from rbdiag.collect import log_known

            yield from log_known.known(self._spans, Deadline(deadline.left(_MOST)))

    def _new(self, deadline: Deadline, _: Facts) -> Iterator[Fact]:
        if self._spans is not None:
            from rbdiag.collect import log_new, log_patterns

            yield from log_new.changes(self._spans, Deadline(deadline.left(_MOST)), log_patterns.Matcher())

    def _traces(self, deadline: Deadline, _: Facts) -> Iterator[Fact]:
        if self._spans is not None:
            from rbdiag.collect import log_patterns, log_traces

            yield from log_traces.traces(self._spans, Deadline(deadline.left(_MOST)), log_patterns.Matcher())
