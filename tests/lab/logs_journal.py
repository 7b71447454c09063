"""Faults that the journal tells: units that fail under a real systemd, in a container of this machine's own root."""

from __future__ import annotations

from tests.lab.logs_file import log_fault, log_twin
from tests.lab.scenario import Fault, Setup
from tests.lab.systemd import NEEDED, Container
from tests.lab.workbench import Lab

SHOP = """
import sys, time
print("shop listens on port 8000, 0 errors", flush=True)
while True:
    time.sleep(1)
    print("order handled in 3 ms", flush=True)
"""


def _unit(container: Container, name: str, *settings: str, unit: tuple[str, ...] = ()) -> None:
    """A unit of these settings, started; that may fail."""
    lines = ["[Unit]", *unit, "[Service]", *settings, ""]
    (container.root / f"etc/systemd/system/{name}.service").write_text("\n".join(lines))
    container.call("systemctl", "daemon-reload")
    container.call("systemctl", "start", "--no-block", f"{name}.service")


def _prove(lab: Lab, container: Container, unit: str, holds: str, at_least: int = 1) -> None:
    def lines() -> float:
        said = container.call("journalctl", "-u", unit, "-o", "cat", "--no-pager").stdout.decode(errors="replace")
        return said.count(holds)

    lab.prove(f"lines of the journal of {unit} with {holds!r}", lines, at_least=at_least, within=30)


def _asked(name: str) -> Fault:
    return Fault(shown=(name,), argv=("logs", "--service", name))


@log_fault("svc.crash-loop", "logs.exception", needs=NEEDED)
def logs_journal_crash_loop(lab: Lab) -> Setup:
    """A unit that ends with an exception as often as it is started, until systemd gives up."""
    container = Container(lab)
    (container.root / "srv/shop.py").write_text("print('shop starts', flush=True)\n[][0]\n")
    _unit(container, "shop", "ExecStart=/usr/bin/python3 /srv/shop.py", "Restart=always", "RestartSec=50ms",
          unit=("StartLimitIntervalSec=60", "StartLimitBurst=5"))  # fmt: skip
    _prove(lab, container, "shop", "Start request repeated too quickly")
    yield _asked("shop.service")


@log_fault("svc.exec-failed", needs=NEEDED)
def logs_journal_no_program(lab: Lab) -> Setup:
    """A unit whose program is not there."""
    container = Container(lab)
    _unit(container, "shop", "ExecStart=/srv/no/shop --port 8000")
    _prove(lab, container, "shop", "203/EXEC")
    yield _asked("shop.service")


@log_fault("svc.watchdog-killed", needs=NEEDED)
def logs_journal_start_timeout(lab: Lab) -> Setup:
    """A unit that never says that it is ready."""
    container = Container(lab)
    _unit(container, "shop", "Type=notify", "ExecStart=/usr/bin/sleep 100", "TimeoutStartSec=1")
    _prove(lab, container, "shop", "start operation timed out")
    yield _asked("shop.service")


@log_fault("change.env-missing", needs=NEEDED)
def logs_journal_no_environment(lab: Lab) -> Setup:
    """A unit whose file of variables is not there."""
    container = Container(lab)
    _unit(container, "shop", "EnvironmentFile=/srv/shop.env", "ExecStart=/usr/bin/sleep 100")
    _prove(lab, container, "shop", "Failed to load environment files")
    yield _asked("shop.service")


@log_twin(needs=NEEDED)
def logs_journal_healthy(lab: Lab) -> Setup:
    """A unit that was started, worked, was started again, and works."""
    container = Container(lab)
    container.unit("shop", SHOP)
    container.call("systemctl", "restart", "shop.service")
    _prove(lab, container, "shop", "order handled", 2)
    yield Fault(argv=("logs", "--service", "shop.service"))
