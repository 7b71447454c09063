from dataclasses import replace

import pytest

from rbdiag.facts.cpu import ServiceCpu
from rbdiag.model import Cost, Fact, Facts, Finding, Gap, Report, Step
from rbdiag.render import RenderOptions, render
from rbdiag.render.escape import width
from tests.samples import critical, healthy, noted, process, row, unknown


def table(report: Report, **options: object) -> list[str]:
    return render("table", report, RenderOptions(**options)).split("\n")  # type: ignore[arg-type]


def pids(report: Report, **options: object) -> list[str]:
    """The first column of the ranking of processes."""
    lines = table(report, **options)
    start = next((i for i, line in enumerate(lines) if "PID" in line.split()), None)
    return [] if start is None else [line.split()[0] for line in lines[start + 1 : lines.index("", start)]]


def with_facts(*facts: Fact) -> Report:
    return replace(healthy(), facts=Facts(facts))


def with_steps(*steps: Step) -> Report:
    report = critical()
    return replace(report, findings=(replace(report.findings[0], resolution=steps),))


def test_the_header_says_how_much_was_looked_at() -> None:
    assert table(critical(), utc_offset=3600)[0] == (
        "rbdiag cpu · web-3 · 5 of 10 checks ran · 4.3 s · 09:00:00 UTC+01:00"
    )


def test_a_target_on_another_host_is_told_from_where_it_was_looked_at() -> None:
    assert table(unknown())[0].startswith("rbdiag db · db1:3306 from web-3 · 0 of 1 checks ran")
    assert table(replace(healthy(), target="this host"))[0].startswith("rbdiag cpu · web-3 · 2 of 2 checks ran")


def test_a_healthy_report_ends_with_a_verdict_of_one_line() -> None:
    lines = table(healthy())
    assert lines[-3:] == ["", "OK  nothing wrong", ""]


def test_the_longer_window_is_ranked_when_there_is_one() -> None:
    first = [process(1, 0.9), process(2, 0.5)]
    assert pids(with_facts(*first)) == ["1", "2"]
    assert pids(with_facts(*first, process(2, 0.7, window="confirm"))) == ["2"]


def test_processes_are_ranked_by_share_and_no_more_than_asked_for() -> None:
    report = with_facts(*(process(pid, share) for pid, share in ((1, 0.2), (2, 0.9), (3, 0.0), (4, 0.5))))
    assert pids(report) == ["2", "4", "1", "3"]
    assert pids(report, top=2) == ["2", "4"]
    assert pids(with_facts()) == []


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        pytest.param({"share": 0.999}, {"CPU%": "99.9"}, id="less than ten cores"),
        pytest.param({"share": 12.34}, {"CPU%": "1234"}, id="many cores"),
        pytest.param({"age": 59.9}, {"AGE": "59s"}, id="seconds"),
        pytest.param({"age": 60.0}, {"AGE": "1m"}, id="a minute"),
        pytest.param({"age": 3600.0}, {"AGE": "1h"}, id="an hour"),
        pytest.param({"age": 86400.0 * 400}, {"AGE": "400d"}, id="more than a year"),
        pytest.param({"rss": 999}, {"MEM": "999"}, id="bytes"),
        pytest.param({"rss": 1024 * 1000}, {"MEM": "1.0M"}, id="a thousand kibibytes"),
        pytest.param({"rss": 3 * 1024**4}, {"MEM": "3.0T"}, id="tebibytes"),
        pytest.param({"service": "nginx.service"}, {"SERVICE": "nginx"}, id="a unit without its suffix"),
        pytest.param({"service_kind": "process"}, {"SERVICE": "-"}, id="a process that is its own service"),
        pytest.param({"command": "/opt/a/b -x"}, {"COMMAND": "b"}, id="a program without its folder"),
        pytest.param({"command": ""}, {"COMMAND": "[worker]"}, id="a kernel thread"),
        pytest.param({"user": "averyverylonguser"}, {"USER": "averyve…"}, id="a long user name"),
        pytest.param({"command": "1e5"}, {"COMMAND": "1e5"}, id="a name that looks like a number"),
    ],
)
def test_a_cell_reads_well(changes: dict[str, object], cells: dict[str, str]) -> None:
    lines = table(with_facts(replace(process(7, 0.5), **changes)))  # type: ignore[arg-type]
    heads = next(line for line in lines if "PID" in line).split()
    values = lines[next(i for i, line in enumerate(lines) if "PID" in line) + 1].split()
    assert {head: values[heads.index(head)] for head in cells} == cells


def test_columns_stand_straight_under_wide_letters() -> None:
    lines = table(with_facts(process(7, 0.5, user="名前"), process(8, 0.5, user="abcd")))
    start = next(i for i, line in enumerate(lines) if "PID" in line)
    assert len({width(line[: line.index(" 50.0")]) for line in lines[start + 1 : start + 3]}) == 1


def test_input_and_output_are_shown_only_on_request() -> None:
    report = with_facts(process(7, 0.5, read_rate=1536.0, write_rate=None))
    assert "READ/s" not in "\n".join(table(report))
    heads, values = (line.split() for line in table(report, verbose=True) if "PID" in line or "www-data" in line)
    assert values[heads.index("READ/s")] == "1.5K"
    assert values[heads.index("WRITE/s")] == "-"


def test_a_service_with_one_process_has_no_line_of_its_own() -> None:
    report = critical()
    assert any(line.startswith("web        40") for line in table(report))
    alone = [replace(f, processes=1) if isinstance(f, ServiceCpu) else f for f in report.facts]
    assert "PROCS" not in "\n".join(table(replace(report, facts=Facts(alone))))


def test_only_the_busiest_services_are_summed_unless_all_are_asked_for() -> None:
    service = next(f for f in critical().facts if isinstance(f, ServiceCpu))
    shares = [0.009, 0.01, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    report = with_facts(*(replace(service, subject=f"unit{i}.service", share=s) for i, s in enumerate(shares)))
    for verbose, names in ((False, "76543"), (True, "76543210")):
        assert "".join(line[4] for line in table(report, verbose=verbose) if line.startswith("unit")) == names


@pytest.mark.parametrize(("share", "shown"), [(0.009, False), (0.01, True)])
def test_a_service_that_is_all_but_idle_is_no_news(share: float, shown: bool) -> None:
    service = next(f for f in critical().facts if isinstance(f, ServiceCpu))
    assert ("PROCS" in "\n".join(table(with_facts(replace(service, share=share))))) is shown


def test_a_command_is_never_cut_or_wrapped() -> None:
    command = "sudo " + "x" * 300 + ' "$(cat /proc/1/stat)" | grep \\\\x1b'
    assert [line for line in table(with_steps(Step("Do it", command))) if line.strip() == command]


@pytest.mark.parametrize("command", ["kill \x1b[2J", "kill 1\nrm -rf /", "kill \u202e1", "kill \udcff"])
def test_a_command_that_does_not_print_can_only_be_pasted_as_a_comment(command: str) -> None:
    lines = [line.strip() for line in table(with_steps(Step("Do it", command)))]
    shown = [line for line in lines if "kill" in line]
    assert len(shown) == 1
    assert shown[0].startswith("# kill ")
    assert lines[lines.index(shown[0]) - 1].startswith("# not to be pasted")


def test_gaps_with_one_reason_are_said_once_with_what_unlocks_them() -> None:
    lines = table(critical())
    assert "  ? cpu.io, host.disk (forbidden): not allowed to read /proc/1/io; run as root" in lines
    assert "  ? host.psi (missing): /proc/pressure is not there" in lines


def test_a_check_that_saw_a_part_says_that_it_is_incomplete() -> None:
    gap = Gap("deadline", "not finished when the time was up")
    lines = table(
        replace(healthy(), checks=(row("a.part", "half of it", "gap", gap), row("a.none", gap.detail, "gap", gap)))
    )
    assert "? a.part  incomplete (deadline): half of it" in lines
    assert "? a.none  not finished when the time was up" in lines


@pytest.mark.parametrize(
    ("text", "sign"), [("ok", "✓"), ("note", "·"), ("warning", "!"), ("critical", "✗"), ("gap", "?")]
)
def test_every_mark_has_its_own_sign(text: str, sign: str) -> None:
    lines = table(replace(healthy(), checks=(row("a.check", "seen", text),)))
    assert f"{sign} a.check  seen" in lines


def test_symptoms_stand_under_their_cause_and_other_causes_after() -> None:
    text = "\n".join(table(critical()))
    assert "Leads to\n  ✗ cpu.saturated: 4 CPUs" in text
    assert "\n    ! host.slow: some task" in text
    assert text.index("Leads to") < text.index("Because") < text.index("Fix") < text.index("Also\n  ! host.hung-task")


def test_what_a_note_says_is_said_once_and_other_notes_are_not_hidden() -> None:
    report = noted()
    assert "Also" not in table(report)
    second: Finding = replace(report.findings[0], summary="another batch job runs")
    lines = table(replace(report, findings=(*report.findings, second)))
    assert lines[lines.index("Also") + 1] == "  · cpu.background-batch: another batch job runs"


def test_confidence_is_said_where_something_is_wrong_and_only_there() -> None:
    assert "reading anything (likely)" in "\n".join(table(critical()))
    assert "(certain)" not in "\n".join(table(noted()))


def test_with_verbose_every_fact_and_the_cost_are_shown() -> None:
    report = replace(critical(), cost=Cost(cpu_seconds=0.114, bytes_read=2048))
    short, full = (" ".join(" ".join(table(report, verbose=v, width=400)).split()) for v in (False, True))
    for words in ("busiest 2.97", "0.11 s of CPU spent", "2.0 KiB read", "Read the kernel's log around it"):
        assert words not in short
        assert words in full


def test_facts_of_a_type_from_another_runbook_do_no_harm() -> None:
    class TcpAnswer(Fact):
        def __str__(self) -> str:
            return "open in 0.3 ms"

    fact = TcpAnswer(subject="db1:3306", check="net.tcp", seen_at=1.0)
    report = replace(unknown(), facts=Facts([fact]), checks=(row("net.tcp", str(fact)),))
    assert "✓ net.tcp  open in 0.3 ms" in table(report, verbose=True)


def test_of_many_other_findings_the_first_are_told() -> None:
    report = noted()
    (finding,) = report.findings
    many = replace(report, findings=tuple(replace(finding, subject=f"tar[{n}]", summary=f"tar {n}") for n in range(9)))
    assert [line for line in table(many, top=3) if ": tar" in line or "more:" in line][1:] == [
        *(f"  · cpu.background-batch: tar {n}" for n in (1, 2, 3)), "  and 5 more: --verbose",
    ]  # fmt: skip
    assert "more: --verbose" not in "\n".join(table(many, top=8))
    assert sum("background-batch: tar" in line for line in table(many, top=3, verbose=True)) == 8
