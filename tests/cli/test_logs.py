"""`rbdiag logs`: each option and each kind of source through the command line, and what never comes out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from rbdiag.render import FORMATS
from rbdiag.runbooks.logs import CHECKS
from rbdiag.schema import schema
from tests.cli.program import Program

HEALTHY = "INFO [worker] order {n} was shipped in 12 ms"
REFUSED = (
    "[error] 77#77: *{n} connect() failed (111: Connection refused) while connecting to upstream, client: 10.0.0.9, "
    'server: _, request: "GET /api/cart HTTP/1.1", upstream: "http://127.0.0.1:9001/api/cart", host: "shop"'
)
SECRET = "hunter2-correct-horse"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e|`x`"


def line(ago: float, text: str) -> str:
    """A line that was written so many seconds ago."""
    now = time.time() - ago
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03}Z {text}\n"


def log(path: Path, *lines: tuple[float, str]) -> str:
    """A log with a healthy line each half minute of the last six hours, and these, so many seconds ago."""
    usual = [(ago, HEALTHY.format(n=ago)) for ago in range(21_600, 0, -30)]
    ordered = sorted((*usual, *lines), key=lambda each: -each[0])
    path.write_text("".join(line(*each) for each in ordered))
    return str(path)


def refused(ago: float = 300, times: int = 40) -> list[tuple[float, str]]:
    return [(ago - n / 10, REFUSED.format(n=n)) for n in range(times)]


def report(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    doc: dict[str, object] = json.loads(done.stdout)
    return doc


def facts(done: subprocess.CompletedProcess[str], kind: str) -> list[dict[str, object]]:
    return [fact for fact in report(done)["facts"] if fact["type"] == kind]  # type: ignore[attr-defined,union-attr]


@pytest.fixture
def bad(tmp_path: Path) -> str:
    return log(tmp_path / "error.log", *refused())


@pytest.fixture
def good(tmp_path: Path) -> str:
    return log(tmp_path / "app.log")


def test_the_answer_comes_first(rbdiag: Program, bad: str) -> None:
    done = rbdiag("logs", bad)
    first = done.stdout.splitlines()[0]
    assert (done.returncode, done.stderr) in ((1, ""), (2, ""))
    assert first.startswith(("WARNING  ", "CRITICAL  "))
    assert "refuse" in done.stdout
    assert "KNOWN" in done.stdout


def test_a_healthy_log_is_told_in_two_lines(rbdiag: Program, good: str) -> None:
    done = rbdiag("logs", good)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("OK  nothing wrong")
    assert len(done.stdout.splitlines()) <= 3, done.stdout


def test_quiet_says_nothing_while_all_is_well_and_else_everything(rbdiag: Program, good: str, bad: str) -> None:
    done = rbdiag("logs", good, "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "refuse" in rbdiag("logs", bad, "-q").stdout


def test_every_check_has_its_row(rbdiag: Program, bad: str) -> None:
    done = rbdiag("logs", "--json", bad)
    assert tuple(check["name"] for check in report(done)["checks"]) == CHECKS  # type: ignore[attr-defined,index]


# Sources.


def test_several_logs_and_globs(rbdiag: Program, good: str, bad: str, tmp_path: Path) -> None:
    done = rbdiag("logs", "--json", good, str(tmp_path / "err*.log"))
    assert [window["subject"] for window in facts(done, "LogWindow")] == [good, bad]
    assert [known["subject"] for known in facts(done, "LogKnown")] == [bad]


@pytest.mark.parametrize("arguments", [("-",), ()], ids=["asked for", "a pipe and no file"])
def test_standard_input(rbdiag: Program, bad: str, arguments: tuple[str, ...]) -> None:
    done = rbdiag("logs", "--json", *arguments, input=Path(bad).read_text())
    assert facts(done, "LogWindow")[0]["subject"] == "standard input"
    assert facts(done, "LogKnown")


def test_a_file_as_standard_input(rbdiag: Program, bad: str) -> None:
    with open(bad) as file:
        assert facts(rbdiag("logs", "--json", stdin=file), "LogKnown")


def test_the_logs_that_a_process_has_open(rbdiag: Program, bad: str) -> None:
    code = f"import time; log = open({bad!r}, 'a'); print('open', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            done = rbdiag("logs", "--json", "--pid", str(process.pid))
        finally:
            process.kill()
    assert [window["subject"] for window in facts(done, "LogWindow")] == [bad]
    assert facts(done, "LogKnown")


@pytest.mark.parametrize(
    "arguments",
    [("{place}/none.log",), ("{place}/none*.log",), ("{place}",), ("--pid", "4194303"), ("-s", "no-such.service")],
    ids=["no file", "no match", "a directory", "no process", "no unit"],
)
def test_what_is_not_there_is_unknown_and_said(rbdiag: Program, arguments: tuple[str, ...]) -> None:
    done = rbdiag("logs", *(word.format(place=rbdiag.place) for word in arguments))
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("UNKNOWN  cannot tell")
    assert "could not" not in done.stdout.splitlines()[0], "it says what, and not only that"
    assert "Not seen" in done.stdout


def test_the_first_line_says_which_file_is_not_there(rbdiag: Program, good: str) -> None:
    missing = rbdiag("logs", "n.log", env={"COLUMNS": "200"}).stdout.splitlines()[0]
    assert missing == "UNKNOWN  cannot tell: n.log is not there"
    beside = rbdiag("logs", good, "n.log", env={"COLUMNS": "200"}).stdout.splitlines()[0]
    assert beside == "UNKNOWN  cannot tell: n.log is not there; nothing bad was seen by the rest"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param((), "name a FILE", id="nothing named, and nothing piped in"),
        pytest.param(("",), "the value of FILE is empty", id="an empty name"),
        pytest.param(("x", "--only", "logs.knwon"), "did you mean logs.known", id="a check there is not"),
        pytest.param(("x", "--since", "soon"), "'soon' is no duration", id="no time"),
        pytest.param(("x", "--baseline", "-1"), "-1", id="a baseline below nothing"),
        *(
            pytest.param(("x", option, "nan"), "nan", id=f"no number for {option}")
            for option in ("--baseline", "--top", "--pid", "--deadline", "--since")
        ),
        *(
            pytest.param(("x", option, "inf"), "inf", id=f"no end for {option}")
            for option in ("--baseline", "--top", "--pid", "--deadline", "--since")
        ),
        pytest.param(("x", "-o", "xml"), "xml", id="a format there is not"),
    ],
)
def test_wrong_usage(rbdiag: Program, arguments: tuple[str, ...], says: str) -> None:
    done = rbdiag("logs", *arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert says in done.stderr


# Options.


def test_a_window_that_nobody_asked_for_moves_to_the_last_line(rbdiag: Program, tmp_path: Path) -> None:
    path = tmp_path / "old.log"
    path.write_text("".join(line(200_000 - ago, text) for ago, text in refused()))
    moved = rbdiag("logs", "--json", str(path))
    assert [window["moved"] for window in facts(moved, "LogWindow")] == [True]
    assert facts(moved, "LogKnown")
    asked = rbdiag("logs", "--json", "--since", "1h", str(path))
    assert (asked.returncode, facts(asked, "LogKnown")) == (0, [])
    assert [window["bytes"] for window in facts(asked, "LogWindow")] == [0]


def test_since_is_how_far_back(rbdiag: Program, tmp_path: Path) -> None:
    path = log(tmp_path / "a.log", *refused(ago=3000))
    assert facts(rbdiag("logs", "--json", path), "LogKnown")[0]["count"] == 40
    later = [known for known in facts(rbdiag("logs", "--json", "--since", "10m", path), "LogKnown") if known["count"]]
    assert later == []


def test_the_baseline_is_what_news_is_told_from(rbdiag: Program, tmp_path: Path) -> None:
    path = log(tmp_path / "a.log", *[(n * 30.0 + 1, f"WARN stock of item {n} is low") for n in range(400)])
    names = {shape["template"] for shape in facts(rbdiag("logs", "--json", path), "LogTemplate")}
    assert not any("stock" in str(name) for name in names), names
    none = facts(rbdiag("logs", "--json", "--baseline", "0", path), "LogWindow")
    assert [window["baseline_since"] for window in none] == [None]


def test_only_and_skip(rbdiag: Program, bad: str) -> None:
    done = rbdiag("logs", "--json", "--only", "logs.requests", bad)
    ran = [check["name"] for check in report(done)["checks"] if check["gap"] is None]  # type: ignore[attr-defined,index]
    assert ran == ["logs.find", "logs.requests"]
    assert facts(rbdiag("logs", "--json", "--skip", "logs.known", bad), "LogKnown") == []


def test_top_is_how_many_of_a_kind(rbdiag: Program, tmp_path: Path) -> None:
    words = ["apple", "pear", "plum", "fig", "date", "lime", "kiwi"]
    path = log(tmp_path / "a.log", *[(60.0 + n, f"ERROR the {word} is rotten") for n, word in enumerate(words)])
    few = rbdiag("logs", "--top", "2", path).stdout
    assert (
        sum("is rotten" in row for row in few.partition("NEW OR CHANGED")[2].partition("Because")[0].splitlines()) == 2
    )
    assert "more: --verbose, or --top N" in few


@pytest.mark.parametrize(("level", "status"), [("never", 0), ("warning", None)])
def test_fail_on(rbdiag: Program, bad: str, level: str, status: int | None) -> None:
    assert rbdiag("logs", "--fail-on", level, bad).returncode in ((1, 2) if status is None else (status,))


def test_the_deadline_is_kept(rbdiag: Program, bad: str) -> None:
    with subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE) as never:
        done = rbdiag("logs", "-t", "1", "-", stdin=never.stdout)
        never.kill()
    assert done.returncode == 3
    assert "did not end" in done.stdout


# What was told already.


def test_new_only_tells_each_line_once(rbdiag: Program, bad: str) -> None:
    first = rbdiag("logs", "--new-only", bad)
    assert "refuse" in first.stdout
    second = rbdiag("logs", "--new-only", bad)
    assert (second.returncode, "refuse" in second.stdout) == (0, False)
    with open(bad, "a") as file:
        file.write(line(0, REFUSED.format(n=1)))
    third = rbdiag("logs", "--new-only", "--json", bad)
    assert [known["count"] for known in facts(third, "LogKnown")] == [1]
    assert [window["how"] for window in facts(third, "LogWindow")] == ["new"]


def test_runs_at_the_same_time_tell_each_line_once(rbdiag: Program, bad: str) -> None:
    argv = rbdiag.argv("logs", "--new-only", "--json", bad)
    runs = [subprocess.Popen(argv, env=rbdiag.env(), stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [json.loads(run.communicate(timeout=60)[0])["facts"] for run in runs]
    assert sum(fact["count"] for found in told for fact in found if fact["type"] == "LogKnown") == 40


@pytest.mark.parametrize("lost", ["/dev/full", "a closed pipe"])
def test_what_could_not_be_told_comes_again(rbdiag: Program, bad: str, lost: str) -> None:
    if lost == "/dev/full":
        with open("/dev/full", "w") as full:
            assert rbdiag("logs", "--new-only", bad, stdout=full).returncode != 0
    else:
        rbdiag.shell(f"rbdiag logs --new-only {bad} | sleep 0")
    assert "refuse" in rbdiag("logs", "--new-only", bad).stdout


def test_quiet_and_well_counts_as_told(rbdiag: Program, good: str) -> None:
    assert rbdiag("logs", "--new-only", "-q", good).returncode == 0
    again = facts(rbdiag("logs", "--new-only", "--json", good), "LogWindow")
    assert [(window["how"], window["bytes"]) for window in again] == [("new", 0)]


# Formats.


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("verbose", [False, True], ids=["short", "verbose"])
def test_no_secret_and_no_control_comes_out(rbdiag: Program, tmp_path: Path, form: str, verbose: bool) -> None:
    texts = [
        f"ERROR login failed: password={SECRET} for {HOSTILE}",
        f"ERROR cannot reach mysql://app:{SECRET}@db1/shop: Connection refused",
        f'ERROR {{"authorization": "Bearer {SECRET}", "msg": "{HOSTILE}"}}',
        f'Traceback (most recent call last):\n  File "/srv/a.py", line 1, in f\nValueError: token={SECRET} {HOSTILE}',
        REFUSED.format(n=1).replace("/api/cart HTTP", f"/api/cart?password={SECRET} HTTP"),
    ]
    path = log(tmp_path / "a.log", *[(60.0 + n, text) for n, text in enumerate(texts)])
    done = rbdiag("logs", "-o", form, *(["-v"] if verbose else []), "--save", str(tmp_path / "saved.json"), path)
    assert done.returncode in (1, 2)
    for text in (done.stdout, done.stderr, (tmp_path / "saved.json").read_text()):
        assert SECRET not in text
        assert {c for c in text if not c.isprintable()} <= {"\n"}
    if form in ("table", "markdown"):
        assert "***" in done.stdout


def test_a_monitor_gets_numbers(rbdiag: Program, bad: str) -> None:
    done = rbdiag("logs", "-o", "nagios", bad)
    first = done.stdout.splitlines()[0]
    assert first.startswith(("LOGS WARNING - ", "LOGS CRITICAL - "))
    assert len(first) < 80
    assert "failures=40;;;0" in done.stdout
    assert "exceptions=0;;;0" in done.stdout.splitlines()[-1]


def test_events_come_one_a_line(rbdiag: Program, bad: str) -> None:
    events = [json.loads(row) for row in rbdiag("logs", "-o", "jsonl", bad).stdout.splitlines()]
    assert [event["event"] for event in events] == [*["check"] * len(CHECKS), "report"]


def test_a_saved_report_is_judged_the_same(rbdiag: Program, bad: str, tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    first = report(rbdiag("logs", "--json", "--save", str(saved), bad))
    again = report(rbdiag("diagnose", "--json", str(saved)))
    assert json.dumps(again["findings"]) == json.dumps(first["findings"])
    assert again["findings"]
    assert again["facts"] == first["facts"]


def test_the_json_is_what_the_schema_says(rbdiag: Program, bad: str) -> None:
    validator = Draft202012Validator(schema(), format_checker=FormatChecker())
    validator.validate(report(rbdiag("logs", "--json", bad)))


def test_a_reader_that_has_enough_is_no_error(rbdiag: Program, bad: str) -> None:
    done = rbdiag.shell(f"set -o pipefail; rbdiag logs {bad} | head -1")
    assert done.returncode in (1, 2)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


# Settings.

SETTINGS = """
[targets.shop]
log = ["error.log"]

[targets.till]
service = "till.service"

[patterns.lost-cart]
regex = "cart \\\\d+ is lost"
title = "the shop loses carts"
severity = "critical"
"""


def with_settings(rbdiag: Program, text: str = SETTINGS) -> tuple[str, str]:
    file = rbdiag.place / "my.toml"
    file.write_text(text)
    return "--settings", str(file)


def test_a_target_stands_for_its_logs(rbdiag: Program, bad: str) -> None:
    for arguments in (("shop",), ("-s", "shop")):
        done = rbdiag(*with_settings(rbdiag), "logs", "--json", *arguments)
        assert [window["subject"] for window in facts(done, "LogWindow")] == [bad]


def test_a_target_without_logs_stands_for_its_unit(rbdiag: Program) -> None:
    done = rbdiag(*with_settings(rbdiag), "logs", "--json", "till")
    assert report(done)["target"] == "till.service"


def test_a_pattern_of_ones_own(rbdiag: Program, tmp_path: Path) -> None:
    path = log(tmp_path / "a.log", (60, "INFO cart 7 is lost"), (50, "INFO cart 9 is lost"))
    done = rbdiag(*with_settings(rbdiag), "logs", path)
    assert done.returncode == 2
    assert "the shop loses carts" in done.stdout
    assert "the shop loses carts" not in rbdiag("logs", path).stdout


def test_a_pattern_that_cannot_be_used_ends_the_run(rbdiag: Program, good: str) -> None:
    done = rbdiag(*with_settings(rbdiag, SETTINGS.replace("cart ", "(cart ")), "logs", good)
    assert (done.returncode, done.stdout) == (78, "")
    assert "my.toml:9: patterns.lost-cart.regex: found '(cart " in done.stderr
