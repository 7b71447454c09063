import re
from dataclasses import replace

import pytest

from rbdiag.model import Facts, Report, Status, Step
from rbdiag.render import render
from tests.samples import SAMPLES, cpu_time, critical, healthy, spoiled

# label=value[UOM];[warn];[crit];[min];[max], by the Monitoring Plugins Development Guidelines, 2.6.
NUMBER = r"-?\d+(\.\d+)?"
DATUM = re.compile(rf"[a-z0-9]+={NUMBER}(s|%)?(;({NUMBER})?){{0,4}}")


def parts(report: Report) -> tuple[str, list[str], list[str]]:
    """The first line's text, all performance data, and the long text but for its last line, which counts checks."""
    first, *long, last = render("nagios", report).removesuffix("\n").split("\n")
    text, _, data = first.partition(" | ")
    count, _, rest = last.partition(" | ")
    assert re.fullmatch(r"\d+ of \d+ checks ran", count)
    return text, [*data.split(), *rest.split()], long


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_first_line_is_status_text_and_performance_data(sample: str) -> None:
    report = SAMPLES[sample]()
    text, data, _ = parts(report)
    assert text.startswith(f"{report.runbook.upper()} {str(report.status).upper()} - ")
    assert len(render("nagios", report).partition("\n")[0]) < 80
    assert [datum for datum in data if not DATUM.fullmatch(datum)] == []


@pytest.mark.parametrize("status", Status)
def test_the_status_words_are_those_of_nagios(status: Status) -> None:
    text, _, _ = parts(replace(healthy(), status=status))
    assert text.split()[1] in ("OK", "WARNING", "CRITICAL", "UNKNOWN")


@pytest.mark.parametrize("text", ["|", " | 'busy'=0%", "\n| 'busy'=0%", "\\|"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_no_text_can_pass_for_performance_data(sample: str, text: str) -> None:
    assert render("nagios", spoiled(SAMPLES[sample](), text)).count("|") <= 2


@pytest.mark.parametrize(
    ("length", "shown", "data"),
    [
        pytest.param(41, "x" * 41, 22, id="with a datum"),
        pytest.param(42, "x" * 42, 0, id="alone"),
        pytest.param(64, "x" * 64, 0, id="as long as fits"),
        pytest.param(65, "x" * 61 + "...", 0, id="cut"),
    ],
)
def test_a_summary_has_the_whole_line_and_is_said_in_full_where_it_is_cut(length: int, shown: str, data: int) -> None:
    report = replace(healthy(), summary="x" * length, status=Status.CRITICAL)
    text, every, long = parts(report)
    assert text == f"CPU CRITICAL - {shown}"
    assert len(render("nagios", report).partition("\n")[0]) - len(text) == (len(f" | {every[0]}") if data else 0)
    assert every[0].startswith("busy="), "no datum is lost"
    assert long == ([] if length < 65 else ["x" * 65])


@pytest.mark.parametrize(
    ("summary", "shown"),
    [
        pytest.param(
            "s-s3: an error: botocore.exceptions.ClientError: An error occurred (AccessDenied) when calling Put",
            "LOGS WARNING - s-s3: ClientError: An error occurred (AccessDenied) when call...",
            id="an exception in its packages",
        ),
        pytest.param(
            "shop: a new error: payment provider rejects all requests: merchant account suspended",
            "LOGS WARNING - shop: payment provider rejects all requests: merchant account...",
            id="a new error",
        ),
        pytest.param(
            "shop: a new error: java.io.IOException: broken",
            "LOGS WARNING - shop: a new error: java.io.IOException: broken",
            id="as it is where it fits",
        ),
    ],
)
def test_what_says_least_gives_way_to_the_cause(summary: str, shown: str) -> None:
    report = replace(healthy(), runbook="logs", summary=summary, status=Status.WARNING)
    assert parts(report)[0] == shown


def test_the_latest_window_and_the_thresholds_are_reported() -> None:
    _, data, _ = parts(critical())
    assert data[0] == "busy=98%;80;95;0;100"
    assert "load1=9.25;;;0" in data


@pytest.mark.parametrize(("busy", "datum"), [(0.0, "busy=0%;;;0;100"), (1.0, "busy=100%;;;0;100")])
def test_without_thresholds_their_places_stay_empty(busy: float, datum: str) -> None:
    _, data, _ = parts(replace(healthy(), facts=Facts([cpu_time(busy)])))
    assert data[0] == datum


def test_without_measurements_there_is_still_the_time_it_took() -> None:
    _, data, _ = parts(SAMPLES["unknown"]())
    assert data == ["time=0.1s;;;0"]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        pytest.param("sudo renice -n 10 -p 7", "  sudo renice -n 10 -p 7", id="as it is"),
        pytest.param(
            "dmesg | tail", "  (a command that cannot be shown here: see the same report as a table)", id="a pipe"
        ),
        pytest.param(
            "kill \x1b", "  (a command that cannot be shown here: see the same report as a table)", id="escape"
        ),
    ],
)
def test_a_command_is_shown_unchanged_or_not_at_all(command: str, shown: str) -> None:
    report = critical()
    finding = replace(report.findings[0], resolution=(Step("Do it", command),))
    _, _, long = parts(replace(report, findings=(finding,)))
    assert long[long.index("fix 1 (safe): Do it") + 1] == shown


def test_the_long_text_holds_every_finding_gap_and_contact() -> None:
    _, _, long = parts(critical())
    text = "\n".join(long)
    for words in (
        "critical cpu.saturated (certain, explained by cpu.runaway-process)",
        "not seen: host.psi",
        "call: Ada",
    ):
        assert words in text
