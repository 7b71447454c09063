"""For a ticket. Text from outside stands in code spans, or has every sign that Markdown knows escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rbdiag.model import Fact, Finding, Report, Status, Step
from rbdiag.render import RenderOptions, log_answer
from rbdiag.render.escape import visible
from rbdiag.render.when import at, clock, stamp, zone
from rbdiag.render.words import elsewhere, seen

# CommonMark 2.4: any of its punctuation may be escaped. These can begin something inline, or a reference, a
# mention or a table cell in its dialects; those that only matter at the start of a line are dealt with in `_text`.
_SPECIALS = str.maketrans({sign: "\\" + sign for sign in "\\`*_{}[]<>|~&#!$@^"})


def render(report: Report, options: RenderOptions) -> str:
    return "\n".join(_lines(report, options)) + "\n"


def _lines(report: Report, options: RenderOptions) -> Iterator[str]:
    offset = options.utc_offset
    ran = len(report.checks) - len(report.gaps)
    began = f"{stamp(report.started_at + offset)[:10]} {clock(report.started_at, offset, report.started_at)}"
    yield f"# {str(report.status).upper()}: {_text(report.summary)}"
    yield ""
    trouble = report.status in (Status.WARNING, Status.CRITICAL)
    sure = f" Confidence: {report.verdict.confidence}." if report.verdict and trouble else ""
    target = f" for {_code(elsewhere(report))}" if elsewhere(report) else ""
    yield (
        f"{_code('rbdiag ' + report.runbook)}{target} on {_code(report.host)}, {began} {zone(offset)}: "
        f"{ran} of {len(report.checks)} checks ran in {report.duration:.1f} s.{sure}"
    )
    if report.runbook == "logs":
        yield from _logs(report, options)
    if report.findings:
        yield from ("", "## Findings")
        for number, finding in enumerate(report.findings, 1):
            yield from _finding(number, finding, offset, report.started_at)
    if report.timeline:
        yield from ("", "## Timeline", "")
        for moment in report.timeline:
            yield f"- {clock(moment.at, offset, report.started_at)} {_code(moment.source)}: {_code(moment.text)}"
    yield from ("", "## Checks", "", "| status | check | seen |", "|---|---|---|")
    for row in report.checks:
        yield f"| {row.mark} | {_cell(row.name)} | {_cell(seen(row))} |"
    if report.gaps:
        yield from ("", "## Not seen", "")
        for row in report.gaps:
            if row.gap:
                unlock = f" To see it: {_text(row.gap.unlock)}." if row.gap.unlock else ""
                yield f"- {_code(row.name)} ({row.gap.reason}): {_text(row.gap.detail)}.{unlock}"
    if report.contacts:
        yield from ("", "## Call", "")
        for who in report.contacts:
            yield "- " + ", ".join(_text(part) for part in (who.name, who.role, who.contact, who.when) if part)


def _logs(report: Report, options: RenderOptions) -> Iterator[str]:
    """What of which logs was read, and the log answer."""
    yield ""
    for text in log_answer.windows(report.facts):
        yield f"- {_code(text)}"
    for section in log_answer.sections(report, options.top, options.utc_offset, options.verbose):
        log = f" in {_code(section.log)}" if section.log else ""
        yield from ("", f"## {section.title.capitalize()}{log}", "", "| | count | change | first | last | what |")
        yield "|---|---:|---|---|---|---|"
        for row in section.rows:
            yield f"| {row.mark} | {row.count} | {row.change} | {row.first} | {row.last} | {_cell(row.what)} |"
        if section.more:
            yield from ("", f"And {section.more:,} more.")
    if requests := log_answer.requests(report, options.utc_offset, options.verbose):
        yield from ("", "## Requests", "", *(f"- {_code(text)}" for text in requests))


def _finding(number: int, finding: Finding, offset: int, today: float) -> Iterator[str]:
    yield from ("", f"### {number}. {_text(finding.spec.title)}", "")
    cause = f", explained by {_code(finding.explained_by)}" if finding.explained_by else ""
    yield f"{_code(finding.code)} on {_code(finding.subject)}: {finding.severity}, {finding.confidence}{cause}"
    yield from ("", _text(finding.summary))
    yield from _evidence("Because", finding.evidence, offset, today)
    yield from _evidence("Against", finding.against, offset, today)
    if finding.resolution:
        yield from ("", "Fix:")
        for place, step in enumerate(finding.resolution, 1):
            yield from _step(place, step)


def _evidence(heading: str, facts: Iterable[Fact], offset: int, today: float) -> Iterator[str]:
    for i, fact in enumerate(facts):
        if i == 0:
            yield from ("", f"{heading}:", "")
        when = at(fact)
        time = "" if when is None else clock(when, offset, today) + " "
        check = f" ({_code(fact.check)})" if fact.check else ""
        yield f"- {time}{_code(str(fact))}{check}"


def _step(number: int, step: Step) -> Iterator[str]:
    lead = f"{number}. "
    indent = " " * len(lead)
    yield from ("", f"{lead}{_text(step.text)} (**{step.risk}**)")
    if step.command:
        shown = visible(step.command)
        fence = "`" * max(3, _longest_run(shown) + 1)
        # One that holds characters that do not print is shown, but must not be pasted.
        lines = [shown] if shown == step.command else ["# not to be pasted: shown escaped", f"# {shown}"]
        yield from ("", f"{indent}{fence}sh", *(indent + line for line in lines), f"{indent}{fence}")
    if step.verify:
        yield from ("", f"{indent}Verify: {_code(step.verify)}")


def _text(text: str) -> str:
    """Plain words in the flow of a line."""
    shown = visible(text).strip()
    escaped = shown.translate(_SPECIALS)
    head = escaped.split(" ", 1)[0]
    if escaped[:1] in ("-", "+", "="):
        return "\\" + escaped
    if head[:-1].isdigit() and head[-1:] in (".", ")"):  # would begin a numbered list
        return f"{head[:-1]}\\{head[-1]}{escaped[len(head) :]}"
    return escaped


def _code(text: str) -> str:
    """A code span, fenced by one backtick more than the longest run inside (CommonMark 6.1)."""
    shown = visible(text)
    if not shown.strip():
        return ""
    ticks = "`" * (_longest_run(shown) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def _cell(text: str) -> str:
    """A code span in a table, where a bar ends the cell even in code unless it is escaped (GFM 4.10)."""
    return _code(text).replace("|", "\\|")


def _longest_run(text: str) -> int:
    longest = run = 0
    for char in text:
        run = run + 1 if char == "`" else 0
        longest = max(longest, run)
    return longest
