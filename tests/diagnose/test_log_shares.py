"""How bad it is that requests fail, are refused or slow: the severity, which no row tells."""

from __future__ import annotations

import pytest

from rbdiag.diagnose import log_shares
from rbdiag.facts.logs import LogTraffic, LogWindow
from rbdiag.model import Severity
from tests.diagnose import log_world as w
from tests.diagnose.log_world import ACCESS, HOUR, lately, refusing, traffic

WINDOW = w.window(ACCESS)
WELL, BROKEN = (HOUR, 2400, 0, 0), (HOUR, 2400, 0, 2400)
FAILING = {
    "an outage of three minutes": (lately(114, 114, 180), WINDOW, Severity.CRITICAL),
    "an outage of ten requests": (lately(10, 10, 20), WINDOW, Severity.CRITICAL),
    "nine requests": (lately(9, 9, 20), WINDOW, None),
    "an outage that just ended": (lately(600, 640, 960, newest=(0, 40)), WINDOW, Severity.WARNING),
    "a tenth of the requests lately": (lately(40, 400, 600, newest=(4, 40)), WINDOW, Severity.WARNING),
    "an outage that fills part of the baseline": (
        traffic(2400, 2400, 4800, 9600, slices=(BROKEN, BROKEN, WELL, WELL)), WINDOW, Severity.CRITICAL),
    "an outage that fills the baseline": (
        traffic(2400, 2400, 9600, 9600, slices=(BROKEN,) * 4), WINDOW, Severity.WARNING),
    "half of twenty, with nothing before": (traffic(10, 20, 0, 0), w.fresh(ACCESS), Severity.CRITICAL),
    "one of twenty, with nothing before": (traffic(20, 400, 0, 0), w.fresh(ACCESS), Severity.WARNING),
    "nineteen of four hundred, with nothing before": (traffic(19, 400, 0, 0), w.fresh(ACCESS), None),
    "a steady share": (traffic(1000, 36_000, 4000, 144_000), WINDOW, None),
}  # fmt: skip


@pytest.mark.parametrize(("fact", "window", "severity"), FAILING.values(), ids=FAILING)
def test_failing(fact: LogTraffic, window: LogWindow, severity: Severity | None) -> None:
    told = log_shares.failing(fact, window)
    assert (told and told.severity) is severity


REFUSED = {
    "all": (refusing(401, 800, 800, 1200), Severity.CRITICAL),
    "nearly all, while some are served as before": (refusing(404, 8000, 8400, 1200), None),
    "half": (refusing(403, 450, 800, 1200), Severity.WARNING),
    "a few": (refusing(403, 19, 19, 1200), None),
    "as many as ever": (refusing(401, 800, 800, 1200, before=((200, 4800), (401, 4800))), None),
    "all, where next to nobody was served": (refusing(401, 800, 800, 1200, slices=((HOUR, 2400, 2350, 0),) * 4), None),
    "all, since a while, with no baseline": (
        refusing(401, 800, 800, 1200, slices=(), before=(), requests_before=0), Severity.CRITICAL),
}  # fmt: skip


@pytest.mark.parametrize(("fact", "severity"), REFUSED.values(), ids=REFUSED)
def test_refused(fact: LogTraffic, severity: Severity | None) -> None:
    told = log_shares.refused(fact, WINDOW)
    assert (told and told.severity) is severity


@pytest.mark.parametrize(
    ("fact", "window", "rates"),
    [
        (traffic(0, 1000, 0, 4800, end=(600.0, 2), slices=((HOUR, 1200, 0, 0),) * 4), WINDOW, (20.0, 0.2)),
        (traffic(0, 1000, 0, 4800, end=(600.0, 2), slices=((HOUR, 1200, 0, 0),)), WINDOW, None),
        (traffic(0, 1000, 0, 4800, end=(600.0, 0), slices=((HOUR, 1200, 0, 0), (HOUR, 50, 0, 0))), WINDOW, None),
        (
            traffic(0, 1000, 0, 4800, end=(600.0, 0), slices=((HOUR, 1200, 0, 0),) * 4),
            w.window(ACCESS, moved=True),
            None,
        ),
    ],
    ids=["ceased", "one slice", "never steady", "the window ends with the log"],
)
def test_ceased(fact: LogTraffic, window: LogWindow, rates: tuple[float, float] | None) -> None:
    assert log_shares.fell(fact, window) == rates
