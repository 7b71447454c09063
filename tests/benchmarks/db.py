"""`rbdiag db` on a healthy MariaDB, against a script that only logs in; and what a run costs the server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tests.benchmarks.measure import Result, Side, compare, in_turn
from tests.benchmarks.programs import CannotMeasure, console_script, environment
from tests.servers.mariadb import MariaDB, missing

# What everybody would write: PyMySQL as it is, one look at the counters.
SCRIPT = """
import sys
import pymysql
connection = pymysql.connect(unix_socket=sys.argv[1], user="root")
with connection.cursor() as cursor:
    cursor.execute("SHOW GLOBAL STATUS")
    print(len(cursor.fetchall()), "counters")
"""
# Half of a run is the import of Click, PyMySQL and ssl, of which the script needs the second alone. Two dozen checks of
# processes, files, logs, locks and counters are to cost less than a second such script on top of that.
CPU_RATIO = 2.5
# The issue's own promise to the server.
CONNECTIONS, QUERIES = 1, 30


def measure(place: Path) -> Iterator[Result]:
    """CPU time of the whole process, and the server's own count of connections and statements."""
    if reason := missing():
        raise CannotMeasure(reason)
    env, ours = environment(place), console_script(place, "rbdiag", "rbdiag.__main__")
    with MariaDB() as server:
        server.start()
        socket = str(server.socket)
        run = Side("rbdiag db", [ours, "db", socket, "-o", "nagios"], lambda out: out.startswith(("DB OK", "OK")), env)
        script = Side("PyMySQL", [sys.executable, "-c", SCRIPT, socket], lambda out: "counters" in out, env)
        yield compare("db by socket / PyMySQL and SHOW GLOBAL STATUS", "cpu", in_turn(run, script), CPU_RATIO)
        if client := shutil.which("mariadb"):
            argv = [client, "--no-defaults", f"--socket={socket}", "-uroot", "-e", "SHOW GLOBAL STATUS"]
            peer = Side("mariadb", argv, lambda out: "Threads_connected" in out, env)
            yield compare("db by socket / the mariadb client", "cpu", in_turn(run, peer, 5), None)
        looks = [_counted(server), _counted(server)]
        done = subprocess.run([ours, "db", socket, "--json"], env=env, capture_output=True, text=True)
        looks.append(_counted(server))
        told = json.loads(done.stdout)["cost"]
        for name, most, word in (("Connections", CONNECTIONS, "connections"), ("Questions", QUERIES, "queries")):
            # what a look of our own costs is the difference between two with nothing in between
            own, both = (after[name] - before[name] for before, after in pairwise(looks))
            yield Result(f"db, {word} a run", both - own, "", most, f"the report says {told[word]}")


def _counted(server: MariaDB) -> dict[str, int]:
    with server.connect(user="root") as connection, connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS WHERE Variable_name IN ('Connections', 'Questions')")
        return {name: int(value) for name, value in cursor.fetchall()}


def profile(place: Path, result: Result) -> str:
    """Where the time goes: the imports that took longest, with all that they import, in microseconds."""
    with MariaDB() as server:
        server.start()
        argv = [sys.executable, "-X", "importtime", str(place / "rbdiag"), "db", str(server.socket)]
        done = subprocess.run(argv, env=environment(place), capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:") and "[us]" not in line]
    lines.sort(key=lambda line: -int(line.split("|")[1]))
    return "\n".join(["import time: self [us] | cumulative | imported package", *lines[:15]])
