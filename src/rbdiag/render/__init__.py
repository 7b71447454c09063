"""The formats, one file each: a report goes in, text comes out.

A renderer writes down what the report says. It never judges, orders or asks the time, and it makes text from
outside harmless for its format as the last step.
"""

from __future__ import annotations

from importlib import import_module

from rbdiag.frozen import NamedRecord
from rbdiag.model import Report

# Each format by the module that writes it, imported only when the format is asked for.
FORMATS = {
    "table": "rbdiag.render.table",
    "json": "rbdiag.render.json_",
    "jsonl": "rbdiag.render.jsonl",
    "markdown": "rbdiag.render.markdown",
    "nagios": "rbdiag.render.nagios",
}


class RenderOptions(NamedRecord):
    """What the reader's end can show. Programs' formats (`json`, `jsonl`, `nagios`) take no notice of it.

    `width` is in columns, `top` the most processes in a ranking, `utc_offset` what to add to UTC, in seconds, for
    the times a person reads; `ascii` is for terminals that can show nothing else.
    """

    color: bool = False
    width: int = 80
    verbose: bool = False
    top: int = 10
    utc_offset: int = 0
    ascii: bool = False


def render(form: str, report: Report, options: RenderOptions | None = None) -> str:
    """The report in this format, ending with a newline. Raises KeyError for a format that is not in FORMATS."""
    text: str = import_module(FORMATS[form]).render(report, options or RenderOptions())
    return text
