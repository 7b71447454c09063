"""How bad it is that requests fail, are refused, or take long: shares now, against those of before."""

from __future__ import annotations

from collections.abc import Iterator

from rbdiag.diagnose import log_view
from rbdiag.diagnose.log_view import Rate
from rbdiag.facts.logs import LogTraffic, LogWindow
from rbdiag.frozen import Record, replace
from rbdiag.model import Severity

# Failing answers: a part of all that users notice, and enough of them not to be one unlucky client.
_FAILING, _FAILED = 0.01, 5
# Half of all is an outage, so many answers provided; so large a part of a few minutes, or for ever, is worth a look.
_MOST, _FEW = 0.5, 10
_PART, _MANY = 0.05, 20
# What is much without anything to compare with, even of few.
_ALONE_SHARE = 0.2
# A slice of the baseline with so many requests was well, or was not.
_SLICE = 50
# Clients that guess are refused by hundreds; those who were served are still served then. So an outage is told only
# where answers to them became fewer, against the quietest slice; and where so many had to be expected.
_FEWER, _GONE, _NEARLY_ALL, _EXPECTED = 0.5, 0.1, 0.9, 20
# A log without times cannot tell that: nearly all must be refused there, and for another reason than a wrong path.
_ALL, _ENOUGH, _SELDOM, _NOT_FOUND = 0.95, 50, 0.2, 404
# Slow: three times as slow, and by so many seconds that a program notices; from twice as slow on a note.
SLOWER, SLOWER_NOTE, NOTICED = 3.0, 2.0, 0.2
_TIMED, _TIMED_BEFORE = 30, 100
# Requests that cease: the quietest slice had one a minute, now it is a tenth; so many were due.
_STEADY, _FELL, _DUE = 1 / 60, 0.1, 10


class Share(Record):
    """A part of the requests: how many of how many, which part before (None for nothing before), for how long by now
    (seconds; None for the whole window, or where no time is told)."""

    severity: Severity
    count: int
    requests: int
    before: float | None
    lasting: float | None = None
    turned: bool = False

    def but(self, severity: Severity) -> Share:
        return replace(self, severity=severity)

    @property
    def part(self) -> float:
        return self.count / self.requests if self.requests else 0.0


def failing(traffic: LogTraffic, window: LogWindow | None) -> Share | None:
    """The answers of 5xx; None where they are few, or what they always were."""
    failed, requests = _count(traffic.statuses, 5), traffic.requests
    failed_before = _count(traffic.before, 5)
    share = failed / requests if requests else 0.0
    # Exposure is requests, not time: that traffic grew alike makes no more failures of a hundred.
    risen = Rate(failed, failed_before, requests, traffic.requests_before).risen
    whole = Share(
        Severity.NOTE, failed, requests, failed_before / traffic.requests_before if traffic.requests_before else None
    )
    since = _since(traffic, failed + failed_before, window)
    if log_view.is_over(traffic.last_failed_at, window):
        worth = share >= _FAILING and failed >= _FAILED and (risen or share >= _PART)
        return whole.but(Severity.NOTE) if worth else None
    goes_on = traffic.newest[1] < _FEW or traffic.newest[0] >= _MOST * traffic.newest[1]
    if since is not None and since.part >= _MOST and since.count >= _FEW and goes_on:
        return since.but(Severity.CRITICAL)
    if share >= _MOST and failed >= _FEW:
        alone = traffic.requests_before == 0
        was_well = any(n >= _SLICE and Rate(failed, bad, requests, n).risen for _, n, _, bad in traffic.slices)
        return whole.but(Severity.CRITICAL if (risen or alone or was_well) and goes_on else Severity.WARNING)
    if since is not None and since.part >= _PART and since.count >= _MANY:
        return since.but(Severity.WARNING)
    if share < _FAILING or failed < _FAILED:
        return None
    if traffic.requests_before == 0:
        risen = (share >= _ALONE_SHARE and failed >= _FEW) or (share >= _PART and failed >= _MANY)
    if risen:
        return whole.but(Severity.WARNING)
    return whole.but(Severity.NOTE) if share >= _PART else None


def _since(traffic: LogTraffic, failed: int, window: LogWindow | None) -> Share | None:
    """The failures since their share rose, if it did by much."""
    count, requests = traffic.failed_lately
    rest = traffic.requests + traffic.requests_before - requests
    if not requests or requests >= traffic.requests or not Rate(count, failed - count, requests, rest).risen:
        return None
    return Share(
        Severity.NOTE, count, requests, (failed - count) / rest, _lasting(traffic.failed_lately_at, window), True
    )


def _lasting(since: float | None, window: LogWindow | None) -> float | None:
    return None if since is None or window is None or window.until is None else max(0.0, window.until - since)


def refused(traffic: LogTraffic, window: LogWindow | None) -> Share | None:
    """Answers of 4xx that replaced those that clients had got; None where that cannot be said."""
    count, requests, status = traffic.refused_lately
    before = _count(traffic.before, 4) + _count(traffic.statuses, 4) - count
    rest = traffic.requests + traffic.requests_before - requests
    if count < _MANY or not Rate(count, before, requests, rest).risen:
        return None
    told = Share(Severity.NOTE, count, requests, before / rest, _lasting(traffic.refused_lately_at, window), True)
    if told.lasting is None:
        silent = told.part >= _ALL and requests >= _ENOUGH and status != _NOT_FOUND
        return told.but(Severity.WARNING) if silent and requests <= rest and before <= _SELDOM * rest else None
    usual = min(_served(traffic, window), default=0.0) * told.lasting
    served = requests - count
    if told.part < _MOST or usual < _EXPECTED or served > _FEWER * usual:
        return None
    gone = told.part >= _NEARLY_ALL and served <= _GONE * usual
    return told.but(Severity.CRITICAL if gone else Severity.WARNING)


def _served(traffic: LogTraffic, window: LogWindow | None) -> Iterator[float]:
    """How many requests a second were answered well, in each slice before; without any, in the window until then."""
    yield from ((n - bad - failed) / seconds for seconds, n, bad, failed in traffic.slices if seconds > 0)
    begin = window.first_at if window is not None else None
    if (
        not traffic.slices
        and begin is not None
        and traffic.refused_lately_at is not None
        and traffic.refused_lately_at > begin
    ):
        count, requests, _ = traffic.refused_lately
        bad = _count(traffic.statuses, 4) + _count(traffic.statuses, 5) - count
        yield max(0, traffic.requests - requests - bad) / (traffic.refused_lately_at - begin)


def failing_path(traffic: LogTraffic, window: LogWindow | None) -> tuple[str, Share] | None:
    """The path that fails far more often than before, though few of all requests do."""
    found: list[tuple[str, Share]] = []
    for path, count, requests, failed_before, before in traffic.turned:
        if count < _FEW or before < _MANY or not Rate(count, failed_before, requests, before).risen:
            continue
        told = Share(Severity.NOTE, count, requests, failed_before / before)
        over = log_view.is_over(traffic.last_failed_at, window)
        if told.part >= _MOST and not over:
            return path, told.but(Severity.WARNING)
        if told.part >= _ALONE_SHARE:
            found.append((path, told))
    return found[0] if found else None


class Slow(Record):
    """Times within which 95 % were answered (seconds), now and before; of one path, or of all where it is empty."""

    severity: Severity
    now: float
    before: float
    path: str = ""


def slow(traffic: LogTraffic) -> Slow | None:
    """Answers that take far longer than before: of all requests, else of one path."""
    slices = [p95 for p95 in traffic.p95_slices if p95 is not None]
    before = max(slices) if slices else traffic.p95_before
    enough = min(traffic.requests, traffic.requests_before) >= _TIMED_BEFORE
    if before is not None and enough:
        lately = [p95 for p95 in traffic.p95_sixths[:2] if p95 is not None]
        if len(lately) == 2 and all(_is_slower(p95, before, SLOWER) for p95 in lately):
            return Slow(Severity.WARNING, min(lately), before)
    for path, p95, p95_before, p50, p50_before, requests in traffic.slower:
        # a few slow ones make a 95th percentile; that it lasts is told by the median
        lasts = p50 >= SLOWER_NOTE * p50_before
        if requests >= _TIMED and lasts and _is_slower(p95, p95_before, SLOWER):
            return Slow(Severity.WARNING, p95, p95_before, path)
    if before is not None and enough and traffic.p95 is not None and _is_slower(traffic.p95, before, SLOWER_NOTE):
        return Slow(Severity.NOTE, traffic.p95, before)
    return None


def _is_slower(now: float, before: float, times: float) -> bool:
    return now >= times * before and now - before >= NOTICED


def fell(traffic: LogTraffic, window: LogWindow | None) -> tuple[float, float] | None:
    """Requests a minute, before and now, where they nearly ceased; None where they did not, or never were steady."""
    if traffic.end is None or len(traffic.slices) < 2 or window is None or window.moved or window.how != "time":
        return None
    seconds, count = traffic.end
    rates = [requests / length for length, requests, _, _ in traffic.slices if length > 0]
    quietest = min(rates, default=0.0)
    if quietest < _STEADY or quietest * seconds < _DUE or count > _FELL * quietest * seconds:
        return None
    return 60 * sum(rates) / len(rates), 60 * count / seconds


def _count(statuses: tuple[tuple[int, int], ...], family: int) -> int:
    return sum(count for status, count in statuses if status // 100 == family)
