"""The rankings under the checks of `rbdiag cpu`: the busiest processes, and the services that have several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rbdiag.facts.cpu import ProcessCpu, ServiceCpu
from rbdiag.model import Facts
from rbdiag.render import RenderOptions, tables
from rbdiag.render.escape import cut, visible, width

Measured = TypeVar("Measured", ProcessCpu, ServiceCpu)

# Fewer services than processes, because the ranking of processes has shown most of them already.
SERVICES = 5
# Of a core; a service that uses less is no news.
_LEAST = 0.01
# A kernel thread that would read 0.0 % is no row.
_SHOWN = 0.0005
# A name may take this many columns of the 80 there are; wider terminals and --verbose show more.
_NARROW = {"USER": 8, "SERVICE": 14}
_WIDE = {"USER": 16, "SERVICE": 40}


def processes(facts: Facts, options: RenderOptions) -> list[str]:
    """The ranking of processes as lines with a heading; no lines where none were measured."""
    ranked = [p for p in _latest(facts.of(ProcessCpu)) if p.runtime != "kernel" or p.share >= _SHOWN][: options.top]
    heads = ["PID", "USER", "CPU%", "USR%", "SYS%", "THR", "STATE", "AGE", "MEM", "SERVICE", "COMMAND"]
    rows = [
        [
            str(p.pid),
            p.user,
            _percent(p.share),
            f"{p.user_share * 100:.0f}",
            f"{p.system_share * 100:.0f}",
            str(p.threads),
            p.state,
            _age(p.age),
            _size(p.rss),
            "-" if p.service_kind in ("process", "kernel") else p.service.removesuffix(".service"),
            _command(p.command, options) or f"[{p.name}]",
        ]
        for p in ranked
    ]
    if options.verbose:
        heads[9:9] = ["READ/s", "WRITE/s"]
        for row, p in zip(rows, ranked, strict=True):
            row[9:9] = [_size(p.read_rate), _size(p.write_rate)]
    return _table(heads, rows, options)


def services(facts: Facts, options: RenderOptions) -> list[str]:
    """The services with more than one process, summed; no lines where there are none."""
    least = 0 if options.verbose else _LEAST
    several = [s for s in _latest(facts.of(ServiceCpu)) if s.processes > 1 and s.share >= least]
    heads = ["SERVICE", "PROCS", "BUSY", "CPU%", "USR%", "SYS%", "MAX%", "COMMAND"]
    rows = [
        [
            s.subject.removesuffix(".service"),
            str(s.processes),
            str(s.busy_processes),
            _percent(s.share),
            f"{s.user_share * 100:.0f}",
            f"{s.system_share * 100:.0f}",
            f"{s.biggest * 100:.0f}",
            _command(s.command, options),
        ]
        for s in several[: options.top if options.verbose else min(SERVICES, options.top)]
    ]
    return _table(heads, rows, options)


def _latest(measured: Sequence[Measured]) -> list[Measured]:
    """Those of the latest window, busiest first."""
    confirmed = [m for m in measured if m.window == "confirm"]
    return sorted(confirmed or measured, key=lambda m: m.share, reverse=True)


def _table(heads: list[str], rows: list[list[str]], options: RenderOptions) -> list[str]:
    """Columns one space apart, numbers to the right. The last column takes what the width leaves it.

    The headings go in as a row, because tabulate makes columns two wider than their headings. Wide characters are
    followed by as many NULs as tabulate, which counts characters, would be short of columns.
    """
    if not rows:
        return []
    tabulate = tables.load()
    text = {"USER", "STATE", "SERVICE", "COMMAND"}
    limits = _WIDE if options.verbose or options.width >= 120 else _NARROW
    sign = "..." if options.ascii else "…"
    cells = [heads]
    for row in rows:
        shown = [visible(cell, options.ascii) for cell in row]
        short = [cut(cell, limits.get(head, width(cell)), sign) for head, cell in zip(heads, shown, strict=True)]
        cells.append([cell + "\0" * (width(cell) - len(cell)) for cell in short])
    row_form = tabulate.DataRow("", " ", "")
    plain = tabulate.TableFormat(None, None, None, None, row_form, row_form, 0, None)
    table: str = tabulate.tabulate(
        cells,
        tablefmt=plain,
        colalign=["left" if head in text else "right" for head in heads],
        disable_numparse=True,
    )
    lines = (line.replace("\0", "").rstrip() for line in table.split("\n"))
    return [line if options.verbose else cut(line, options.width, sign) for line in lines]


def _command(command: str, options: RenderOptions) -> str:
    """The command line; without the program's folder where there is little room."""
    program, space, arguments = command.partition(" ")
    return command if options.verbose else program.rpartition("/")[2] + space + arguments


def _percent(share: float) -> str:
    return f"{share * 100:.1f}" if share < 10 else f"{share * 100:.0f}"


def _age(seconds: float) -> str:
    """In its largest unit: 45s, 12m, 3h, 40d."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds)}s"


def _size(count: float | None) -> str:
    """In at most five columns, as `top` writes it: 812K, 1.5M, 24G; a dash where it was not measured."""
    if count is None:
        return "-"
    for unit in ("", "K", "M", "G", "T"):
        if count < 1000 or unit == "T":
            return f"{count:.1f}{unit}" if unit and count < 10 else f"{count:.0f}{unit}"
        count /= 1024
    raise AssertionError("unreachable")
