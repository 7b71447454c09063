"""What must come out of a log that a real program wrote: one row is a program and how it was broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.lab.logs_real import Written


@dataclass(frozen=True)
class Trace:
    """Traces of one kind: the exception, a part of its message and of the deepest own frame, and how many."""

    exception: str
    message: str = ""
    frame: str = ""
    count: int = 1


@dataclass(frozen=True)
class Row:
    """One program, broken in one way.

    `known` are the names of the catalogue's patterns with how many lines each must have (0 for any), all of them but
    the marks of a start and a stop; `maybe` may come too. `new` are texts of which each must stand in a new template
    of error level. `codes` are what the first finding may be; none where the row does not ask. `form` is the form of a
    small program's log, `which` which log of a web server is meant; of a `timeless` one the last lines tell no time.
    `needs` is "root" or nothing.
    """

    program: str
    how: str
    made: Callable[[], Written]
    known: Mapping[str, int] = field(default_factory=dict)
    maybe: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    trace: Trace | None = None
    codes: tuple[str, ...] = ()
    form: str = ""
    which: str = "log"
    needs: str = ""
    timeless: bool = False

    @property
    def name(self) -> str:
        return f"{self.program}: {self.how}"
