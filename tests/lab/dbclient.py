"""A client program for the lab: an application with sessions at a database. Run as a script, with its plan as JSON.

    connect    how to log in: arguments of PyMySQL
    sessions   the statements of each session; "sleep 2" waits, "log TEXT" writes a line of its own
    forever    go over the statements again and again, pausing so many seconds
    again      log in anew for each round
    in_order   start each session only when the one before has done all of its statements
    log        a file that gets every failure, as an application with Python's logging would write it

It prints a line when every session has tried to log in, and stays until it is ended. `code` instead of a plan prints
how one login ended: 0, the server's error number, or an errno.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time

import pymysql

log = logging.getLogger("shop.orders")
kept: list[pymysql.connections.Connection | None] = []  # open until the program ends


def number_of(error: pymysql.err.MySQLError) -> int:
    under = getattr(error, "original_exception", None)
    return (isinstance(under, OSError) and under.errno) or error.args[0]


def run(connection: pymysql.connections.Connection, statement: str) -> None:
    """One statement; a failure goes to the log and the session goes on."""
    word, _, rest = statement.partition(" ")
    if word == "sleep":
        time.sleep(float(rest))
        return
    if word == "log":
        log.info(rest)
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            cursor.fetchall()
    except pymysql.err.MySQLError:
        log.exception("query failed")


def login(plan: dict) -> pymysql.connections.Connection | None:
    try:
        return pymysql.connect(**{"autocommit": True, "connect_timeout": 10, **plan["connect"]})
    except pymysql.err.MySQLError:
        log.exception("cannot connect to the database")
        return None


def session(plan: dict, statements: list[str], tried: threading.Semaphore) -> None:
    connection = login(plan)
    tried.release()
    while True:
        for statement in statements:
            if connection is not None:
                run(connection, statement)
        if plan.get("forever") is None:
            kept.append(connection)
            return
        time.sleep(plan["forever"])
        if plan.get("again") or connection is None or not connection.open:
            if connection is not None and connection.open:
                connection.close()
            connection = login(plan)


def main() -> None:
    if sys.argv[1] == "code":
        try:
            pymysql.connect(**{"read_timeout": 5, **json.loads(sys.argv[2])["connect"]}).close()
        except pymysql.err.MySQLError as error:
            print(number_of(error))
        else:
            print(0)
        return
    plan = json.loads(sys.argv[1])
    if plan["log"]:
        logging.basicConfig(filename=plan["log"], level=logging.INFO,
                            format="%(asctime)s %(levelname)s %(name)s: %(message)s")  # fmt: skip
        log.info("started, pid %d", os.getpid())
    tried = threading.Semaphore(0)
    for statements in plan["sessions"]:
        thread = threading.Thread(target=session, args=(plan, statements, tried), daemon=True)
        thread.start()
        if plan.get("in_order"):
            thread.join()
    for _ in plan["sessions"]:
        tried.acquire()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
