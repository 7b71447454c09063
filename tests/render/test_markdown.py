from dataclasses import replace

import pytest

from rbdiag.model import Report, Step
from rbdiag.render import render
from rbdiag.render.markdown import _cell, _code, _text
from tests.samples import critical, healthy, noted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain words, 98 % (of 4)", "plain words, 98 % (of 4)", id="plain words"),
        pytest.param("<script>", "\\<script\\>", id="a tag"),
        pytest.param("a|b", "a\\|b", id="a bar"),
        pytest.param("`x` *y* __z__ ~~w~~", "\\`x\\` \\*y\\* \\_\\_z\\_\\_ \\~\\~w\\~\\~", id="code and emphasis"),
        pytest.param("[a](b) ![c](d)", "\\[a\\](b) \\!\\[c\\](d)", id="a link and a picture"),
        pytest.param("&lt; # @all", "\\&lt; \\# \\@all", id="an entity, a reference, a mention"),
        pytest.param("C:\\*", "C:\\\\\\*", id="a backslash"),
        pytest.param("- item", "\\- item", id="a list"),
        pytest.param("1. item", "1\\. item", id="a numbered list"),
        pytest.param("12) item", "12\\) item", id="a numbered list of the other kind"),
        pytest.param("1.5 s", "1.5 s", id="a number"),
        pytest.param("a\n# b", "a\\\\n\\# b", id="a line break"),
    ],
)
def test_words_stay_words(text: str, shown: str) -> None:
    assert _text(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("ps aux", "`ps aux`", id="no backtick"),
        pytest.param("a`b", "``a`b``", id="one backtick"),
        pytest.param("a``b`c", "```a``b`c```", id="two in a row"),
        pytest.param("`a`", "`` `a` ``", id="at both ends"),
        pytest.param(" a ", "`  a  `", id="spaces at both ends"),
        pytest.param("", "", id="nothing"),
        pytest.param("a\nb", "`a\\nb`", id="a line break"),
    ],
)
def test_code_cannot_end_its_span(text: str, shown: str) -> None:
    assert _code(text) == shown


def test_a_bar_in_code_does_not_end_a_table_cell() -> None:
    assert _cell("a|`b`") == "`` a\\|`b` ``"


def fix(command: str) -> list[str]:
    """The lines of the code block for this command."""
    report = critical()
    finding = replace(report.findings[0], resolution=(Step("Do it", command),))
    lines = markdown(replace(report, findings=(finding,)))
    start = next(i for i, line in enumerate(lines) if line.endswith("sh") and "```" in line)
    return [line.strip() for line in lines[start : start + 3]]


def markdown(report: Report) -> list[str]:
    return render("markdown", report).split("\n")


@pytest.mark.parametrize(
    ("command", "fence"),
    [("sudo kill 7", "```"), ("echo `date` | wc", "```"), ("echo ```", "````"), ("echo `````", "``````")],
)
def test_a_command_stands_unchanged_in_a_fence_it_cannot_close(command: str, fence: str) -> None:
    assert fix(command) == [f"{fence}sh", command, fence]


def test_a_command_that_does_not_print_is_a_comment() -> None:
    assert fix("kill \x1b\nrm x") == ["```sh", "# not to be pasted: shown escaped", "# kill \\x1b\\nrm x"]


def test_a_healthy_report_has_no_empty_parts() -> None:
    headings = [line for line in markdown(healthy()) if line.startswith("#")]
    assert headings == ["# OK: nothing wrong", "## Checks"]


def test_a_ticket_tells_it_in_order() -> None:
    headings = [line for line in markdown(critical()) if line.startswith("## ")]
    assert headings == ["## Findings", "## Timeline", "## Checks", "## Not seen", "## Call"]


def test_confidence_is_said_where_something_is_wrong_and_only_there() -> None:
    assert "Confidence: likely." in "\n".join(markdown(critical()))
    assert "Confidence" not in "\n".join(markdown(noted()))
