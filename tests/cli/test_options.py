"""What the options make of a run."""

from __future__ import annotations

import json

import click
import pytest

from rbdiag.cli.cpu import deadline_for, thresholds
from rbdiag.cli.report import _left_of, left_out
from rbdiag.runner import Job
from rbdiag.settings import Settings, Thresholds
from tests.cli.program import WORLD, Program


def job(name: str, *after: str) -> Job:
    return Job(name, "host", lambda deadline, facts: iter(()), after=after)


JOBS = (job("time"), job("processes"), job("confirm", "time", "processes"), job("profile", "confirm"), job("disks"))


@pytest.mark.parametrize(
    ("only", "skip", "run"),
    [
        pytest.param([], [], "time processes confirm profile disks", id="all of them"),
        pytest.param(["disks"], [], "disks", id="one alone"),
        pytest.param(["confirm"], [], "time processes confirm", id="one with those it builds on"),
        pytest.param(["profile"], [], "time processes confirm profile", id="and those they build on"),
        pytest.param(["time", "disks"], [], "time disks", id="two"),
        pytest.param([], ["time"], "processes confirm profile disks", id="all but one"),
        pytest.param(["confirm"], ["time"], "processes confirm", id="one, but not all it builds on"),
        pytest.param(["disks", "gone"], [], "disks", id="one that is not planned this time"),
    ],
)
def test_only_and_skip(only: list[str], skip: list[str], run: str) -> None:
    gaps = left_out(JOBS, only, skip)
    assert [j.name for j in JOBS if j.name not in gaps] == run.split()
    assert {gap.reason for gap in gaps.values()} <= {"skipped"}


@pytest.mark.parametrize(("only", "skip"), [(["disks"], ["disks"]), (["gone"], []), ([], [j.name for j in JOBS])])
def test_no_check_at_all_is_wrong_usage(only: list[str], skip: list[str]) -> None:
    with pytest.raises(click.UsageError, match="leave no check to run"):
        left_out(JOBS, only, skip)


def test_a_check_that_needs_its_option_is_named() -> None:
    with pytest.raises(click.UsageError, match="check to run: gone runs only where its own option asks"):
        left_out(JOBS, ["gone"], [])


@pytest.mark.parametrize(("spent", "left"), [(0.0, 10), (0.25, 9.75), (4.9, 5.1), (5.1, 5)])
def test_what_the_start_took_is_part_of_the_deadline(
    monkeypatch: pytest.MonkeyPatch, spent: float, left: float
) -> None:
    monkeypatch.setattr("time.process_time", lambda: spent)
    assert _left_of(10) == pytest.approx(left)


def test_a_skipped_check_has_its_row_and_its_reason(rbdiag: Program) -> None:
    report = json.loads(rbdiag("cpu", "--json", "--skip", "host.memory", plant=WORLD).stdout)
    rows = {check["name"]: check["gap"] for check in report["checks"]}
    assert rows["cpu.time"] is None
    assert rows["host.memory"]["reason"] == "skipped"


@pytest.mark.parametrize(
    ("asked", "interval", "profile", "seconds"),
    [
        pytest.param(None, 1, None, 10, id="the usual"),
        pytest.param(None, 1, 5, 10, id="a profile that fits"),
        pytest.param(None, 1, 30, 35, id="a profile that needs more"),
        pytest.param(None, 20, None, 24, id="samples that need more"),
        pytest.param(3, 1, None, 3, id="as asked"),
        pytest.param(2, 20, None, 2, id="as asked, and the samples move together"),
        pytest.param(10, 1, 5, 10, id="as asked, and the profile just fits"),
    ],
)
def test_the_deadline(asked: float | None, interval: float, profile: float | None, seconds: float) -> None:
    assert deadline_for(asked, interval, profile) == seconds


def test_a_profile_beyond_the_deadline_is_wrong_usage() -> None:
    with pytest.raises(click.UsageError, match=r"5\.1 s does not fit into a deadline of 10 s.* up to 10\.1 s"):
        deadline_for(10, 1, 5.1)


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        pytest.param((None, None), (0.5, 0.9), id="from the settings"),
        pytest.param((0.7, None), (0.7, 0.9), id="one of them asked for"),
        pytest.param((0.91, 0.92), (0.91, 0.92), id="both asked for"),
    ],
)
def test_thresholds(asked: tuple[float | None, float | None], used: tuple[float, float]) -> None:
    settings = Settings(thresholds=Thresholds(cpu_warning=50, cpu_critical=90))
    assert thresholds(*asked, settings) == pytest.approx(used)


@pytest.mark.parametrize("asked", [(0.9, None), (None, 0.5), (0.8, 0.8)])
def test_thresholds_that_cross_are_wrong_usage(asked: tuple[float | None, float | None]) -> None:
    settings = Settings(thresholds=Thresholds(cpu_warning=50, cpu_critical=90))
    with pytest.raises(click.UsageError, match="must lie below"):
        thresholds(*asked, settings)


SETTINGS = """
[targets.shop]
service = "shop-web.service"

[[contacts]]
name = "Shop team"
contact = "+49 30 1234"
services = ["parent[7]"]

[[contacts]]
name = "Somebody else"
contact = "+49 30 5678"
services = ["till.service"]
"""


@pytest.mark.parametrize(
    ("name", "meant"), [("shop", "shop-web.service"), ("cron.service", "cron.service")], ids=["a target", "a unit"]
)
def test_a_service_may_be_named_by_its_target(rbdiag: Program, name: str, meant: str) -> None:
    file = rbdiag.place / "my.toml"
    file.write_text(SETTINGS)
    done = rbdiag("--settings", str(file), "cpu", "--json", "-s", name, plant=WORLD)
    assert json.loads(done.stdout)["target"] == meant


def test_those_who_care_for_what_is_at_fault_are_named(rbdiag: Program) -> None:
    file = rbdiag.place / "my.toml"
    file.write_text(SETTINGS)
    plant = WORLD + "\nSEVERITY = Severity.WARNING\n"
    done = rbdiag("--settings", str(file), "cpu", "--json", plant=plant)
    assert [contact["name"] for contact in json.loads(done.stdout)["contacts"]] == ["Shop team"]
