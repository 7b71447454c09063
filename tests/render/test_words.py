from dataclasses import replace

import pytest

from rbdiag.model import Gap
from rbdiag.render.words import elsewhere, seen
from tests.samples import healthy, row

LATE = Gap("deadline", "not finished when the time was up")


@pytest.mark.parametrize(("target", "named"), [("", ""), ("web-3", ""), ("this host", ""), ("db1:3306", "db1:3306")])
def test_only_a_target_that_is_not_this_host_is_named(target: str, named: str) -> None:
    assert elsewhere(replace(healthy(), target=target)) == named


@pytest.mark.parametrize(
    ("summary", "gap", "text"),
    [
        ("all of it", None, "all of it"),
        ("half of it", LATE, "incomplete (deadline): half of it"),
        (LATE.detail, LATE, LATE.detail),
    ],
)
def test_what_was_seen_in_part_is_said_to_be_incomplete(summary: str, gap: Gap | None, text: str) -> None:
    assert seen(row("a.check", summary, gap=gap)) == text
