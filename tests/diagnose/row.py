"""A row: one small broken world, or a healthy one that looks suspicious, and the one thing to be said about it."""

from __future__ import annotations

from dataclasses import dataclass

from rbdiag.model import Facts


@dataclass(frozen=True)
class Row:
    """`first` is the code that must come first, None where nothing may alarm. `never` must not be said at all.

    `twice` where one window alone says nothing.
    """

    name: str
    facts: Facts
    first: str | None
    subject: str = ""
    never: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    says: str = ""
    twice: bool = False
