"""The rules, row by row: what must be said first, and what must not be said."""

from __future__ import annotations

import re

import pytest

from rbdiag.diagnose import catalogue, diagnose
from rbdiag.frozen import replace
from rbdiag.model import Confidence, Facts, Severity
from tests.diagnose import world as w
from tests.diagnose.rows import CHAINS, ROWS, UNCONFIRMED, Row


def told(facts: Facts):
    found = diagnose(facts)
    assert found.broken == ()
    return found.findings


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_world_is_told_right(row: Row) -> None:
    findings = told(row.facts)
    alarms = [f for f in findings if f.severity > Severity.NOTE]
    codes = [f.code for f in findings]
    roots = [f.code for f in alarms if f.explained_by is None]
    if row.first is None:
        assert roots == []
    else:
        assert roots[:1] == [row.first], codes
        assert findings[0].evidence, "a finding without evidence"
        assert row.subject in ("", findings[0].subject)
        assert row.says in findings[0].summary
    assert not set(roots) & set(row.never), codes
    assert set(row.notes) <= {f.code for f in findings if f.severity is Severity.NOTE}


@pytest.mark.parametrize(("facts", "cause", "symptom"), [c[1:] for c in CHAINS], ids=[c[0] for c in CHAINS])
def test_a_symptom_stands_under_its_cause(facts: Facts, cause: str, symptom: str) -> None:
    found = {f.code: f for f in told(facts)}
    assert found[cause].explained_by is None
    assert found[symptom].explained_by == cause


@pytest.mark.parametrize(("facts", "code"), [u[1:] for u in UNCONFIRMED], ids=[u[0] for u in UNCONFIRMED])
def test_one_window_alone_is_never_certain(facts: Facts, code: str) -> None:
    first = told(facts)[0]
    assert first.code == code
    assert first.confidence < Confidence.CERTAIN


@pytest.mark.parametrize(
    ("busy", "some", "severity"),
    [
        (0.97, 0.6, Severity.CRITICAL),
        (0.94, 0.6, Severity.WARNING),
        (0.97, 0.1, Severity.WARNING),
    ],
    ids=["full and tasks wait", "not quite full", "full, but nobody waits"],
)
def test_a_hog_is_critical_only_where_others_suffer(busy: float, some: float, severity: Severity) -> None:
    facts = w.healthy().but(
        [w.time(x, user=busy) for x in w.BOTH], w.pressure("cpu", some), w.alone("burn", 900, 3.8, threads=4)
    )
    assert told(facts)[0].severity is severity


def test_without_pressure_information_the_run_queue_tells() -> None:
    for runnable, severity in ((9, Severity.CRITICAL), (3, Severity.WARNING)):
        facts = w.healthy().but(
            w.full(), w.alone("burn", 900, 3.8, threads=4), [w.rates(x, runnable=runnable) for x in w.BOTH]
        )
        assert told(Facts(f for f in facts if not isinstance(f, w.Pressure)))[0].severity is severity


STEPS = [(row.name, step) for row in ROWS if row.first for f in told(row.facts)[:1] for step in f.resolution]


@pytest.mark.parametrize(("name", "step"), STEPS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_step_that_touches_a_process_is_guarded(name: str, step) -> None:
    touches = re.search(r"\b(?:kill|renice)\b(?! QUERY)", step.command)
    if touches and "KILL QUERY" not in step.command:
        assert re.match(r"\[ \"\$\(sed -nE .* /proc/\d+/stat\)\" = \d+ \] && ", step.command), step.command


@pytest.mark.parametrize("row", [r for r in ROWS if r.first], ids=lambda row: row.name)
def test_harmless_steps_come_first_and_force_comes_last(row: Row) -> None:
    risks = [step.risk for step in told(row.facts)[0].resolution]
    assert risks[:1] == ["safe"] or row.first in ("cpu.system-time", "cpu.db-query")
    if "destructive" in risks:
        assert risks.index("destructive") == len(risks) - 1


def test_a_kernel_thread_is_never_to_be_killed() -> None:
    row = next(r for r in ROWS if r.name == "a kernel thread spins")
    assert not any("kill" in step.command or "renice" in step.command for step in told(row.facts)[0].resolution)


def test_process_one_is_never_to_be_killed() -> None:
    facts = w.healthy().but(w.one_core_busy(), w.alone("systemd", 1, 1.0))
    assert not any("kill" in step.command for step in told(facts)[0].resolution)


@pytest.mark.parametrize(
    ("unit", "kind", "verb"),
    [("shop.service", "simple", "restart"), ("report.service", "oneshot", "stop"), ("run-r1.scope", "", "stop")],
)
def test_what_cannot_be_restarted_is_stopped(unit: str, kind: str, verb: str) -> None:
    busy = w.alone("burn", 900, 1.0, unit=unit, service=unit, service_kind="unit")
    commands = [
        s.command for s in told(w.healthy().but(w.one_core_busy(), busy, w.unit(unit, service_type=kind)))[0].resolution
    ]
    assert f"sudo systemctl {verb} {unit}" in commands


@pytest.mark.parametrize(
    ("unit", "systemd", "load", "said"),
    [
        ("shop.service", True, "loaded", True),
        ("shop.service", False, "loaded", False),
        ("shop.service", True, "not-found", False),
        ("*.service", True, "loaded", False),
        ("--now", True, "loaded", False),
        (r"dev\x2dsda.mount", True, "loaded", True),
    ],
    ids=["ours", "no systemd here", "a guest's, unknown to us", "a pattern", "an option", "an escaped name"],
)
def test_a_unit_is_only_named_in_commands_where_it_is_ours(unit: str, systemd: bool, load: str, said: bool) -> None:
    busy = w.alone("burn", 900, 1.0, unit=unit, service=unit, service_kind="unit")
    standing = w.Standing(subject="rbdiag", root=True, sudo=False, systemd=systemd)
    first = told(w.healthy().but(w.one_core_busy(), busy, standing, w.unit(unit, load=load)))[0]
    assert any("systemctl" in s.command or "journalctl" in s.command for s in first.resolution) is said


def test_the_pressure_of_the_window_that_confirms_counts() -> None:
    early, late = w.pressure("cpu", 0.01, seen_at=w.NOW), w.pressure("cpu", 0.9, seen_at=w.NOW + 3)
    for order in ([early, late], [late, early]):
        first = told(w.healthy().but(w.full(), order, w.alone("burn", 900, 3.8, threads=4)))[0]
        assert first.severity is Severity.CRITICAL


def test_two_short_windows_are_not_certain() -> None:
    facts = [replace(f, seconds=0.4) if hasattr(f, "seconds") else f for f in w.alone("burn", 900, 1.0)]
    assert told(w.healthy().but(w.one_core_busy(), facts))[0].confidence < Confidence.CERTAIN


def test_without_the_hosts_times_the_cpus_are_still_counted() -> None:
    facts = w.healthy().but(w.alone("burn", 900, 1.0))
    assert " of 4 in" in told(Facts(f for f in facts if not isinstance(f, w.CpuTime)))[0].summary


def test_every_burner_of_a_service_is_ended_before_force_is_thought_of() -> None:
    two = [f for pid in (900, 901) for f in w.alone("burn", pid, 1.0, service="xargs[4]")]
    kills = [
        s.command.rpartition("&& ")[2] for s in told(w.healthy().but(w.one_core_busy(user=0.5), two))[0].resolution
    ]
    assert [k for k in kills if "kill" in k] == ["sudo kill 900", "sudo kill 901", "sudo kill -9 900"]


def test_root_is_not_told_to_use_sudo() -> None:
    facts = w.healthy().but(
        w.one_core_busy(), w.alone("burn", 900, 1.0), w.Standing(subject="rbdiag", root=True, sudo=False, systemd=True)
    )
    assert not any("sudo" in step.command for step in told(facts)[0].resolution)


def test_what_is_already_nice_is_not_made_nicer() -> None:
    facts = w.healthy().but(w.one_core_busy(), w.alone("burn", 900, 1.0, nice=9))
    assert any("renice" in s.command for s in told(facts)[0].resolution)
    assert not any(
        "renice" in s.command for f in told(w.healthy().but(w.alone("burn", 900, 1.0, nice=10))) for s in f.resolution
    )


def test_a_missing_profiler_is_said_with_what_unlocks_it() -> None:
    tool = w.ProfilerTool(
        subject="py-spy", state="missing", path="", detail="not installed: pip install 'rbdiag[profile]'"
    )
    facts = w.healthy().but(w.one_core_busy(), w.alone("python3", 900, 1.0, runtime="python"), tool)
    step = told(facts)[0].resolution[0]
    assert "rbdiag[profile]" in step.text
    assert step.command == "sudo py-spy dump --pid 900"


def test_a_rule_that_breaks_costs_only_itself() -> None:
    def broken_rule(facts: Facts):
        raise KeyError("spoiled")
        yield

    from rbdiag.diagnose import rules

    row = next(r for r in ROWS if r.first == "cpu.process-hog")
    found = diagnose(row.facts, (broken_rule, *rules()))
    assert found.findings[0].code == "cpu.process-hog"
    assert [name for name, _ in found.broken] == ["broken_rule"]


def test_a_cause_is_as_severe_as_what_it_explains() -> None:
    row = next(r for r in ROWS if r.name == "swap both ways without end")
    cause, symptom = told(row.facts)[:2]
    assert (cause.code, symptom.code) == ("host.memory-pressure", "cpu.swap-thrash")
    assert cause.severity is symptom.severity is Severity.CRITICAL


def test_every_spec_explains_only_codes_that_exist() -> None:
    codes = catalogue()
    assert {c for spec in codes.values() for c in spec.explains} <= set(codes)
