"""Makes `words.py`, the table that completion answers from, out of the commands themselves."""

from __future__ import annotations

from pathlib import Path

import click

from rbdiag.cli import main
from rbdiag.cli.complete import MANY
from rbdiag.cli.values import Check
from rbdiag.diagnose import catalogue

Choices = dict[str, list[tuple[str, str]]]

HEAD = '''"""What completion offers. Made by `python -m rbdiag.cli.words` out of the commands; do not edit."""

# fmt: off
# ruff: noqa: E501
from __future__ import annotations

# Its names; what it does; whether it takes a value: no, maybe, yes; what is offered for it; whether it repeats.
Option = tuple[tuple[str, ...], str, str, str, bool]

'''
FOOT = """
if __name__ == "__main__":
    from rbdiag.cli.generate import write

    write()
"""


def write() -> None:
    """Write the table anew in its place."""
    Path(__file__).with_name("words.py").write_text(table(), encoding="utf-8")


def table() -> str:
    """The text of `words.py`."""
    choices: Choices = {
        "commands": [(name, text) for name, (_, text) in main.COMMANDS.items()],
        "codes": [(spec.code, spec.title) for spec in catalogue().values()],
    }
    group = main.rbdiag
    context = click.Context(group, info_name="rbdiag")
    commands = {"": (_options(group, choices), ["commands"])}
    for name in main.COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        given = [p for p in command.params if isinstance(p, click.Argument)]
        arguments = [_offers(p, choices) + (MANY if p.nargs < 0 else "") for p in given]
        commands[name] = (_options(command, choices), arguments)

    text = HEAD + "COMMANDS: dict[str, tuple[tuple[Option, ...], tuple[str, ...]]] = {\n"
    for name, (options, offered) in commands.items():
        text += f"    {name!r}: (\n        (\n"
        text += "".join(f"            {option!r},\n" for option in options)
        text += f"        ),\n        {tuple(offered)!r},\n    ),\n"
    text += "}\n\nCHOICES: dict[str, tuple[tuple[str, str], ...]] = {\n"
    for key, pairs in choices.items():
        text += f"    {key!r}: (\n" + "".join(f"        {pair!r},\n" for pair in pairs) + "    ),\n"
    return text + "}\n" + FOOT


def _options(command: click.Command, choices: Choices) -> list[tuple[tuple[str, ...], str, str, str, bool]]:
    context = click.Context(command)
    found = []
    for param in command.get_params(context):
        if isinstance(param, click.Option) and not param.hidden:
            value = "no" if param.is_flag else "maybe" if str(param.metavar).startswith("[") else "yes"
            # The first sentence is what fits beside a word in a menu.
            text = (param.help or "").partition("  [")[0].partition(". ")[0].rstrip(".")
            names = tuple(sorted(param.opts, key=len, reverse=True))  # the long one first
            found.append((names, text, value, _offers(param, choices), param.multiple))
    return found


def _offers(param: click.Parameter, choices: Choices) -> str:
    """What is offered as the value: `files`, `targets`, a key of the choices, or nothing."""
    kind = param.type
    if isinstance(kind, click.Path):
        return "files"
    if isinstance(kind, click.Choice):
        key = str(param.name)
        choices[key] = [(word, "") for word in kind.choices]
        return key
    if isinstance(kind, Check):
        choices[kind.offers] = [(name, "") for name in kind.known()]
    return str(getattr(kind, "offers", ""))
