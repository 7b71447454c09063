"""`rbdiag diagnose`: a saved report, judged again by the rules of this version."""

from __future__ import annotations

import sys

import click

from rbdiag.cli import options
from rbdiag.cli.main import Command
from rbdiag.cli.options import FAIL_ON, ShowOptions


@click.command(cls=Command)
@options.of_report
@click.argument("file", type=click.Path(allow_dash=True))
def diagnose(file: str, show: ShowOptions) -> int:
    """Run the rules again over a saved JSON report, from this host or another; '-' is standard input."""
    from rbdiag.cli.report import finish
    from rbdiag.record import RecordError, loads
    from rbdiag.runbooks import judge

    try:
        report = loads(_read(file).decode())
    except OSError as error:
        raise click.UsageError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"cannot read {file}: this is not UTF-8 text (byte {error.start})") from error
    except RecordError as error:
        raise click.UsageError(f"cannot read {file}: {error}") from error
    report, bugs = judge(report, fail_on=FAIL_ON[show.fail_on])
    return finish(report, bugs, show)


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read() if sys.stdin else b""
    with open(path, "rb") as file:
        return file.read()
