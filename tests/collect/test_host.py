"""The host's files: recorded forms, the kernel functions that tasks sleep in, unit states."""

from __future__ import annotations

import pytest

from rbdiag.collect import pressure
from rbdiag.collect.host import kernel_event, latest, parse_disks, parse_kernel_record, tasks, wait_of
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


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Out of memory: Killed process 471 (mariadbd) total-vm:8591417kB", ("oom-kill", "mariadbd", 471, False)),
        ("Out of memory: Kill process 12 (mysqld) score 911 or sacrifice child", ("oom-kill", "mysqld", 12, False)),
        ("Memory cgroup out of memory: Killed process 9 (odd) name (x)) total-vm:1kB", ("oom-kill", "odd", 9, True)),
        ("Memory cgroup out of memory: Kill process 9 (mysqld) score 1", ("oom-kill", "mysqld", 9, True)),
        ("INFO: task mariadbd:812 blocked for more than 122 seconds.", ("hung-task", "mariadbd", 812, False)),
        ("watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [mariadbd:81]", ("soft-lockup", "mariadbd", 81, False)),
        ("rcu: INFO: rcu_sched self-detected stall on CPU", ("soft-lockup", "", None, False)),
        ("EXT4-fs (sda1): Remounting filesystem read-only", ("fs-readonly", "", None, False)),
        ("BTRFS info (device sdb): forced readonly", ("fs-readonly", "", None, False)),
        ("XFS (dm-0): Filesystem has been shut down due to log error (0x2).", ("fs-readonly", "", None, False)),
        ("EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm x: y", ("io-error", "", None, False)),
        ("blk_update_request: I/O error, dev nvme0n1, sector 1234 op 0x0:(READ)", ("io-error", "", None, False)),
        ("I/O error, dev sdb, sector 5 op 0x1:(WRITE)", ("io-error", "", None, False)),
        ("Buffer I/O error on dev sda1, logical block 3, async page read", ("io-error", "", None, False)),
        ("critical medium error, dev sdc, sector 8", ("io-error", "", None, False)),
        ("XFS (sdb1): metadata I/O error in \"xfs_imap_to_bp\" at daddr 0x60", ("io-error", "", None, False)),
        ("CPU2: Core temperature above threshold, cpu clock throttled", ("thermal", "", None, False)),
        ("I/O error, dev fd0, sector 0", None),
        ("Buffer I/O error on dev sr0, logical block 0, async page read", None),
        ("EXT4-fs (sda1): mounted filesystem with ordered data mode", None),
        ("mariadbd invoked oom-killer: gfp_mask=0x100cca", None),
    ],
)  # fmt: skip
def test_what_a_line_of_the_kernels_log_says(line: str, told: tuple[str, str, int | None, bool] | None) -> None:
    event = kernel_event(line, 5.0)
    assert (event and (event.kind, event.process, event.pid, event.cgroup)) == told


def test_a_kind_that_repeats_itself_hides_no_other() -> None:
    dying = "I/O error, dev sdb, sector 5"
    lines = ["Out of memory: Killed process 7 (mysqld) x", *[dying] * 40]
    events = [e for n, line in enumerate(lines) if (e := kernel_event(line, n)) is not None]
    assert [e.kind for e in latest(events)] == ["oom-kill", *["io-error"] * 5]
    assert latest(events)[-1].happened_at == 40


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
UnitFileState=enabled
ExecMainCode=0
ExecMainStatus=0
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
ExecMainCode=1
ExecMainStatus=203
UnitFileState=disabled
ActiveEnterTimestampMonotonic=90000000

Id=killed.service
LoadState=loaded
ActiveState=failed
SubState=failed
Result=signal
NRestarts=0
MainPID=0
ExecMainCode=2
ExecMainStatus=9
UnitFileState=masked
InactiveEnterTimestampMonotonic=70000000
ActiveEnterTimestampMonotonic=20000000
"""


def test_what_systemctl_shows() -> None:
    shop, gone, loop, killed = parse_show(SHOW, 100.0)
    assert (shop.subject, shop.active_for, shop.restarts, shop.main_pid) == ("shop.service", 60.0, 4, 77)
    assert (gone.load, gone.active_for) == ("not-found", None)
    assert (loop.active, loop.restarts, loop.active_for) == ("activating", 17, None)
    assert (shop.file_state, shop.exit_status, shop.inactive_for) == ("enabled", None, None)
    assert (loop.exit_status, loop.inactive_for) == (203, None)
    # a signal is no exit status, whatever its number
    assert (killed.exit_status, killed.inactive_for, killed.file_state) == (None, 30.0, "masked")


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
