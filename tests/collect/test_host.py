"""The host's files: recorded forms, the kernel functions that tasks sleep in, unit states."""

from __future__ import annotations

import pytest

from rbdiag.collect import pressure
from rbdiag.collect.host import parse_disks, parse_kernel_record, tasks, wait_of
from rbdiag.collect.requests import parse_access, rate
from rbdiag.collect.svc import parse_show, units
from rbdiag.deadline import Deadline
from rbdiag.facts.host import TaskStates
from rbdiag.model import CannotLook

DISKS = b""" 254       0 vda 100 5 2000 50 200 10 8000 400 2 450 460 0 0 0 0 1 1
 254       1 vda1 99 5 1990 50 200 10 8000 400 0 450 460 0 0 0 0 1 1
   7       0 loop0 10 0 20 1 0 0 0 0 0 1 1 0 0 0 0 0 0
 259       0 nvme0n1 1 0 8 1 1 0 8 1 0 2 2
 259       1 nvme0n1p2 1 0 8 1 1 0 8 1 0 2 2
   8       0 sda 1 2 3 4 5 6 7 8 9 10 11
 253       0 dm-0 1 2 3 4 5 6 7 8 9 10 11
"""


def test_whole_disks_only() -> None:
    assert list(parse_disks(DISKS)) == ["vda", "nvme0n1", "sda", "dm-0"]
    assert parse_disks(DISKS)["vda"] == (100, 5, 2000, 50, 200, 10, 8000, 400, 2, 450, 460)


@pytest.mark.parametrize(
    ("wchan", "wait"),
    [
        ("nfs_wait_bit_killable", "network-fs"), ("rpc_wait_bit_killable", "network-fs"),
        ("cifs_readdir", "network-fs"),
        ("request_wait_answer", "fuse"), ("__refrigerator", "freezer"), ("do_freezer_trap", "freezer"),
        ("kernel_clone", "vfork"), ("rwsem_down_write_slowpath", "lock"), ("__iomap_dio_rw", "disk"),
        ("io_schedule", "disk"),
        ("folio_wait_bit_common", "disk"), ("jbd2_log_wait_commit", "disk"), ("", "other"),
        ("poll_schedule_timeout", "other"),
    ],
)  # fmt: skip
def test_what_a_blocked_task_waits_for(wchan: str, wait: str) -> None:
    assert wait_of(wchan) == wait


@pytest.mark.parametrize(
    ("record", "parsed"),
    [
        (b"6,339,5140900,-;NET: Registered protocol family 10\n", (105.1409, "NET: Registered protocol family 10")),
        (b"4,1,1000000,c,caller=T1;a;b\n SUBSYSTEM=x\n", (101.0, "a;b")),
        (b"garbage", None),
        (b"6,339,notatime,-;x", None),
    ],
)
def test_a_record_of_the_kernels_log(record: bytes, parsed: tuple[float, str] | None) -> None:
    assert parse_kernel_record(record, 100.0) == parsed


def test_pressure_lines() -> None:
    lines = b"some avg10=1.50 avg60=0.40 avg300=0.10 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"
    assert pressure.parse(lines)["some"] == {"avg10": 1.5, "avg60": 0.4, "avg300": 0.1, "total": 123456}
    assert pressure.parse(lines)["full"]["total"] == 99


SHOW = """Id=shop.service
LoadState=loaded
ActiveState=active
SubState=running
Result=success
NRestarts=4
MainPID=77
ActiveEnterTimestampMonotonic=40000000

Id=gone.service
LoadState=not-found
ActiveState=inactive
SubState=dead
Result=success
NRestarts=0
MainPID=0
ActiveEnterTimestampMonotonic=0

Id=loop.service
LoadState=loaded
ActiveState=activating
SubState=auto-restart
Result=exit-code
NRestarts=17
MainPID=0
ActiveEnterTimestampMonotonic=90000000
"""


def test_what_systemctl_shows() -> None:
    shop, gone, loop = parse_show(SHOW, 100.0)
    assert (shop.subject, shop.active_for, shop.restarts, shop.main_pid) == ("shop.service", 60.0, 4, 77)
    assert (gone.load, gone.active_for) == ("not-found", None)
    assert (loop.active, loop.restarts, loop.active_for) == ("activating", 17, None)


def test_no_busy_unit_asks_nobody() -> None:
    assert list(units([], Deadline(1))) == []


def test_without_systemd_the_units_are_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.isdir", lambda path: False)
    with pytest.raises(CannotLook, match="systemd does not run here"):
        list(units(["shop.service"], Deadline(1)))


def test_the_states_of_real_processes_add_up() -> None:
    states = next(f for f in tasks(0.3, Deadline(5)) if isinstance(f, TaskStates))
    assert states.total > 1
    assert states.running >= 1


LINE = '{client} - - [24/Nov/2026:10:00:{second:02d} +0100] "GET / HTTP/1.1" 200 12 "-" "curl"'
T0 = 1_795_510_800.0  # 2026-11-24 09:00:00 UTC


def test_requests_of_an_access_log_with_their_zone() -> None:
    text = "\n".join([LINE.format(client="192.0.2.1", second=5), "not a request", LINE.format(client="::1", second=6)])
    assert parse_access(text) == [(T0 + 5, "192.0.2.1"), (T0 + 6, "::1")]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [(2, 40, (40.0, 2.0)), (2, 2, (2.0, 2.0)), (0, 40, None), (2, 0, None)],
    ids=["a surge", "as before", "no history", "a log that has gone quiet"],
)
def test_the_rate_now_against_before(old: int, new: int, told: tuple[float, float] | None) -> None:
    now = 1000.0
    rows = [(now - 110 + i / old, "a") for i in range(100 * old)] if old else []
    rows += [(now - 10 + i / new, "b") for i in range(10 * new)] if new else []
    fact = rate("web[1]", "/var/log/access.log", rows, now)
    assert (fact and (round(fact.now, 1), round(fact.before, 1))) == told
    if told == (40.0, 2.0):
        assert fact is not None
        assert (fact.top_client, fact.top_client_part) == ("b", 1.0)
