"""From facts to findings. Pure: nothing here reads the world, the clock included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module

from rbdiag.diagnose.causes import ordered
from rbdiag.frozen import Record
from rbdiag.model import Facts, Finding, Spec

Rule = Callable[[Facts], Iterator[Finding]]

# The cpu area is four files: one process, many, demand, and load that is not CPU time of programs. The db area is
# nine: where the server is, who answers there, the login, its log and its clients' logs, its data, what is wrong inside,
# locks, replication. Codes that only logs tell of so far are specs without a rule, in a file an area; log_said speaks for them.
AREAS = (
    "db", "db_mute", "db_login", "db_log", "db_inside", "db_locks", "db_replica", "db_clients", "db_damage", "cpu", "crowd", "demand",
    "load", "host", "space", "oom", "svc", "net", "net_quality", "dns", "tls", "change", "logs",
    "log_bursts", "log_said", "log_specs_api", "log_specs_timeout", "log_specs_rest",
)  # fmt: skip


class Diagnosis(Record):
    """The findings in their final order, and the rules that broke, by name (a bug, to be told aloud)."""

    findings: tuple[Finding, ...]
    broken: tuple[tuple[str, BaseException], ...] = ()


def rules() -> tuple[Rule, ...]:
    """Every rule of every area, in the order of the areas."""
    return tuple(rule for area in AREAS for rule in import_module(f"rbdiag.diagnose.{area}").RULES)


def catalogue() -> dict[str, Spec]:
    """Every spec by its code, in the order of the areas."""
    return {
        value.code: value
        for area in AREAS
        for value in vars(import_module(f"rbdiag.diagnose.{area}")).values()
        if isinstance(value, Spec)
    }


def diagnose(facts: Facts, using: Iterable[Rule] | None = None) -> Diagnosis:
    """Apply every rule (or these), join causes with their consequences, and put the likeliest root cause first.

    A rule that breaks loses its own findings only; the error is returned, not swallowed.
    """
    from rbdiag.diagnose.log_said import supported

    found: list[Finding] = []
    broken: list[tuple[str, BaseException]] = []
    for rule in rules() if using is None else using:
        try:
            found += rule(facts)
        except Exception as error:  # noqa: BLE001 - whatever broke, the other rules still have their say
            broken.append((rule.__name__, error))
    return Diagnosis(ordered(supported(found, facts)), tuple(broken))
