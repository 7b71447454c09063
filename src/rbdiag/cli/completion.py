"""`rbdiag completion`: the scripts that connect a shell to the answers of `rbdiag.cli.complete`."""

from __future__ import annotations

import click

from rbdiag.cli.main import Command
from rbdiag.cli.scripts import SCRIPTS
from rbdiag.cli.streams import deliver


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def completion(shell: str) -> int:
    """Print the completion script of a shell.

    \b
    bash:  rbdiag completion bash > ~/.local/share/bash-completion/completions/rbdiag
    zsh:   rbdiag completion zsh > DIRECTORY/_rbdiag     (a directory in $fpath)
    fish:  rbdiag completion fish > ~/.config/fish/completions/rbdiag.fish
    """
    return deliver(SCRIPTS[shell])
