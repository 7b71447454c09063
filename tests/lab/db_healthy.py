"""Healthy twins of database faults: servers that look like trouble and have none. Nothing may be said about them."""

from __future__ import annotations

import signal
import socket
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pymysql

from tests.lab import db_login, dbs, proc
from tests.lab.cpu import MASTER
from tests.lab.db_inside import _replicated, _state
from tests.lab.db_net import HERE, ZONE, _names, _rules
from tests.lab.dbs import MIB, PASSWORD, application, as_client, as_root, configured, db_twin, far, make, running
from tests.lab.scenario import Fault, Setup
from tests.lab.workbench import Lab
from tests.servers.database import Database, ends


def _works(lab: Lab, server: Database) -> None:
    dbs.prove_code(lab, 0, dbs.shop(server))


@db_twin(fast=True)
def db_idle(lab: Lab) -> Setup:
    """A server that does nothing, asked by the socket."""
    server = running(lab)
    dbs.prove_code(lab, 0, server.connect)
    yield Fault(argv=as_root(server))


@db_twin()
def db_local_by_port(lab: Lab) -> Setup:
    """A server bound to 127.0.0.1, whose application is on the same host."""
    server = running(lab)
    _works(lab, server)
    yield Fault(argv=configured(server, as_client(lab, server, "-D", "shop")))


@db_twin()
def db_monitored(lab: Lab) -> Setup:
    """A server asked with a monitoring account that has PROCESS and the right to ask for replication."""
    server = running(lab)
    server.account("monitor", PASSWORD, grant="PROCESS, REPLICATION CLIENT, SLAVE MONITOR ON *.*")
    dbs.prove_code(lab, 0, dbs.shop(server, user="monitor"))
    yield Fault(argv=as_client(lab, server, user="monitor"))


@db_twin()
def db_monitored_with_process_alone(lab: Lab) -> Setup:
    """A server asked with a monitoring account that has PROCESS and nothing else."""
    server = running(lab)
    server.account("monitor", PASSWORD, grant="PROCESS ON *.*")
    dbs.prove_code(lab, 0, dbs.shop(server, user="monitor"))
    yield Fault(argv=as_client(lab, server, user="monitor"))


@db_twin()
def db_monitored_without_rights(lab: Lab) -> Setup:
    """A server asked with an account that may do nothing but log in."""
    server = running(lab)
    server.account("ping", PASSWORD, grant="USAGE ON *.*")
    dbs.prove_code(lab, 0, dbs.shop(server, user="ping"))
    yield Fault(argv=as_client(lab, server, user="ping"))


@db_twin(needs=("root", "setpriv"))
def db_asked_by_nobody(lab: Lab) -> Setup:
    """A server asked by a user of this system who sees little of it, with an account of the server."""
    server = running(lab)
    server.account("monitor", PASSWORD, grant="PROCESS, REPLICATION CLIENT, SLAVE MONITOR ON *.*")
    argv = as_client(lab, server, user="monitor")
    Path(argv[2]).chmod(0o644)
    lab.folder.chmod(0o755)
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    dbs.prove_code(lab, 0, dbs.shop(server, user="monitor"))
    yield Fault(argv=argv, before=nobody)


OLD = """{day} 10:00:01 0 [ERROR] mariadbd: Can't create/write to file '/tmp/x' (Errcode: 28 "No space left on device")
{day} 10:00:02 0 [ERROR] Error in accept: Too many open files
{day} 10:00:03 12 [Warning] Access denied for user 'shop'@'10.0.0.7' (using password: YES)
{day} 10:00:04 0 [ERROR] InnoDB: Database page corruption on disk or a failed read of file './shop/old.ibd' page [page id: space=6, page number=3].
{short} 10:00:05 [ERROR] mysqld got signal 11 ;
{day} 10:01:05 0 [ERROR] Can't start server: Bind on TCP/IP port. Got error: 98: Address already in use
{day} 10:02:05 0 [Note] /usr/sbin/mariadbd: ready for connections.
"""  # noqa: E501 - as the server writes them


@db_twin(fast=True)
def db_old_errors(lab: Lab) -> Setup:
    """A log full of errors of two days ago; an application's log with failures of yesterday."""
    server = make(lab)
    then = time.localtime(time.time() - 2 * 86400)
    server.error_log.write_text(OLD.format(day=time.strftime("%Y-%m-%d", then), short=time.strftime("%y%m%d", then)))
    server.start()
    dbs.fill(server)
    yesterday = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - 86400))
    lines = f"{yesterday},123 ERROR shop.orders: (1040, 'Too many connections')\n"
    lines += f"{yesterday},456 ERROR shop.orders: (2006, 'MySQL server has gone away')\n"
    log = lab.write("shop.log", lines)
    _works(lab, server)
    yield Fault(argv=configured(server, as_client(lab, server, "--log", str(log))))


@db_twin()
def db_half_full(lab: Lab) -> Setup:
    """80 sleeping connections of 151: a pool."""
    server = running(lab, max_connections=151)
    application(lab, server, *[["SELECT 1"]] * 80)
    lab.prove("sleeping sessions", lambda: dbs.sessions(server, command="Sleep"), at_least=80)
    yield Fault(argv=as_root(server))


@db_twin()
def db_under_load(lab: Lab) -> Setup:
    """An application of eight sessions that reads and writes without a pause."""
    server = running(lab)
    work = [
        "SELECT * FROM orders WHERE id = 3",
        "UPDATE orders SET n = n + 1 WHERE id = 4",
        "SELECT COUNT(*) FROM orders",
    ]
    application(lab, server, *[work] * 8, forever=0.002)
    lab.prove("queries a second", lambda: proc.rate(lambda: server.status("Questions"), 1), at_least=200)
    yield Fault(argv=as_client(lab, server))


@db_twin(needs=("sysbench",), allowed=("db.deadlock",))
def db_under_sysbench(lab: Lab) -> Setup:
    """sysbench's reads and writes in four threads; one in a thousand of its transactions deadlocks and is repeated."""
    server = running(lab)
    where = (f"--mysql-socket={server.socket}", "--mysql-user=root", "--mysql-db=shop", "--table-size=10000")
    lab.run("sysbench", "oltp_read_write", *where, "prepare")
    lab.start("sysbench", "oltp_read_write", *where, "--threads=4", "--time=60", "run")
    lab.prove("queries a second", lambda: proc.rate(lambda: server.status("Questions"), 1), at_least=200)
    yield Fault(argv=as_root(server))


@db_twin()
def db_replica(lab: Lab) -> Setup:
    """A read-only replica that keeps up with a primary that writes."""
    primary, replica = _replicated(lab)
    application(lab, primary, ["UPDATE orders SET n = n + 1"], forever=0.05)
    lab.prove("seconds behind", lambda: float(_state(replica, "Seconds_Behind_Master")), at_most=2)
    lab.prove("it is read only", lambda: replica.variable("read_only") == "ON", at_least=1)
    yield Fault(argv=as_root(replica))


@db_twin()
def db_primary_with_background(lab: Lab) -> Setup:
    """A primary with a replica's dump thread and the event scheduler, both in one state for ever."""
    primary, _ = _replicated(lab)
    primary.sql("SET GLOBAL event_scheduler = ON")
    lab.prove("dump threads", lambda: dbs.sessions(primary, command="Binlog Dump"), at_least=1)
    lab.prove("schedulers", lambda: dbs.sessions(primary, user="event_scheduler"), at_least=1)
    time.sleep(3)
    yield Fault(argv=as_root(primary))


@db_twin()
def db_few_idle_timeouts(lab: Lab) -> Setup:
    """Three members of a pool were idle for too long and reconnected; the log tells of the aborted connections."""
    server = running(lab, log_warnings=2)
    for _ in range(3):
        connection = dbs.hold(lab, dbs.shop(server)())
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION wait_timeout = 1")
    lab.prove("aborted connections in the log", lambda: server.new_log().count("Got timeout reading"), at_least=3)
    application(lab, server, *[["SELECT 1"]] * 3)
    yield Fault(argv=configured(server, as_root(server)))


@db_twin()
def db_recovered_before_the_window(lab: Lab) -> Setup:
    """Killed and recovered, before the time that is asked about."""
    server = running(lab)
    server.kill()
    server.start()
    lab.prove("lines about recovery", lambda: server.new_log().count("crash recovery"), at_least=1)
    time.sleep(5)
    _works(lab, server)
    yield Fault(argv=(*configured(server, as_client(lab, server)), "--since", "4s"))


@db_twin()
def db_restarted(lab: Lab) -> Setup:
    """Restarted in an orderly way a moment ago."""
    server = running(lab)
    server.restart()
    _works(lab, server)
    yield Fault(argv=configured(server, as_client(lab, server)))


@db_twin()
def db_restarted_an_hour_ago(lab: Lab) -> Setup:
    """Its log holds a shutdown and a start of 50 minutes ago, beside those of today."""
    server = make(lab)
    at = partial(lambda ago: time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - ago)))
    lines = [f"{at(3000)} 0 [Note] /usr/sbin/mariadbd (initiated by: unknown): Normal shutdown",
             f"{at(2998)} 0 [Note] /usr/sbin/mariadbd: Shutdown complete",
             f"{at(2990)} 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision 5843 as process 777",
             f"{at(2989)} 0 [Note] /usr/sbin/mariadbd: ready for connections."]  # fmt: skip
    server.error_log.write_text("\n".join([*lines, ""]))
    server.start()
    dbs.fill(server)
    _works(lab, server)
    yield Fault(argv=configured(server, as_client(lab, server)))


@db_twin(allowed=("db.deadlock",))
def db_one_deadlock(lab: Lab) -> Setup:
    """There was one deadlock a minute ago, and none any more: its application tried again."""
    server = running(lab)
    one, two = (dbs.hold(lab, dbs.shop(server, database="shop")()) for _ in range(2))
    for connection, number in ((one, 1), (two, 2)):
        connection.cursor().execute("BEGIN")
        connection.cursor().execute(f"UPDATE orders SET n = 0 WHERE id = {number}")
    application(lab, server, ["BEGIN", "UPDATE orders SET n = 0 WHERE id = 3", "UPDATE orders SET n = 0 WHERE id = 1",
                              "ROLLBACK"])  # fmt: skip
    time.sleep(0.3)
    with suppress(pymysql.err.OperationalError):  # the server chooses which of the two it ends
        one.cursor().execute("UPDATE orders SET n = 0 WHERE id = 3")
    for connection in (one, two):
        connection.rollback()
    lab.prove("deadlocks", lambda: server.status("Innodb_deadlocks"), at_least=1, at_most=1)
    time.sleep(61)  # one of this minute may well be the trouble that is asked about
    yield Fault(argv=as_root(server))


@db_twin(needs=("root", "mount"))
def db_full_elsewhere(lab: Lab) -> Setup:
    """A full filesystem and a read-only one, neither of them the server's."""
    server = running(lab)
    full = lab.tmpfs(lab.folder / "cdrom", "size=4m")
    dbs.fill_up(full, "image")
    other = lab.tmpfs(lab.folder / "media", "size=4m")
    lab.run("mount", "-o", "remount,ro", str(other))
    lab.prove("bytes free", lambda: dbs.free_bytes(full), at_most=MIB)
    yield Fault(argv=configured(server, as_root(server)))


@db_twin(needs=("root", "mount", "mkfs.ext4"))
def db_large_disk_mostly_used(lab: Lab) -> Setup:
    """92 % of the disk are used, and what is left is a lot: 16 GB."""
    image = lab.folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(200_000 * MIB)
    lab.run("mkfs.ext4", "-q", "-m", "0", "-N", "5000", "-O", "^has_journal", str(image))
    server = make(lab)
    volume = server.folder / "volume"
    volume.mkdir()
    lab.run("mount", "-o", "loop", str(image), str(volume))
    lab.defer(lab.run, "umount", "-l", str(volume))
    lab.defer(server.stop)
    server.datadir = volume / "data"
    server.start(datadir=str(server.datadir))
    dbs.fill(server)
    state = dbs.free_bytes(volume)
    lab.run("fallocate", "-l", str(int(state - 0.08 * 200_000 * MIB)), str(volume / "archive"))
    lab.prove("GiB free", lambda: dbs.free_bytes(volume) / 1024 / MIB, at_least=14, at_most=17)
    yield Fault(argv=configured(server, as_client(lab, server)))


@db_twin()
def db_beside_odd_processes(lab: Lab) -> Setup:
    """Three zombies, a stopped program of somebody else, and a thousand connections in TIME-WAIT."""
    server = running(lab)
    spawner = lab.ready(lab.script("spawnd", MASTER.format(workers=3) + "os._exit(0)\n"))
    lab.start("sleep", "1000").send_signal(signal.SIGSTOP)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(1000):
            client = socket.create_connection(listener.getsockname())
            accepted = listener.accept()[0]
            client.close()
            accepted.close()
    lab.prove("zombies", lambda: proc.states(proc.children(spawner.pid)).count("Z"), at_least=3)
    lab.prove("connections in TIME-WAIT", lambda: Path("/proc/net/tcp").read_text().count(" 06 0"), at_least=900)
    yield Fault(argv=as_client(lab, server))


@db_twin(needs=("root", "ip", "nft"))
def db_other_ports_dropped(lab: Lab) -> Setup:
    """Firewalls on both hosts that drop other ports and other sources, and rejects that nobody meets."""
    server, client, host = far(lab)
    _rules(lab, client, "input tcp sport 5432 counter drop", "output tcp dport { 25, 3307 } counter reject")
    _rules(lab, host, "input ip saddr 10.66.0.0/16 tcp dport 3306 counter drop", "input tcp dport 22 counter drop")
    dbs.prove_far(lab, client, 0)
    yield Fault(argv=as_client(lab, server, host=HERE), before=dbs.inside(client))


@db_twin(needs=("root", "ip", "unshare"))
def db_from_afar(lab: Lab) -> Setup:
    """Asked from another host by the application's account."""
    server, client, _ = far(lab)
    dbs.prove_far(lab, client, 0)
    yield Fault(argv=as_client(lab, server, "-D", "shop", host=HERE), before=dbs.afar(client))


@db_twin(needs=("root", "ip", "unshare", "dnsmasq"))
def db_name_without_v6(lab: Lab) -> Setup:
    """A name with an IPv4 address and no IPv6 one, behind a search list whose first domain does not have it."""
    server, client, _ = far(lab)
    _names(lab, client, server=f"--address=/{ZONE}/{HERE} --local=/shop.test/ --local=/corp.test/",
           resolv="search corp.test shop.test\nnameserver 10.90.77.2\n")  # fmt: skip
    dbs.prove_far(lab, client, 0, host="db")
    yield Fault(argv=as_client(lab, server, host="db"), before=dbs.afar(client))


@db_twin(needs=("root", "ip", "unshare", "dnsmasq"))
def db_name_in_hosts_too(lab: Lab) -> Setup:
    """/etc/hosts and the name server say the same."""
    server, client, _ = far(lab)
    _names(lab, client, server=f"--address=/{ZONE}/{HERE} --local=/shop.test/", hosts=f"{HERE} {ZONE} db\n")
    dbs.prove_far(lab, client, 0, host=ZONE)
    yield Fault(argv=as_client(lab, server, host=ZONE), before=dbs.afar(client))


@db_twin()
def db_options_touched(lab: Lab) -> Setup:
    """The option file was written anew with the same values, other names and comments; SET GLOBAL agrees with it."""
    server = running(lab, max_connections=80, sql_mode="STRICT_TRANS_TABLES,NO_ZERO_DATE")
    text = server.defaults_file.read_text()
    text = text.replace("max-connections=80", "# as agreed\nmax_connections = 80")
    text = text.replace("STRICT_TRANS_TABLES,NO_ZERO_DATE", "no_zero_date,strict_trans_tables")
    server.defaults_file.write_text(text.replace("innodb-buffer-pool-size=16M", "innodb_buffer_pool_size=16384K"))
    server.sql("SET GLOBAL max_connections = 80")
    _works(lab, server)
    yield Fault(argv=configured(server, as_root(server)))


@db_twin()
def db_on_all_addresses(lab: Lab) -> Setup:
    """Listeners on every address, of both families."""
    server = running(lab, bind=None)
    _works(lab, server)
    yield Fault(argv=configured(server, as_client(lab, server)))


@db_twin()
def db_socket_only(lab: Lab) -> Setup:
    """A server without TCP, whose clients use the socket."""
    server = running(lab, skip_networking=True)
    dbs.prove_code(lab, 0, server.connect)
    yield Fault(argv=configured(server, as_client(lab, server, host=None, port=None, socket=str(server.socket))))


@db_twin(needs=("root",))
def db_as_debian_sets_it_up(lab: Lab) -> Setup:
    """Debian's own settings, as user mysql, with an include folder, certificates by none."""
    server = make(lab, user="mysql", skip_name_resolve=None, basedir="/usr", pid_file=None, expire_logs_days=10,
                  character_set_server="utf8mb4", collation_server="utf8mb4_general_ci",
                  lc_messages_dir="/usr/share/mysql", lc_messages="en_US")  # fmt: skip
    folder = server.folder / "mariadb.conf.d"
    folder.mkdir()
    (folder / "60-galera.cnf").write_text("[galera]\n#wsrep_on = ON\n\n[mariadb-10.11]\n\n[embedded]\n")
    server.lines.append(f"!includedir {folder}/")
    server.start()
    dbs.fill(server)
    _works(lab, server)
    yield Fault(argv=configured(server, as_client(lab, server)))


@db_twin()
def db_among_others(lab: Lab) -> Setup:
    """One of three servers on this host; another is down, the third is full."""
    server, down, full = running(lab), running(lab), running(lab, max_connections=10)
    down.kill()
    application(lab, full, *[["SELECT 1"]] * 10)
    dbs.prove_code(lab, 1040, dbs.shop(full))
    _works(lab, server)
    yield Fault(argv=configured(server, as_client(lab, server)))


@db_twin(needs=("root", "cgroup v1 memory"))
def db_after_an_oom_kill_elsewhere(lab: Lab) -> Setup:
    """The kernel killed a program of somebody else at the limit of its control group; the server is well."""
    server = running(lab)
    group = lab.cgroup(1, "memory", memory_limit_in_bytes=40 * MIB)
    eater = lab.start(sys.executable, "-c", "x = b'x' * 300_000_000", group=group)
    lab.prove("the eater lives", lambda: eater.poll() is None, at_most=0)
    _works(lab, server)
    yield Fault(argv=configured(server, as_client(lab, server)))


@db_twin(needs=("myisamchk",))
def db_tables_checked(lab: Lab) -> Setup:
    """All tables checked with CHECK TABLE, and all of them sound."""
    server = running(lab)
    server.sql("CREATE TABLE shop.history (id INT PRIMARY KEY) ENGINE=MyISAM", "CREATE VIEW shop.v AS SELECT 1")
    yield Fault(argv=(*as_root(server), "--check-tables"))


# Look-alikes of single faults


@db_twin()
def db_busy_on_one_row(lab: Lab) -> Setup:
    """Six clients count in the same row: they wait for each other, for some milliseconds each time."""
    server = running(lab)
    application(lab, server, *[["UPDATE orders SET n = n + 1 WHERE id = 1"]] * 6, forever=0.005)
    begin = server.status("Innodb_row_lock_waits")
    lab.prove("waits for the row", lambda: server.status("Innodb_row_lock_waits") - begin, at_least=5)
    yield Fault(argv=as_root(server))


@db_twin()
def db_refused_before_its_restart(lab: Lab) -> Setup:
    """It was full and refused a password a moment ago, was given more connections, and started anew."""
    server = running(lab, max_connections=10, log_warnings=3)
    dbs.prove_code(lab, 1045, dbs.shop(server, password="not-it"), lasting=False)
    held = [dbs.shop(server)() for _ in range(10)]
    dbs.prove_code(lab, 1040, dbs.shop(server), lasting=False)
    for connection in held:
        ends(connection)
    server.restart(max_connections=151)
    lab.prove("refusals in its log", lambda: server.log().count("Access denied"), at_least=1)
    dbs.prove_code(lab, 0, dbs.shop(server))
    yield Fault(argv=configured(server, as_root(server)))


@db_twin()
def db_long_alter(lab: Lab) -> Setup:
    """An ALTER TABLE has copied a table that nobody uses for twelve seconds; nobody waits for it."""
    server = running(lab)
    server.sql("CREATE TABLE shop.history (id INT PRIMARY KEY) ENGINE=InnoDB", "USE shop",
               "INSERT INTO history SELECT seq FROM seq_1_to_3000")  # fmt: skip
    alter = "ALTER TABLE history ADD seal CHAR(128) DEFAULT (SHA2(REPEAT(id, 2000000), 512)), ALGORITHM=COPY"
    application(lab, server, [alter], name="migrate")
    lab.prove("sessions that alter", lambda: dbs.sessions(server, info="ALTER TABLE"), at_least=1)
    lab.prove("sessions that wait for it", lambda: dbs.sessions(server, state="metadata lock"), at_most=0)
    time.sleep(12)
    yield Fault(argv=as_root(server))


@db_twin()
def db_files_for_others(lab: Lab) -> Setup:
    """A folder of option files with groups of other programs and versions, options it does not know, and a note."""
    server = make(lab, bind=None)
    folder = server.folder / "mariadb.conf.d"
    folder.mkdir()
    for name, text in {
        "50-client.cnf": "[client]\n#ssl-verify-server-cert = off\n\n[client-mariadb]\n",
        "50-mysqld_safe.cnf": "[mysqld_safe]\nnice = 0\nskip_log_error\n",
        "50-server.cnf": "# read by all\n[server]\n\n[mysqld]\nbind-address            = 127.0.0.1\n"
        "loose-innodb-dedicated-server = ON\n\n[mariadb-99.1]\nno_such_option = 1\n\n[mysqldump]\nquick\nquote-names\n",
        "notes.txt": "this is no option file\n",
    }.items():
        (folder / name).write_text(text)
    server.lines += ["", f"!includedir {folder}/"]
    server.start()
    dbs.fill(server)
    lab.prove("it took the included address", lambda: server.variable("bind_address") == "127.0.0.1", at_least=1)
    yield Fault(argv=configured(server, as_client(lab, server)))


@db_twin()
def db_option_set_in_both(lab: Lab) -> Setup:
    """Values were set while the server ran, and then written into the option file in other units."""
    server = running(lab, max_allowed_packet="16M")
    server.sql("SET GLOBAL max_allowed_packet = 33554432", "SET GLOBAL wait_timeout = 600")
    time.sleep(1.2)
    server.options |= {"max-allowed-packet": "32M", "wait_timeout": 600}
    server.write_defaults()
    lab.prove("bytes that run", lambda: int(server.variable("max_allowed_packet")), at_least=33554432)
    lab.prove("seconds that the file is younger than the start", lambda: _younger(server), at_least=1)
    yield Fault(argv=configured(server, as_root(server)))


def _younger(server: Database) -> float:
    return server.defaults_file.stat().st_mtime - Path(f"/proc/{server.pid}").stat().st_mtime


@db_twin()
def db_certificate_verified(lab: Lab) -> Setup:
    """TLS is demanded, and the certificate is verified; it is to be renewed in 24 days."""
    ca = db_login.Certificates(lab)
    server = running(lab, **ca.issue("127.0.0.1", begin=-66, days=24), require_secure_transport=True)
    lab.prove("number of the verification's error", lambda: db_login._verify(server, ca.file), at_least=0, at_most=0)
    yield Fault(argv=as_client(lab, server, "--ssl-ca", ca.file))
