"""Room where a database writes: real filesystems that are full, read only or mute, and what is big on them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from rbdiag.collect import space
from rbdiag.collect.space import filesystems, mount_of, parse_mounts, within
from rbdiag.deadline import Deadline
from rbdiag.facts.db import ServerConfig, ServerProcess
from rbdiag.facts.host import FilesystemUse, SpaceUser
from rbdiag.model import CannotLook, Facts
from tests.diagnose.db_world import make
from tests.servers.mariadb import MariaDB

MIB = 1 << 20

MOUNTS = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 22 8:2 / /var/lib/mysql rw,relatime - ext4 /dev/sdb1 ro,errors=remount-ro
31 22 0:40 / /mnt/with\040blank ro,nosuid - tmpfs tmpfs rw,size=64k
32 22 8:3 / /broken rw - ext4 /dev/sdc1 rw,emergency_ro
33 22 8:4 / /gone rw - xfs /dev/sdd1 rw,shutdown
34 22 7:0 / /snap rw - squashfs /dev/loop0 ro
35 22 0:41 / /mnt/over rw - tmpfs first rw
36 22 0:42 / /mnt/over rw master:2 propagate_from:3 - tmpfs second rw
"""


@pytest.mark.parametrize(
    ("path", "point", "read_only", "broken"),
    [
        ("/home/x", "/", False, False), ("/var/lib/mysql", "/var/lib/mysql", True, True),
        ("/var/lib/mysql/shop", "/var/lib/mysql", True, True), ("/var/lib/mysql-files", "/", False, False),
        ("/mnt/with blank/a", "/mnt/with blank", True, False), ("/broken/a", "/broken", True, True),
        ("/gone", "/gone", True, True), ("/snap/x", "/snap", True, False),
    ],
)  # fmt: skip
def test_the_mount_that_a_path_lies_on(path: str, point: str, read_only: bool, broken: bool) -> None:
    mount = mount_of(path, parse_mounts(MOUNTS))
    assert mount is not None
    assert (mount.point, mount.read_only, mount.broken) == (point, read_only, broken)


def test_of_two_mounts_on_one_point_the_later_is_seen() -> None:
    mount = mount_of("/mnt/over/x", parse_mounts(MOUNTS))
    assert mount is not None
    assert mount.source == "second"


def config(**changes: object) -> ServerConfig:
    silent = {"running": False, "tmpdir": "", "error_log": "", "socket": "", "pid_file": ""}
    return make(ServerConfig, **(silent | changes))  # type: ignore[no-any-return]


def look(*facts: object, seconds: float = 10) -> Facts:
    return Facts(filesystems(Facts(facts), Deadline(seconds)))  # type: ignore[arg-type]


@contextmanager
def mounted(point: Path, options: str) -> Iterator[Path]:
    point.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "rbdiag-test", str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a filesystem of this size in memory, gone after the test."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a filesystem")
    with ExitStack() as stack:
        yield lambda options: stack.enter_context(mounted(tmp_path / "volume", options))


def only(facts: Facts, role: str = "data") -> FilesystemUse:
    (found,) = [u for u in facts.of(FilesystemUse) if u.role == role]
    return found


def fill(path: Path, size: int) -> Path:
    path.write_bytes(b"\1" * size)
    return path


def test_a_remote_database_has_no_folders_here() -> None:
    assert list(look(make(ServerProcess, role="other"), config(for_target=False, datadir="/"))) == []


def test_room_is_what_statvfs_says(volume: Callable[[str], Path]) -> None:
    root = volume("size=8m,nr_inodes=100")
    fill(root / "core", 6 * MIB)
    found = only(look(config(datadir=str(root))))
    assert (found.subject, found.path, found.kind, found.device) == (str(root), str(root), "tmpfs", "rbdiag-test")
    assert (found.total, found.available, found.inodes) == (8 * MIB, 2 * MIB, 100)
    assert (found.read_only, found.error) == (False, False)


def test_every_folder_is_told_with_what_it_is_for(volume: Callable[[str], Path], tmp_path: Path) -> None:
    root = volume("size=4m")
    facts = look(config(datadir=str(tmp_path), tmpdir=f"{root}:/tmp", error_log=str(root / "e.log")))
    assert {(u.role, u.path) for u in facts.of(FilesystemUse) if u.subject == str(root)} == {
        ("tmp", str(root)), ("log", str(root)),
    }  # fmt: skip
    assert only(facts).subject != str(root)


def test_a_read_only_mount(volume: Callable[[str], Path]) -> None:
    root = volume("size=4m,ro")
    found = only(look(config(datadir=str(root))))
    assert (found.read_only, found.error) == (True, False)


def test_what_is_big_where_room_is_short(volume: Callable[[str], Path]) -> None:
    root = volume("size=40m")
    data = root / "data"
    data.mkdir()
    fill(root / "backup.tar", 20 * MIB)
    for number in range(1, 5):
        fill(data / f"binlog.00000{number}", 2 * MIB)
    fill(data / "slow.log", 5 * MIB)
    fill(data / "aria_log.00000001", MIB // 2)
    (root / "small").mkdir()
    for number in range(40):
        fill(root / "small" / str(number), 64 << 10)
    with (data / "sparse").open("wb") as sparse:
        sparse.truncate(10**9)
    users = [(u.kind, u.bytes, Path(u.subject).name) for u in look(config(datadir=str(data))).of(SpaceUser)]
    assert users == [
        ("file", 20 * MIB, "backup.tar"),
        ("binary logs", 8 * MIB, "binlog.000004"),
        ("log", 5 * MIB, "slow.log"),
        ("folder", 40 * (64 << 10), "small"),
    ]


def test_nothing_is_looked_for_where_there_is_room(volume: Callable[[str], Path]) -> None:
    root = volume("size=4m")
    fill(root / "half", MIB)
    assert look(config(datadir=str(root))).of(SpaceUser) == ()


def test_a_walk_never_crosses_into_another_filesystem(volume: Callable[[str], Path]) -> None:
    root = volume("size=20m")
    fill(root / "own", 19 * MIB)
    with mounted(root / "below", "size=64m"):
        fill(root / "below" / "theirs", 30 * MIB)
        users = look(config(datadir=str(root))).of(SpaceUser)
    assert [Path(u.subject).name for u in users] == ["own"]


def test_a_walk_ends_in_time_whatever_there_is_to_see(
    volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = volume("size=9m,nr_inodes=4000")
    for number in range(300):
        (root / str(number)).touch()
    fill(root / "zz", 9 * MIB - (64 << 10))
    monkeypatch.setattr(space, "_ENTRIES", 10)
    monkeypatch.setattr(space, "_USUAL", ())
    found = space._Found(MIB)
    space._walk([str(root)], found, time.monotonic() + 5)
    assert sum(found.count.values()) < 11


def test_deleted_files_that_are_open_are_found(volume: Callable[[str], Path]) -> None:
    root = volume("size=20m")
    path = fill(root / "big.log", 19 * MIB)
    with path.open("rb") as held:
        path.unlink()
        (found,) = look(config(datadir=str(root))).of(SpaceUser)
        assert (found.kind, found.bytes, found.pid, found.fd) == ("deleted", 19 * MIB, os.getpid(), held.fileno())
    assert found.subject == str(path)
    assert found.holder.endswith(f"[{os.getpid()}]")


def test_where_inodes_are_short_the_folders_with_many_files_are_named(volume: Callable[[str], Path]) -> None:
    root = volume("size=64m,nr_inodes=120")
    (root / "sessions").mkdir()
    for number in range(116):
        (root / "sessions" / str(number)).touch()
    facts = look(config(datadir=str(root)))
    assert only(facts).inodes_free < 6
    assert facts.of(SpaceUser)[0].subject == str(root / "sessions")
    assert facts.of(SpaceUser)[0].files == 116


def test_a_running_server_is_asked_where_its_files_are(
    own_mariadb: Callable[..., MariaDB], volume: Callable[[str], Path]
) -> None:
    root = volume("size=30m")
    root.chmod(0o777)
    server = own_mariadb(log_bin=str(root / "shop-bin"), tmpdir=str(root)).start()
    process = make(
        ServerProcess, pid=server.pid, datadir=str(server.datadir), tmpdir=str(root), sockets=(str(server.socket),),
        error_log=str(server.error_log),
    )  # fmt: skip
    here = {u.role: u.path for u in look(process).of(FilesystemUse) if u.subject == str(root)}
    assert here == {"binary log": str(root), "tmp": str(root)}
    roles = {u.role for u in look(process).of(FilesystemUse) if u.subject != str(root)}
    assert roles == {"data", "log", "socket"}


# What hangs


def test_what_answers_in_time_is_returned_and_what_fails_is_raised() -> None:
    assert within(5, lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        within(5, lambda: os.stat("/no/such/file"))


def test_a_mute_filesystem_costs_its_own_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(os, "statvfs", lambda path: release.wait(20))
    monkeypatch.setattr(space, "_PATIENCE", 0.2)
    with pytest.raises(CannotLook, match="/dead/share, /tmp does not answer"):
        list(filesystems(Facts([config(datadir="/dead/share")]), Deadline(5)))
    release.set()


def test_what_is_said_before_a_gap_is_not_lost(volume: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root = volume("size=4m")
    seen: list[str] = []

    def times_out(seconds: float, ask: Callable[[], object]) -> object:
        if seen:
            raise TimeoutError
        return ask()

    monkeypatch.setattr(space, "within", times_out)
    check = filesystems(Facts([config(datadir=str(root), tmpdir="/tmp")]), Deadline(5))
    seen.append(next(check).subject)
    with pytest.raises(CannotLook, match="/tmp does not answer"):
        next(check)
    assert seen == [str(root)]
