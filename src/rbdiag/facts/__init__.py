"""Typed facts, one file an area. No I/O here: a fact can be made, compared and saved anywhere."""

from __future__ import annotations

from importlib import import_module

from rbdiag.model import Fact

AREAS = ("cpu", "host", "svc", "net", "dns", "tls", "logs", "db", "sessions")


def fact_types() -> dict[str, type[Fact]]:
    """Every type of fact by its name, for reading saved reports and for the schema."""
    found: dict[str, type[Fact]] = {}
    for area in AREAS:
        for value in vars(import_module(f"rbdiag.facts.{area}")).values():
            if isinstance(value, type) and issubclass(value, Fact) and value is not Fact:
                found[value.__name__] = value
    return found


def percent(share: float) -> str:
    """A share (0 to 1) as a person reads it: two digits where they matter, none where they do not."""
    value = share * 100
    return f"{value:.1f} %" if 0.05 <= value < 9.95 else f"{value:.0f} %"


def size(count: float) -> str:
    """Bytes in binary units, three significant digits at the most."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1000 or unit == "TiB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def span(seconds: float) -> str:
    """A duration in the one or two units a person would say."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            rest = int(seconds % length // part)
            return f"{int(seconds // length)} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.0f} s"


def number(value: float) -> str:
    """A count or a rate with thousands separated; a small one that is not whole with one decimal."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"
