"""The kinds of values that options take: durations, points in time, percentages, names that the house knows.

`offers` on a type names what completion offers for it.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # Click types its types from 8.5 on
    Number = click.ParamType[float]
    Text = click.ParamType[str]
else:
    Number = Text = click.ParamType

_UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# Compiled where they are needed: most runs need but one of them.
_PART = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(ms|[wdhms])"
_NUMBER = r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+"
_RFC3339 = r"(?a:\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?(Z|z|[+-]\d\d:\d\d)?)"
# Beyond this a number is a slip of the hand, and clocks and waits begin to overflow.
LONGEST = 3650 * 86400.0


def seconds(text: str) -> float:
    """The length in seconds of `90`, `500ms`, `15m`, or a sum from large to small such as `1h30m`.

    Raises ValueError with a sentence that says where the text stops making sense.
    """
    if re.fullmatch(_NUMBER, text):
        total = float(text)
    else:
        total, at, smallest = 0.0, 0, float("inf")
        while at < len(text) or not text:
            part = re.match(_PART, text[at:])
            if part is None:
                where = f" from {text[at:]!r} on" if at else ""
                raise ValueError(f"{text!r} is no duration{where}: write 90, 500ms, 15m, 2h or 1h30m")
            unit = _UNITS[part[2]]
            if unit >= smallest:
                raise ValueError(f"{text!r} is no duration: {part[2]!r} must stand before the smaller units, and once")
            total, at, smallest = total + float(part[1]) * unit, at + part.end(), unit
    if total > LONGEST:
        raise ValueError(f"{text!r} is longer than ten years")
    return total


class Duration(Number):
    """A length of time in seconds, at least `least`."""

    name = "duration"

    def __init__(self, least: float) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            length = seconds(value) if isinstance(value, str) else float(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if length < self.least:
            self.fail(f"{value!r} is too short: at least {self.least:g} seconds", param, ctx)
        return length


class Factor(click.FloatRange):
    """A number within bounds; what is no number is within none, however it compares."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value!r} is no number", param, ctx)
        return number


class Since(Number):
    """A point in the past as seconds since the epoch: so long ago, or an RFC 3339 time."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not isinstance(value, str):
            return float(value)
        try:
            return _moment(value) if "-" in value else time.time() - seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _moment(text: str) -> float:
    written = re.fullmatch(_RFC3339, text)
    if not written:
        raise ValueError(f"{text!r} is no RFC 3339 time: write 2026-11-23T08:00:00Z or 2026-11-23T09:00:00+01:00")
    if not written[2]:
        raise ValueError(f"{text!r} has no zone: write {text}Z for UTC, or an offset such as {text}+01:00")
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time: {error}") from error
    if moment > time.time():
        raise ValueError(f"{text!r} lies in the future")
    return moment


class Percent(Number):
    """A percentage above 0 and up to 100, with or without the sign, as a part of 1."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not isinstance(value, str):
            return float(value)
        number = value.removesuffix("%").rstrip()
        if not re.fullmatch(_NUMBER, number) or not 0 < float(number) <= 100:
            self.fail(f"{value!r} is no percentage above 0 and up to 100", param, ctx)
        return float(number) / 100


class Known(Text, ABC):
    """One of many names, told in full only to completion; for a wrong one the close ones are named."""

    name = "name"
    offers = ""
    noun = "name"

    @abstractmethod
    def known(self) -> tuple[str, ...]:
        """All the names there are."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from rbdiag.cli.main import did_you_mean

        names = self.known()
        if value not in names:
            hint = did_you_mean(value, names) or f"; there are {', '.join(names)}"
            self.fail(f"no such {self.noun}: {value}{hint}", param, ctx)
        return str(value)


class Check(Known):
    """The name of a check of one runbook."""

    noun = "check"

    def __init__(self, runbook: str) -> None:
        self.runbook = runbook
        self.offers = f"checks of {runbook}"

    def known(self) -> tuple[str, ...]:
        from importlib import import_module

        checks: tuple[str, ...] = import_module(f"rbdiag.runbooks.{self.runbook}").CHECKS
        return checks


class Code(Known):
    """The code of a finding."""

    offers = "codes"
    noun = "finding"

    def known(self) -> tuple[str, ...]:
        from rbdiag.diagnose import catalogue

        return tuple(catalogue())


class Service(Text):
    """The name of a service unit, or of a target of the settings file."""

    name = "service"
    offers = "targets"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            self.fail("the name is empty", param, ctx)
        return str(value)


class TargetName(Text):
    """What a runbook is to look at: whatever that runbook understands, or a target of the settings file."""

    name = "target"

    def __init__(self, runbook: str) -> None:
        self.offers = f"targets of {runbook}"
