from dataclasses import replace
from typing import Any

from rbdiag.model import Finding
from rbdiag.render.tree import Branch, branches
from tests.samples import HUNG, SATURATED, SLOW, SPIN, critical


def finding(spec: object, subject: str = "host", under: str | None = None, about: tuple[str, ...] = ()) -> Finding:
    first = critical().findings[0]
    return replace(first, spec=spec, subject=subject, explained_by=under, about=frozenset(about))  # type: ignore[arg-type]


def shape(trees: list[Branch]) -> list[Any]:
    return [(f"{t.finding.code} {t.finding.subject}", shape(t.under)) for t in trees]


def test_a_symptom_stands_under_its_cause_and_its_own_symptom_under_it() -> None:
    found = [finding(SPIN), finding(SATURATED, under=SPIN.code), finding(SLOW, under=SATURATED.code), finding(HUNG)]
    inner: Any = [("cpu.saturated host", [("host.slow host", [])])]
    assert shape(branches(found)) == [("cpu.runaway-process host", inner), ("host.hung-task host", [])]


def test_of_two_causes_with_one_code_the_related_one_is_taken() -> None:
    found = [
        finding(SPIN, "a[1]", about=("one.service",)),
        finding(SPIN, "b[2]", about=("two.service",)),
        finding(SLOW, "c[3]", under=SPIN.code, about=("two.service",)),
    ]
    second: Any = ("cpu.runaway-process b[2]", [("host.slow c[3]", [])])
    assert shape(branches(found)) == [("cpu.runaway-process a[1]", []), second]


def test_a_symptom_whose_cause_is_not_there_before_it_is_not_hidden() -> None:
    found = [finding(SLOW, under=SPIN.code), finding(SPIN, under=SLOW.code), finding(HUNG, under="no.such-code")]
    under: Any = [("cpu.runaway-process host", [])]
    assert shape(branches(found)) == [("host.slow host", under), ("host.hung-task host", [])]
