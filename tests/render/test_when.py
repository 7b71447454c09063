import pytest

from rbdiag.render.when import at, clock, stamp, zone
from tests.samples import STARTED, critical, process


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1795420800.123, "2026-11-23T08:00:00.123Z"),
        (1795420800.9996, "2026-11-23T08:00:01.000Z"),
    ],
)
def test_a_stamp_is_utc_to_the_millisecond(seconds: float, text: str) -> None:
    assert stamp(seconds) == text


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e18])
def test_what_is_no_time_is_a_bug_and_is_raised(seconds: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        stamp(seconds)


@pytest.mark.parametrize(
    ("after", "offset", "text"),
    [
        pytest.param(0, 0, "08:00:00", id="the same moment in UTC"),
        pytest.param(61, 3600, "09:01:01", id="an hour east"),
        pytest.param(0, -12600, "04:30:00", id="three and a half hours west"),
        pytest.param(-28801, 0, "2026-11-22 23:59:59", id="a second before midnight"),
        pytest.param(-28800, 0, "00:00:00", id="midnight is today"),
        pytest.param(-28801, 3600, "00:59:59", id="today where it is later"),
        pytest.param(0, -36000, "22:00:00", id="where it is still yesterday, that is today"),
        pytest.param(57600, 0, "2026-11-24 00:00:00", id="tomorrow"),
    ],
)
def test_the_clock_gives_the_date_only_where_it_is_another_day(after: int, offset: int, text: str) -> None:
    assert clock(STARTED + after, offset, STARTED) == text


@pytest.mark.parametrize(("offset", "text"), [(0, "UTC"), (3600, "UTC+01:00"), (-12600, "UTC-03:30")])
def test_the_zone_is_an_offset(offset: int, text: str) -> None:
    assert zone(offset) == text


def test_what_happened_counts_before_what_was_seen() -> None:
    hung = critical().findings[3].evidence[0]
    assert at(hung) == STARTED - 40000.5
    assert at(process(1, 0.5)) == STARTED + 1
