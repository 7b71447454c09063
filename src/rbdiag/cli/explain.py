"""`rbdiag explain`: the catalogue of findings, for a person."""

from __future__ import annotations

from collections.abc import Iterable

import click

from rbdiag.cli.main import Command
from rbdiag.cli.streams import columns, deliver
from rbdiag.cli.values import Code
from rbdiag.model import Spec
from rbdiag.render.escape import wrap

# Longer lines than this are hard to read, however wide the terminal is.
_WIDEST = 100


@click.command(cls=Command)
@click.argument("code", required=False, type=Code())
def explain(code: str | None) -> int:
    """What a finding means, how it is told, what it is not to be taken for, and what to do.

    Without CODE: the list of all findings, one a line, with code, severity and title.
    """
    from rbdiag.diagnose import catalogue

    known = catalogue()
    if code is None:
        return deliver(listing(known.values()))
    return deliver(page(known[code], min(columns(1), _WIDEST)))


def listing(specs: Iterable[Spec]) -> str:
    """One line a finding."""
    rows = [(spec.code, str(spec.severity), spec.title) for spec in specs]
    code, severity = (max((len(row[i]) for row in rows), default=0) for i in (0, 1))
    return "".join(f"{row[0]:<{code}}  {row[1]:<{severity}}  {row[2]}\n" for row in rows)


def page(spec: Spec, width: int) -> str:
    """All that the catalogue knows about one finding."""
    lines = [f"{spec.code} ({spec.severity})", *wrap(spec.title, width)]
    for head, text in (
        ("Meaning", spec.meaning),
        ("How it is told", spec.told),
        ("Not to be taken for", spec.not_to_be_taken_for),
    ):
        lines += ["", head, *(f"  {line}" for line in wrap(text, width - 2))]
    lines += ["", "What to do"]
    for number, step in enumerate(spec.resolution, 1):
        first, *rest = wrap(step, width - 5)
        lines += [f"  {number}. {first}", *(f"     {line}" for line in rest)]
    if spec.explains:
        lines += ["", "Explains, where they meet on one subject", *(f"  {code}" for code in spec.explains)]
    return "\n".join(lines) + "\n"
