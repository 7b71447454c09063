"""Points in time as text. Times in the house are seconds since the epoch, UTC."""

from __future__ import annotations

from rbdiag.model import Fact

_DAY = 86400


def is_time(field: str) -> bool:
    """Whether a fact's field of this name is a point in time; other numbers are lengths, sizes and counts."""
    return field.endswith(("_at", "_since")) or field in ("since", "until", "not_before", "not_after")


def at(fact: Fact) -> float | None:
    """When the thing itself happened, where the fact knows it; else when it was seen."""
    happened: float | None = getattr(fact, "happened_at", None)
    return fact.seen_at if happened is None else happened


def stamp(seconds: float) -> str:
    """RFC 3339 in UTC, to the millisecond. Raises ValueError or OverflowError for what is no time."""
    from datetime import UTC, datetime, timedelta

    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=round(seconds * 1000))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(seconds: float, offset: int, today: float) -> str:
    """The time of day at this offset from UTC; with the date where it is another day than `today`."""
    local = int(seconds + offset)
    hms = f"{local % _DAY // 3600:02}:{local % 3600 // 60:02}:{local % 60:02}"
    return hms if local // _DAY == int(today + offset) // _DAY else f"{stamp(local)[:10]} {hms}"


def zone(offset: int) -> str:
    """The offset as people write it: UTC, UTC+01:00, UTC-03:30."""
    if not offset:
        return "UTC"
    minutes = abs(offset) // 60
    return f"UTC{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
