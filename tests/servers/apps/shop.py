"""A small shop in Python that logs as Python programs do, and fails as its second argument says: shop.py PORT FAULT.

Its log goes to standard error. Without a fault it starts, handles orders, and stops on SIGTERM or after them all.
"""

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
import urllib.request
import warnings

log = logging.getLogger("shop.orders")
PORT, FAULT = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
FORM = os.environ.get("SHOP_FORM", "plain")


class AsJson(logging.Formatter):
    """One object a line, as structured logging writes it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))}
        fields["timestamp"] += f".{int(record.msecs):03d}Z"
        fields |= {"level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class OrderError(Exception):
    """An order that cannot be handled."""


def price(order: dict[str, int]) -> float:
    return order["cents"] / order["count"]


def handle(number: int, order: dict[str, int]) -> None:
    log.info("order %d: %.2f each, handled in %.1f ms", number, price(order) / 100, 0.4 + number % 7)


def orders(count: int) -> None:
    for number in range(count):
        handle(number, {"cents": 1999 + number, "count": 1 + number % 3})


def fails(number: int) -> None:
    """One request that fails as it was told to."""
    if FAULT == "zero":
        handle(number, {"cents": 1999, "count": 0})
    elif FAULT == "chained":
        try:
            handle(number, {"cents": 1999})
        except KeyError as error:
            raise OrderError(f"order {number} is incomplete") from error
    elif FAULT == "refused":
        socket.create_connection(("127.0.0.1", PORT), 2)
    elif FAULT == "nameless":
        urllib.request.urlopen("http://backend.invalid/stock", timeout=5)
    elif FAULT == "slow":
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/slow", timeout=0.2)
    elif FAULT == "files":
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        held = []
        while True:
            held.append(socket.socket())
    elif FAULT == "full":
        with open("/dev/full", "w") as file:
            file.write("x" * 10000)
    elif FAULT == "database":
        import pymysql

        pymysql.connect(host="127.0.0.1", port=PORT, user="shop", password="wrong", connect_timeout=5)


def serve() -> None:
    log.info("listening on port %d, 4 workers, error_log=/var/log/shop/error.log, retries=0", PORT)
    orders(30)
    for number in range(3) if FAULT in FAILING else ():
        try:
            fails(1000 + number)
        except Exception:
            log.exception("order %d failed", 1000 + number)
    if FAULT == "warnings":
        warnings.warn("price() is deprecated, use cost()", DeprecationWarning, stacklevel=1)
        log.warning("stock of item %d is low: 2 left", 17)
    if FAULT == "uncaught":
        handle(1000, {"cents": 1999, "count": 0})
    if FAULT == "thread":
        thread = threading.Thread(target=handle, args=(1000, {"count": 1}), name="worker-1")
        thread.start()
        thread.join()
    if FAULT == "environment":
        print(os.environ["SHOP_DATABASE_URL"])
    if FAULT == "import":
        import nosuchmodule  # noqa: F401
    if FAULT == "port":
        socket.create_server(("127.0.0.1", PORT))
    if FAULT == "task":

        async def main() -> None:
            task = asyncio.create_task(asyncio.to_thread(handle, 1000, {"count": 1}))
            await asyncio.sleep(0.2)
            del task
            await asyncio.sleep(0.1)

        asyncio.run(main())
    orders(3)


FAILING = ("zero", "chained", "refused", "nameless", "slow", "files", "full", "database")


def stopped(number: int, frame: object) -> None:
    log.info("stopping on signal %d, 0 errors, 0 failed requests", number)
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stopped)
    handler = logging.StreamHandler()
    form = {"plain": "%(asctime)s %(levelname)s [%(name)s] %(message)s", "default": logging.BASIC_FORMAT}
    handler.setFormatter(AsJson() if FORM == "json" else logging.Formatter(form[FORM]))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)
    serve()
    log.info("done")
