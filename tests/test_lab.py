"""The lab: its grading, proven with rows, and the fast part of its scenarios, each really injected."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab import proc, scenarios
from tests.lab.bench import run
from tests.lab.grade import grade
from tests.lab.scenario import Fault, Scenario, Setup, fault, twin
from tests.lab.workbench import Answer, Lab, NotInEffect
from tests.servers.database import DidNotStart
from tests.servers.mariadb import MariaDB

FAST = [scenario for scenario in scenarios().values() if scenario.fast]
# Few machines have MySQL itself; where one has, all of these belong to the tests.
MYSQL = [scenario for scenario in scenarios().values() if "mysql" in scenario.needs]


@pytest.mark.parametrize("scenario", [*FAST, *MYSQL], ids=lambda scenario: scenario.name)
def test_the_program_says_what_is_wrong_and_nothing_else(scenario: Scenario) -> None:
    result = run(scenario)
    if result.disturbed and result.state != "passed":
        result = run(scenario)
    if result.state == "skipped":
        pytest.skip(result.remark)
    told = f"{result.remark}; it said: {result.grade}; proven: {'; '.join(result.proofs)}"
    if result.disturbed and result.state != "passed":
        pytest.skip(f"{result.noise:.0%} of this machine was busy with other things; {told}")
    assert result.state == "passed", told


# Grading


def _hog(lab: Lab) -> Setup:
    """A hog."""
    yield Fault(("123",), shown=("indexer",))


HOG = fault("cpu.process-hog", allowed=("cpu.system-time",))(_hog)
TWIN = twin(allowed=("cpu.background-batch",))(_hog)
RIGHT = {"code": "cpu.process-hog", "subject": "app[123]", "evidence": ["thread indexer uses 0.9 cores"]}
OTHER = {"code": "cpu.softirq", "subject": "host"}


def _finding(values: dict[str, Any]) -> dict[str, Any]:
    base: dict[str, Any] = {"severity": "warning", "confidence": "likely", "summary": ""}
    base |= {"explained_by": None, "evidence": []}
    finding = base | values
    return finding | {"evidence": [{"text": text} for text in finding["evidence"]]}


def _report(*findings: dict[str, Any], **values: Any) -> dict[str, Any]:
    found = [_finding(values) for values in findings]
    cause = found[0]["code"] if found else None
    verdict = {"cause": cause, "confidence": "likely", "summary": "what is wrong"}
    return {"findings": found, "verdict": verdict, "status": "warning", "exit_code": 1} | values


@pytest.mark.parametrize(
    ("findings", "first", "among_three"),
    [
        pytest.param([RIGHT], True, True, id="right code, subject and evidence"),
        pytest.param([RIGHT | {"subject": "x", "summary": "app (123) spins"}], True, True, id="named in the summary"),
        pytest.param([OTHER, RIGHT], False, True, id="second"),
        pytest.param([OTHER, OTHER, OTHER, RIGHT], False, False, id="fourth"),
        pytest.param([RIGHT | {"subject": "app[1234]"}], False, False, id="another process, whose pid begins alike"),
        pytest.param([RIGHT | {"subject": "app[0123]"}], False, False, id="another process, whose pid ends alike"),
        pytest.param([RIGHT | {"evidence": ["thread indexers"]}], False, False, id="another thread, named alike"),
        pytest.param(
            [RIGHT | {"subject": "app[9]", "evidence": ["indexer", "app[123]"]}], False, False, id="only in evidence"
        ),
        pytest.param([RIGHT | {"code": "cpu.process-hogs"}], False, False, id="another code"),
        pytest.param([], False, False, id="nothing found"),
    ],
)
def test_a_fault_counts_as_named(findings: list[dict[str, Any]], first: bool, among_three: bool) -> None:
    mark = grade(HOG, Fault(("123",), ("indexer",)), _report(*findings), 1)
    assert (mark.first, mark.among_three, mark.passed(HOG)) == (first, among_three, first)


@pytest.mark.parametrize(
    ("scenario", "findings", "false", "sure", "passed"),
    [
        pytest.param(HOG, [RIGHT, OTHER], ("cpu.softirq",), False, True, id="a false root beside the right one"),
        pytest.param(HOG, [RIGHT, OTHER | {"explained_by": "cpu.process-hog"}], (), False, True, id="a consequence"),
        pytest.param(HOG, [RIGHT, OTHER | {"severity": "note"}], (), False, True, id="a note beside a fault"),
        pytest.param(HOG, [RIGHT, OTHER | {"code": "cpu.system-time"}], (), False, True, id="allowed beside it"),
        pytest.param(
            HOG, [RIGHT, OTHER | {"confidence": "certain"}], ("cpu.softirq",), True, False, id="wrong and certain"
        ),
        pytest.param(
            HOG, [RIGHT | {"subject": "b[9]", "confidence": "certain"}], (), True, False, id="certain of another one"
        ),
        pytest.param(TWIN, [], (), False, True, id="quiet on a healthy host"),
        pytest.param(TWIN, [OTHER], ("cpu.softirq",), False, False, id="an alarm on a healthy host"),
        pytest.param(TWIN, [OTHER | {"severity": "note"}], ("cpu.softirq",), False, False, id="a note too many"),
        pytest.param(
            TWIN, [OTHER | {"code": "cpu.background-batch", "severity": "note"}], (), False, True, id="an allowed note"
        ),
        pytest.param(
            TWIN,
            [OTHER | {"code": "cpu.background-batch"}],
            ("cpu.background-batch",),
            False,
            False,
            id="what may be a note is an alarm",
        ),
    ],
)
def test_false_roots_count(
    scenario: Scenario, findings: list[dict[str, Any]], false: tuple[str, ...], sure: bool, passed: bool
) -> None:
    mark = grade(scenario, Fault(("123",), ("indexer",)), _report(*findings), 1)
    assert (mark.false, mark.wrong_and_certain, mark.passed(scenario)) == (false, sure, passed)


@pytest.mark.parametrize(
    ("values", "status", "complaint"),
    [
        pytest.param({}, 0, "ended with 0, the report says 1", id="exit status"),
        pytest.param({"status": "unknown"}, 1, "cannot tell: what is wrong", id="it could not tell"),
        pytest.param(
            {"verdict": {"cause": None, "confidence": None, "summary": ""}},
            1,
            "the verdict names None, the first finding is cpu.process-hog",
            id="verdict and findings differ",
        ),
    ],
)
def test_a_report_that_contradicts_itself_does_not_pass(values: dict[str, Any], status: int, complaint: str) -> None:
    mark = grade(HOG, Fault(), _report(RIGHT, **values), status)
    assert mark.complaints == (complaint,)
    assert mark.first
    assert not mark.passed(HOG)


# The bench


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def test_a_program_is_ended_with_its_whole_family(lab: Lab) -> None:
    process = lab.ready("sh", "-c", "sleep 1000 & sleep 1000 & echo ready; wait")
    family = [process.pid, *proc.children(process.pid)]
    assert len(proc.states(family)) == 3
    lab.end(process)
    assert proc.states(family) == "", "neither alive nor left unreaped"


def test_a_program_may_end_in_its_own_way(lab: Lab) -> None:
    process = lab.ready("sh", "-c", "trap 'echo bye > farewell; exit' TERM; echo ready; while :; do sleep 0.1; done")
    lab.end(process, signal.SIGTERM)
    assert (lab.folder / "farewell").read_text() == "bye\n"


def test_everything_is_taken_down_when_a_scenario_breaks() -> None:
    made: list[Lab] = []
    started: list[subprocess.Popen[bytes]] = []

    def breaks(lab: Lab) -> Setup:
        """Breaks."""
        made.append(lab)
        started.append(lab.start("sleep", "1000"))
        lab.prove("tasks", lambda: 1 / 0, at_least=1)
        yield Fault()

    with pytest.raises(ZeroDivisionError):
        run(fault("cpu.process-hog")(breaks), patience=0)
    assert started[0].returncode == -signal.SIGKILL
    assert not made[0].folder.exists()


def test_a_fault_that_is_not_in_effect_is_said_so(lab: Lab) -> None:
    with pytest.raises(NotInEffect, match=r"tasks: 3 \(at least 4\)"):
        lab.prove("tasks", lambda: 3, at_least=4, within=0)


def test_a_fault_that_went_away_meanwhile_is_said_so(lab: Lab) -> None:
    values = iter([5.0, 1.0, 1.0])
    lab.prove("tasks", lambda: next(values), at_least=4)
    with pytest.raises(NotInEffect, match="no longer, after the run: tasks: 1"):
        lab.prove_again()


@pytest.mark.parametrize(
    ("noise", "disturbed"),
    [
        pytest.param(0.1, False, id="on a quiet machine the scenario is to blame"),
        pytest.param(0.5, True, id="on a busy one the machine is"),
    ],
)
def test_a_scenario_whose_fault_does_not_come_about_is_not_graded(
    noise: float, disturbed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(lab: Lab) -> Setup:
        """Nothing."""
        lab.prove("tasks", lambda: 0, at_least=1, within=0)
        yield Fault()

    monkeypatch.setattr(proc, "busy_part", lambda: noise)
    monkeypatch.setattr(proc, "foreign_seconds", lambda: 0.0)
    result = run(fault("cpu.process-hog")(nothing), patience=0)
    assert (result.state, result.grade, result.disturbed) == ("not in effect", None, disturbed)


def test_what_the_lab_itself_uses_is_not_noise(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = lab.start(sys.executable, "-c", "while True: pass").pid
    lab.prove("seconds used", lambda: proc.cpu_seconds(pid), at_least=0.3)
    used, foreign = proc.cpu_seconds(pid), proc.foreign_seconds()
    monkeypatch.setattr("os.getpid", lambda: 0)  # seen from nowhere, everybody is foreign
    assert proc.foreign_seconds() - foreign > used


def test_a_healthy_host_is_not_looked_for_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "busy_part", lambda: 0.5)
    result = run(TWIN, patience=0)
    assert (result.state, result.remark) == ("skipped", "the machine is 50% busy with other things")


def test_a_scenario_that_needs_what_is_not_here_is_skipped_with_the_reason() -> None:
    result = run(fault("cpu.process-hog", needs=("no-such-program",))(_hog))
    assert (result.state, result.remark) == ("skipped", "needs no-such-program")


def test_an_answer_that_is_no_report_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(lab: Lab) -> Setup:
        """At once."""
        answer = yield Fault()
        assert answer.status == 3

    monkeypatch.setattr(Lab, "rbdiag", lambda *argv, before: Answer("not json", "it broke", 3, 0.1))
    result = run(fault("cpu.process-hog")(at_once), patience=0)
    assert result.state == "missed"
    assert result.grade is not None
    assert result.grade.said == "it broke"
    assert "no report" in result.remark


def test_the_command_line_and_what_stands_before_it_may_be_of_the_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    def ask(lab: Lab, *argv: str, before: tuple[str, ...] = ()) -> Answer:
        asked.append((argv, before))
        return Answer("not json", "", 0, 0.1)

    def at_a_port(lab: Lab) -> Setup:
        """At a port."""
        yield Fault(argv=("db", "127.0.0.1:3307"), before=("nice", "-n", "5"))

    monkeypatch.setattr(Lab, "rbdiag", ask)
    run(fault("db.service-down", argv=(), quiet=False)(at_a_port), patience=0, strict=True)
    assert asked == [(("db", "127.0.0.1:3307", "--json"), ("nice", "-n", "5"))], "and no more"


def test_a_scenario_that_needs_no_quiet_machine_does_not_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "busy_part", lambda: pytest.fail("it looked how busy the machine is"))
    monkeypatch.setattr(Lab, "rbdiag", lambda *argv, before=(): Answer("not json", "", 0, 0.1))
    result = run(twin(quiet=False)(_hog), patience=0)
    assert (result.state, result.noise) == ("missed", 0.0)


# The servers of the lab


def test_a_database_is_ended_and_removed_though_it_is_stopped(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb().start()
    server.kill(signal.SIGSTOP)
    with server:
        assert server.alive
    assert not server.alive
    assert not server.folder.exists()


def test_a_database_starts_again_with_other_options(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb(max_connections=21).start()
    server.account("shop", "not secret")
    server.restart(max_connections=34)
    assert server.variable("max_connections") == "34"
    with server.connect(host="127.0.0.1", user="shop", password="not secret") as connection:
        assert connection.open


def test_a_start_that_must_fail_tells_how(own_mariadb: Callable[..., MariaDB]) -> None:
    failed = own_mariadb().fails_to_start(no_such_option=1)
    assert failed.status == 7
    assert "unknown variable 'no-such-option=1'" in failed.log


def test_a_start_that_should_have_failed_is_said_so(own_mariadb: Callable[..., MariaDB]) -> None:
    server = own_mariadb()
    with pytest.raises(DidNotStart, match="should not have come up"):
        server.fails_to_start()
    assert not server.alive


def test_a_database_that_does_not_start_says_why(own_mariadb: Callable[..., MariaDB]) -> None:
    with pytest.raises(DidNotStart, match="no-such-option"):
        own_mariadb().start(no_such_option=1)


def test_the_lab_measures_a_process_that_spins(lab: Lab) -> None:
    pid = lab.start(sys.executable, "-c", "while True: pass").pid
    idle = lab.start("sleep", "1000").pid
    lab.prove("cores", lambda: proc.rate(lambda: proc.cpu_seconds(pid)), at_least=0.2, at_most=1.2)
    lab.prove("cores", lambda: proc.rate(lambda: proc.cpu_seconds(idle)), at_most=0.01)


def test_every_scenario_says_what_it_is_about() -> None:
    everything = scenarios()
    assert len(everything) >= 30
    for scenario in everything.values():
        assert scenario.about.endswith("."), scenario.name
