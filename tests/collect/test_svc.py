"""What `systemctl show` says of a unit, in its own format."""

from __future__ import annotations

import pytest

from rbdiag.collect.svc import parse_show

NEVER_RAN = """Id=shop.service
LoadState=loaded
ActiveState=failed
SubState=failed
Result=exit-code
NRestarts=5
MainPID=0
Type=simple
ActiveEnterTimestampMonotonic=0
UnitFileState=enabled
ExecMainStatus=203
ExecMainCode=1
InactiveEnterTimestampMonotonic=990000000
"""


def test_a_program_that_cannot_be_run() -> None:
    (unit,) = parse_show(NEVER_RAN, 1000.0)
    assert (unit.exit_status, unit.file_state, unit.result, unit.restarts) == (203, "enabled", "exit-code", 5)
    assert unit.inactive_for == pytest.approx(10.0)
    assert unit.active_for is None


def test_a_program_that_was_killed_has_no_exit_status() -> None:
    (unit,) = parse_show(NEVER_RAN.replace("ExecMainCode=1", "ExecMainCode=2").replace("=203", "=9"), 1000.0)
    assert unit.exit_status is None


def test_a_unit_that_runs_is_not_inactive() -> None:
    text = NEVER_RAN.replace("ActiveState=failed", "ActiveState=active").replace(
        "ActiveEnterTimestampMonotonic=0", "ActiveEnterTimestampMonotonic=400000000"
    )
    (unit,) = parse_show(text, 1000.0)
    assert unit.active_for == pytest.approx(600.0)
    assert unit.inactive_for is None


def test_a_masked_unit_that_never_ran() -> None:
    text = "Id=mariadb.service\nLoadState=masked\nActiveState=inactive\nSubState=dead\n"
    text += "UnitFileState=masked\nInactiveEnterTimestampMonotonic=0\n"
    (unit,) = parse_show(text, 1000.0)
    assert (unit.load, unit.file_state, unit.inactive_for, unit.exit_status) == ("masked", "masked", None, None)
