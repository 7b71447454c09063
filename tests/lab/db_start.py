"""Databases that do not come up: options, option files, folders, damaged files, a full or read-only disk; and those
that died: of a signal, of the disk, of memory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import suppress

import pymysql

from tests.lab import dbs
from tests.lab.dbs import MIB, aged, configured, db_fault, make, on_volume, prove_gone, prove_start_fails, running
from tests.lab.scenario import Fault, Setup
from tests.lab.workbench import Lab, NotInEffect
from tests.servers.database import Database

CONFIG = ("db.config-invalid", "change.config-invalid")


# Options


@db_fault(*CONFIG)
def db_unknown_option(lab: Lab) -> Setup:
    """An option that this version does not know, in a file that nobody has touched for days."""
    server = make(lab, innodb_flus_log=2)
    prove_start_fails(lab, server, "unknown variable 'innodb-flus-log=2'")
    aged(server.defaults_file)
    yield Fault(shown=("innodb-flus-log",), argv=configured(server, dbs.as_root(server)))


@db_fault(*CONFIG)
def db_unknown_option_just_added(lab: Lab) -> Setup:
    """An option of MySQL's that MariaDB does not have, just written into a file of an included folder."""
    server = make(lab)
    folder = server.folder / "mariadb.conf.d"
    folder.mkdir()
    server.lines.append(f"!includedir {folder}")
    server.start()
    server.stop()
    aged(server.defaults_file)
    (folder / "60-tuning.cnf").write_text("[server]\ninnodb-dedicated-server = ON\n")
    prove_start_fails(lab, server, "innodb-dedicated-server")
    aged(server.defaults_file)
    yield Fault(shown=("innodb-dedicated-server",), argv=configured(server, dbs.by_port(server)))


@db_fault("db.config-invalid")
def db_unknown_option_on_command_line(lab: Lab) -> Setup:
    """An unknown option as an argument of the command line; the file is right."""
    server = make(lab)
    prove_start_fails(lab, server, "innodb-flus-log", arguments=["--innodb-flus-log=2"])
    aged(server.defaults_file)
    yield Fault(shown=("innodb-flus-log",), argv=configured(server, dbs.as_root(server)))


@db_fault(*CONFIG)
def db_bad_value(lab: Lab) -> Setup:
    """A value that the option cannot have."""
    server = make(lab, binlog_format="ROWS")
    prove_start_fails(lab, server, "ROWS")
    yield Fault(shown=("ROWS",), argv=configured(server, dbs.as_root(server)))


@db_fault(*CONFIG, fast=True)
def db_broken_option_file(lab: Lab) -> Setup:
    """The option file has a group without its closing bracket, since a moment ago."""
    server = running(lab)
    server.stop()
    text = server.defaults_file.read_text()
    _fails_with(lab, server, text.replace("[mariadbd]", "[mariadbd"), "Wrong group definition")
    yield Fault((str(server.defaults_file),), argv=configured(server, dbs.as_root(server)))


@db_fault(*CONFIG)
def db_option_without_group(lab: Lab) -> Setup:
    """The option file begins with an option, before any group."""
    server = running(lab)
    server.stop()
    text = server.defaults_file.read_text()
    _fails_with(lab, server, "max_connections = 500\n" + text, "without preceding group")
    yield Fault((str(server.defaults_file),), argv=configured(server, dbs.by_port(server)))


def _fails_with(lab: Lab, server: Database, text: str, says: str) -> None:
    """Prove that a start with this option file fails; what it writes comes before there is a log."""
    server.defaults_file.write_text(text)
    argv = [*server.command(), f"--defaults-file={server.defaults_file}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    if done.returncode == 0 or says not in done.stderr:
        raise NotInEffect(f"the start ended with {done.returncode}: {done.stderr[-300:]}")
    lab.proofs.append(f"the start ends with {done.returncode} and says {says!r}")
    prove_gone(lab, server)


# Folders and their owners


@db_fault("db.datadir-permission", "host.permission-denied", needs=("root",))
def db_data_of_root(lab: Lab) -> Setup:
    """Somebody restored the data as root; the server runs as mysql."""
    server = make(lab, user="mysql")
    server.start()
    server.stop()
    lab.run("chown", "-R", "root:", str(server.datadir))
    server.datadir.chmod(0o700)
    prove_start_fails(lab, server, "Errcode: 13")
    yield Fault(shown=(str(server.datadir),), argv=configured(server, dbs.as_root(server)))


@db_fault("db.datadir-permission", "host.permission-denied", needs=("root",))
def db_one_file_of_root(lab: Lab) -> Setup:
    """One file of InnoDB belongs to root, after somebody ran a tool as root."""
    server = make(lab, user="mysql")
    server.start()
    server.stop()
    ibdata = server.datadir / "ibdata1"
    os.chown(ibdata, 0, 0)
    ibdata.chmod(0o600)
    prove_start_fails(lab, server, "ibdata1")
    yield Fault(argv=configured(server, dbs.by_port(server)))


@db_fault("db.datadir-permission")
def db_no_socket_folder(lab: Lab) -> Setup:
    """The folder for the socket is not there, as after a restart where /run is empty."""
    server = make(lab)
    server.socket = server.folder / "run" / "s.sock"
    prove_start_fails(lab, server, "unix socket", socket=str(server.socket))
    yield Fault(shown=(str(server.socket.parent),), argv=configured(server, dbs.as_root(server)))


# Damaged files


@db_fault("db.innodb-corruption")
def db_redo_log_truncated(lab: Lab) -> Setup:
    """InnoDB's redo log was cut to 100 bytes."""
    server = running(lab)
    server.stop()
    os.truncate(server.datadir / "ib_logfile0", 100)
    prove_start_fails(lab, server, "ib_logfile0")
    yield Fault(argv=configured(server, dbs.as_root(server)))


@db_fault("db.innodb-corruption")
def db_system_tablespace_damaged(lab: Lab) -> Setup:
    """The beginning of ibdata1 was overwritten."""
    server = running(lab)
    server.stop()
    with (server.datadir / "ibdata1").open("r+b") as file:
        file.write(os.urandom(128 * 1024))
    prove_start_fails(lab, server, "InnoDB")
    yield Fault(argv=configured(server, dbs.by_port(server)))


# The disk


@db_fault("host.disk-full", "db.disk-full", needs=("root", "mount"), fast=True)
def db_disk_full_at_start(lab: Lab) -> Setup:
    """The disk of the data is full, and the server does not start."""
    server = make(lab)
    volume = on_volume(lab, server, "size=80m")
    server.start()
    server.stop()
    dbs.fill_up(volume)
    prove_start_fails(lab, server, "Errcode: 28")
    lab.prove("bytes free", lambda: dbs.free_bytes(volume), at_most=MIB)
    yield Fault(shown=(str(volume),), argv=configured(server, dbs.as_root(server)))


@db_fault("host.disk-full", "db.disk-full", "db.crashed", needs=("root", "mount"))
def db_disk_full_crash(lab: Lab) -> Setup:
    """The disk of the data runs full at run time; InnoDB gives up with signal 6."""
    server = make(lab)
    volume = on_volume(lab, server, "size=100m")
    server.start()
    dbs.fill(server)
    server.sql("CREATE TABLE shop.files (id INT AUTO_INCREMENT PRIMARY KEY, body LONGBLOB) ENGINE=InnoDB")
    with suppress(pymysql.err.MySQLError):  # the row that meets the full disk
        for _ in range(100):
            server.sql("INSERT INTO shop.files (body) VALUES (REPEAT('x', 3000000))")
    lab.prove(f"{server.program} runs", lambda: server.alive, at_most=0, within=15)
    dbs.prove_log(lab, server, "got signal 6")
    yield Fault(shown=(str(volume),), argv=configured(server, dbs.by_port(server)))


@db_fault("host.disk-full", "db.disk-full", needs=("root", "mount"))
def db_disk_full_and_waiting(lab: Lab) -> Setup:
    """A MyISAM table lies on a small disk that ran full; its writer waits for somebody to free space."""
    server = running(lab)
    volume = lab.tmpfs(server.folder / "archive", "size=8m")
    lab.defer(lambda: server.alive and server.kill(signal.SIGKILL))  # it would wait for space before it ends
    server.sql(f"CREATE TABLE shop.history (body LONGTEXT) ENGINE=MyISAM DATA DIRECTORY='{volume}'")
    dbs.application(lab, server, ["INSERT INTO history SELECT REPEAT('x', 1000000) FROM seq_1_to_20"])
    dbs.prove_log(lab, server, "Waiting for someone to free space")
    lab.prove("bytes free", lambda: dbs.free_bytes(volume), at_most=MIB)
    yield Fault(argv=dbs.as_root(server))


@db_fault("host.disk-full", "db.disk-full", needs=("root", "mount"))
def db_disk_full_while_it_runs(lab: Lab) -> Setup:
    """Somebody else's file has filled the disk; the server runs, and every new table fails."""
    server = make(lab)
    volume = on_volume(lab, server, "size=90m")
    server.start()
    dbs.fill(server)
    dbs.fill_up(volume, "backup.tar")
    create = "CREATE TABLE shop.fresh (id INT PRIMARY KEY) ENGINE=InnoDB"
    lab.prove("number of the error", lambda: dbs.error_of(server, create), at_least=1, lasting=False)
    lab.prove("bytes free", lambda: dbs.free_bytes(volume), at_most=MIB)
    yield Fault(shown=(str(volume),), argv=dbs.as_client(lab, server))


@db_fault("db.tmpdir-full", "host.disk-full", needs=("root", "mount"))
def db_tmpdir_full(lab: Lab) -> Setup:
    """A sort fills the small tmpdir, fails with an error that speaks of corruption, and frees it again."""
    server, volume = _small_tmpdir(lab, "size=8m")
    lab.prove("number of the error", lambda: _error(server, SORT), at_least=3, at_most=3, lasting=False)
    lab.prove("number of the error", lambda: _error(server, DISTINCT), at_least=126, at_most=126, lasting=False)
    dbs.prove_log(lab, server, "Errcode: 28", "Index is corrupted")
    lab.prove("bytes free again", lambda: dbs.free_bytes(volume), at_least=7 * MIB)
    yield Fault(shown=(str(volume),), argv=dbs.as_root(server))


@db_fault("host.disk-full", "db.tmpdir-full", needs=("root", "mount"))
def db_tmpdir_full_of_others(lab: Lab) -> Setup:
    """Somebody else's file has filled the tmpdir."""
    server, volume = _small_tmpdir(lab, "size=16m")
    dbs.fill_up(volume, "export.csv")
    lab.prove("number of the error", lambda: _error(server, SORT), at_least=1, lasting=False)
    lab.prove("bytes free", lambda: dbs.free_bytes(volume), at_most=MIB)
    yield Fault(shown=(str(volume),), argv=dbs.as_client(lab, server))


@db_fault("host.inode-full", needs=("root", "mount"))
def db_no_inodes(lab: Lab) -> Setup:
    """The tmpdir has bytes, and no inode left for a new file."""
    server, volume = _small_tmpdir(lab, "size=64m", "nr_inodes=60")
    for number in range(100):
        try:
            (volume / f"sess_{number}").touch()
        except OSError:
            break
    lab.prove("inodes free", lambda: os.statvfs(volume).f_favail, at_most=0)
    lab.prove("bytes free", lambda: dbs.free_bytes(volume), at_least=32 * MIB)
    lab.prove("number of the error", lambda: _error(server, SORT), at_least=1, lasting=False)
    yield Fault(shown=(str(volume),), argv=dbs.as_root(server))


@db_fault("host.inode-full", needs=("root", "mount"))
def db_no_inodes_for_data(lab: Lab) -> Setup:
    """The disk of the data has bytes, and no inode left; the server does not start."""
    server = make(lab)
    volume = on_volume(lab, server, "size=200m", "nr_inodes=400")
    server.start()
    server.stop()
    for number in range(400):
        try:
            (volume / f"mail.{number}").touch()
        except OSError:
            break
    prove_start_fails(lab, server, "rrcode: 28")
    yield Fault(shown=(str(volume),), argv=configured(server, dbs.as_root(server)))


# Both need a file: the one for rows to sort, the other for rows to compare, which is a table of its own.
SORT = "SELECT REPEAT(seq, 300) r FROM seq_1_to_20000 ORDER BY r DESC LIMIT 15000, 1"
DISTINCT = "SELECT COUNT(*) FROM (SELECT DISTINCT REPEAT(seq, 300) FROM seq_1_to_20000) x"


def _small_tmpdir(lab: Lab, *options: str):  # type: ignore[no-untyped-def]
    server = make(lab, tmp_memory_table_size="16K", max_heap_table_size="16K")
    volume = lab.tmpfs(server.folder / "tmp", *options)
    lab.defer(server.stop)
    server.start(tmpdir=str(volume))
    dbs.fill(server)
    return server, volume


def _error(server: Database, statement: str) -> float:
    return dbs.error_of(server, statement, user="root", password="", database="shop")


@db_fault("host.fs-readonly", needs=("root", "mount"))
def db_read_only_disk(lab: Lab) -> Setup:
    """The disk of the data is mounted read only; the server does not start."""
    server = make(lab)
    volume = on_volume(lab, server, "size=200m")
    server.start()
    server.stop()
    lab.run("mount", "-o", "remount,ro", str(volume))
    prove_start_fails(lab, server, "rrcode: 30")
    yield Fault(shown=(str(volume),), argv=configured(server, dbs.as_root(server)))


# Memory, signals, descriptors


@db_fault("host.oom-cgroup", "db.oom-killed", needs=("root", "cgroup v1 memory"))
def db_oom_killed(lab: Lab) -> Setup:
    """A MEMORY table outgrows the limit of the server's control group; the kernel kills the server."""
    group = lab.cgroup(1, "memory", memory_limit_in_bytes=170 * MIB)
    server = running(lab, group=group, max_heap_table_size="1G")
    dbs.application(lab, server, [
        "CREATE TABLE cache (id INT, body CHAR(200), more CHAR(200)) ENGINE=MEMORY",
        "INSERT INTO cache SELECT seq, REPEAT('x', 200), REPEAT('y', 200) FROM seq_1_to_2000000",
    ])  # fmt: skip
    prove_gone(lab, server)
    killed = lambda: next(  # noqa: E731 - a measurement
        float(line.split()[1]) for line in (group / "memory.oom_control").read_text().splitlines()
        if line.startswith("oom_kill ")
    )  # fmt: skip
    lab.prove("OOM kills of the group", killed, at_least=1)
    yield Fault(argv=configured(server, dbs.by_port(server)))


@db_fault("db.crashed", fast=True)
def db_crashed(lab: Lab) -> Setup:
    """The server died of signal 11."""
    server = running(lab)
    server.kill(signal.SIGSEGV)
    prove_gone(lab, server)
    dbs.prove_log(lab, server, "got signal 11")
    yield Fault(shown=("11",), argv=configured(server, dbs.as_root(server)))


@db_fault("db.crashed")
def db_crashed_and_restarted(lab: Lab) -> Setup:
    """The server died of signal 6 a moment ago, and somebody started it again: it answers."""
    server = running(lab)
    server.kill(signal.SIGABRT)
    dbs.prove_log(lab, server, "got signal 6")
    server.start()
    dbs.prove_running(lab, server)
    yield Fault(argv=dbs.as_client(lab, server))


@db_fault("db.too-many-open-files", "host.fd-limit", needs=("prlimit",))
def db_no_descriptors_left(lab: Lab) -> Setup:
    """The server has as many files open as it may: it cannot accept another client."""
    server = running(lab)
    held = [dbs.hold(lab, server.connect()) for _ in range(3)]
    limit = len(os.listdir(f"/proc/{server.pid}/fd")) + 1
    lab.run("prlimit", "--pid", str(server.pid), f"--nofile={limit}:{limit}")
    clients = [socket.create_connection(("127.0.0.1", server.port), 2) for _ in range(4)]
    for client in clients:
        lab.defer(client.close)
    dbs.prove_log(lab, server, "Too many open files")
    lab.prove(
        "descriptors that it may still open", lambda: limit - len(os.listdir(f"/proc/{server.pid}/fd")), at_most=0
    )
    lab.prove("sessions that work", lambda: sum(c.open for c in held), at_least=3)
    yield Fault(shown=(str(server.pid),), argv=dbs.by_port(server))


@db_fault("db.too-many-open-files", "host.fd-limit", needs=("prlimit",))
def db_few_descriptors(lab: Lab) -> Setup:
    """The server may open 60 files; clients that join eight tables get error 23, and new clients none at all."""
    server = make(lab, prefix=("prlimit", "--nofile=60:60"), open_files_limit=60, table_open_cache=400,
                  max_connections=40)  # fmt: skip
    server.start()
    dbs.fill(server)
    names = [f"t{number}" for number in range(8)]
    server.sql(*(f"CREATE TABLE shop.{name} (id INT PRIMARY KEY) ENGINE=MyISAM" for name in names))
    join = f"SELECT * FROM {' NATURAL JOIN '.join(names)}"
    dbs.application(lab, server, *[[join]] * 30, forever=0.2, connect={"connect_timeout": 2, "read_timeout": 2})
    dbs.prove_log(lab, server, "Too many open files")
    yield Fault(argv=dbs.by_port(server))
