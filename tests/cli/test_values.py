"""The values that options take, at both sides of every limit."""

from __future__ import annotations

import re
import time

import click
import pytest

from rbdiag.cli import values


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90", 90), ("0.5", 0.5), (".5", 0.5), ("500ms", 0.5), ("15s", 15), ("15m", 900), ("2h", 7200), ("3d", 259200),
        ("1w", 604800), ("1h30m", 5400), ("1.5h", 5400), ("1w2d3h4m5s6ms", 788645.006), ("0", 0), ("3650d", 315360000),
    ],
)  # fmt: skip
def test_durations(text: str, length: float) -> None:
    assert values.seconds(text) == pytest.approx(length)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "'' is no duration: write", id="empty"),
        pytest.param("soon", "'soon' is no duration: write", id="a word"),
        pytest.param("1h30", "'1h30' is no duration from '30' on", id="the end without a unit"),
        pytest.param("1h 30m", "is no duration from ' 30m' on", id="a space"),
        pytest.param("30m1h", "'h' must stand before the smaller units", id="small before large"),
        pytest.param("1h1h", "'h' must stand before the smaller units, and once", id="a unit twice"),
        pytest.param("-5", "is no duration", id="negative"),
        pytest.param("1e3", "is no duration", id="an exponent"),
        pytest.param("nan", "is no duration", id="not a number"),
        pytest.param("inf", "is no duration", id="without end"),
        pytest.param("１５", "is no duration", id="digits of another script"),
        pytest.param("5M", "is no duration", id="a month or a minute"),
        pytest.param("3651d", "longer than ten years", id="beyond ten years"),
    ],
)
def test_what_is_no_duration(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        values.seconds(text)


def convert(kind: values.Number, text: str) -> float:
    return kind.convert(text, None, None)


def test_a_duration_below_the_least_is_refused() -> None:
    assert convert(values.Duration(least=0.1), "100ms") == pytest.approx(0.1)
    with pytest.raises(click.BadParameter, match=r"at least 0\.1 seconds"):
        convert(values.Duration(least=0.1), "99ms")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02T03:04:05Z", 1767323045.0),
        ("2026-01-02t03:04:05z", 1767323045.0),
        ("2026-01-02 03:04:05Z", 1767323045.0),
        ("2026-01-02T04:04:05.25+01:00", 1767323045.25),
    ],
)
def test_times(text: str, moment: float) -> None:
    assert convert(values.Since(), text) == moment


def test_so_long_ago() -> None:
    before = time.time()
    assert before - 900 <= convert(values.Since(), "15m") <= time.time() - 900


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("2026-01-02", "no RFC 3339 time", id="a day"),
        pytest.param("2026-01-02T03:04:05", "has no zone", id="no zone"),
        pytest.param("2026-13-02T03:04:05Z", "is no time", id="a thirteenth month"),
        pytest.param("9999-01-01T00:00:00Z", "lies in the future", id="the future"),
        pytest.param("-5", "no RFC 3339 time", id="a negative number"),
        pytest.param("yesterday", "is no duration", id="a word"),
    ],
)
def test_what_is_no_time(text: str, why: str) -> None:
    with pytest.raises(click.BadParameter) as error:
        convert(values.Since(), text)
    assert why in str(error.value)


@pytest.mark.parametrize(("text", "part"), [("80", 0.8), ("80%", 0.8), ("80 %", 0.8), ("0.5", 0.005), ("100", 1.0)])
def test_percentages(text: str, part: float) -> None:
    assert convert(values.Percent(), text) == pytest.approx(part)


@pytest.mark.parametrize("text", ["0", "101", "-1", "x", "", "nan", "%"])
def test_what_is_no_percentage(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no percentage above 0 and up to 100"):
        convert(values.Percent(), text)
