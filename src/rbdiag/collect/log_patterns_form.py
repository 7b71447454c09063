"""What a known pattern of a log line is: how it is found, what it speaks for, and whether it is bad by itself.

The tables stand in `log_patterns_db`, `_proxy`, `_app` and `_host`; `log_patterns` puts them in their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

Role = Literal["failure", "ordinary", "evidence", "start", "stop"]
# From which level on a line is believed, where it tells one: what its writer calls information and merely mentions an
# error is none, but for messages whose writers do call them that.
Least = Literal["info", "warning", "error"]
Codes = tuple[str, ...]


class Pattern(NamedTuple):
    """One kind of line.

    `number` is its place in the catalogue, 0 for one from the settings file. `regex` is searched in the line without
    what a client asked for; its group `by` (or `by2`) decides between codes. `anchors` are lower-case texts of which
    each match has at least one, whatever its case: scans look for those alone, so they are the rarest there are.
    `about` names the group that holds what the line is about (or its namesakes with a 2 or 3; or two groups, joined by
    @), or a field that stands elsewhere in the line. `codes` is what it may speak for, the likeliest first. `but` is a
    second regex: a line that has it too says something else. `of_requests` says that it is meant for lines of access
    logs, of which no other pattern speaks. `of_host` says that the kernel or systemd writes it: from anybody else it
    is a quotation.
    """

    number: int
    name: str
    title: str
    regex: str
    anchors: tuple[str, ...]
    codes: Codes = ()
    role: Role = "failure"
    about: str = ""
    by: Mapping[str, Codes] = {}
    but: str = ""
    least: Least = "warning"
    of_requests: bool = False
    of_host: bool = False
    severity: Literal["", "warning", "critical"] = ""


@lru_cache(maxsize=1024)
def compiled(regex: str) -> re.Pattern[bytes]:
    """A pattern's regex, compiled when it is first needed: most never are."""
    return re.compile(regex.encode())


# Where a program's own last word begins: at the start of the line, or behind what syslog, Docker or Compose put there.
AT = r"(?:^|\]: |Z |\| )"
