"""`rbdiag schema`: what programs may rely on."""

from __future__ import annotations

import click

from rbdiag.cli.main import Command
from rbdiag.cli.streams import deliver


@click.command(cls=Command)
def schema() -> int:
    """Print the JSON schema of the report (draft 2020-12)."""
    import json

    from rbdiag.schema import schema as published

    return deliver(json.dumps(published(), indent=2) + "\n")
