"""One screen for a person: what was looked at, then the verdict, last, where the eye is."""

from __future__ import annotations

from collections.abc import Iterable

from rbdiag.facts import size
from rbdiag.frozen import Record, replace
from rbdiag.model import Fact, Finding, Gap, Mark, Report, Severity, Status, Step
from rbdiag.render import RenderOptions, log_answer, ranking
from rbdiag.render.escape import cut, visible, width, wrap
from rbdiag.render.tree import Branch, branches
from rbdiag.render.when import at, clock, zone
from rbdiag.render.words import elsewhere, seen

# Below this nothing reads well, and cutting further would hide what is said.
NARROWEST = 40
# So many lines an item of evidence may take; --verbose shows all of it.
_EVIDENCE_LINES = 2

_SIGNS: dict[Mark, str] = {"ok": "✓", "note": "·", "warning": "!", "critical": "✗", "gap": "?"}
_ASCII_SIGNS: dict[Mark, str] = {"ok": "+", "note": ".", "warning": "!", "critical": "X", "gap": "?"}
_MARKS: dict[Severity, Mark] = {Severity.NOTE: "note", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}

# Select Graphic Rendition, ECMA-48 8.3.117. Colour repeats what a sign or a word says already.
_RESET, _BOLD = "\x1b[0m", "\x1b[1m"
_MARK_COLORS: dict[Mark, str] = {
    "ok": "\x1b[32m",
    "note": "\x1b[36m",
    "warning": "\x1b[33m",
    "critical": "\x1b[31m",
    "gap": "\x1b[35m",
}
_STATUS_COLORS = {
    Status.OK: "\x1b[1;32m",
    Status.UNKNOWN: "\x1b[1;35m",
    Status.WARNING: "\x1b[1;33m",
    Status.CRITICAL: "\x1b[1;31m",
}


def render(report: Report, options: RenderOptions) -> str:
    page = _Page(report, options)
    if report.runbook == "logs":
        return page.of_logs()
    page.header(elsewhere(report))
    page.checks()
    for lines in (ranking.processes(report.facts, page.options), ranking.services(report.facts, page.options)):
        page.block(lines)
    page.lines.append("")
    page.verdict()
    page.causes()
    return page.end()


def _several(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


class _Lead(Record):
    """What stands at the left of a text; the text's further lines are indented to its width."""

    text: str
    color: str = ""


class _Page:
    """The lines so far. Every text goes through `put`, `command` or the rankings, which make it harmless."""

    def __init__(self, report: Report, options: RenderOptions) -> None:
        self.report = report
        self.options = replace(options, width=max(NARROWEST, options.width))
        self.lines: list[str] = []
        self._signs = _ASCII_SIGNS if options.ascii else _SIGNS
        self._dot = " - " if options.ascii else " · "
        self._ellipsis = "..." if options.ascii else "…"

    # -- how lines are made

    def safe(self, text: str) -> str:
        return visible(text, self.options.ascii)

    def paint(self, text: str, color: str) -> str:
        return f"{color}{text}{_RESET}" if self.options.color and color and text.strip() else text

    def put(self, lead: _Lead, text: str, most: int = 0) -> None:
        """The text wrapped behind its lead. More than `most` lines are cut, unless all is to be shown."""
        left = cut(self.safe(lead.text), self.options.width * 2 // 3, self._ellipsis + " ")
        room = self.options.width - width(left)
        lines = wrap(self.safe(text), room)
        if most and len(lines) > most and not self.options.verbose:
            lines[most - 1 :] = [cut(" ".join(lines[most - 1 :]), room, self._ellipsis)]
        self.lines.append((self.paint(left, lead.color) + lines[0]).rstrip())
        self.lines += [" " * width(left) + line for line in lines[1:]]

    def heading(self, text: str) -> None:
        self.lines.append(self.paint(text, _BOLD))

    def block(self, lines: list[str]) -> None:
        """Lines that are harmless and cut already, as a paragraph of their own, the first a heading."""
        if lines:
            self.lines += ["", self.paint(lines[0], _BOLD), *lines[1:]]

    def command(self, indent: str, command: str) -> None:
        """Ready to paste: never cut, never wrapped. One that would not survive the terminal is made a comment."""
        shown = self.safe(command)
        if shown == command:
            self.lines.append(indent + command)
        else:
            self.lines.append(f"{indent}# not to be pasted: it holds characters that do not print, shown escaped")
            self.lines.append(f"{indent}# {shown}")

    # -- what is said

    def header(self, target: str) -> None:
        report = self.report
        parts = [
            f"rbdiag {report.runbook}",
            f"{target} from {report.host}" if target else report.host,
            f"{len(report.checks) - len(report.gaps)} of {len(report.checks)} checks ran",
            f"{report.duration:.1f} s",
            f"{clock(report.started_at, self.options.utc_offset, report.started_at)} {zone(self.options.utc_offset)}",
        ]
        if self.options.verbose:
            cost = report.cost
            parts += [] if cost.cpu_seconds is None else [f"{cost.cpu_seconds:.2f} s of CPU spent"]
            parts += [] if cost.bytes_read is None else [f"{size(cost.bytes_read)} read"]
            parts += [_several(cost.connections, "connection", "connections")] if cost.connections else []
            parts += [_several(cost.queries, "query", "queries")] if cost.queries else []
        self.put(_Lead("", _BOLD), self._dot.join(parts))

    def checks(self) -> None:
        self.lines.append("")
        names = max((width(self.safe(row.name)) for row in self.report.checks), default=0)
        for row in self.report.checks:
            pad = " " * (names - width(self.safe(row.name)))
            lead = _Lead(f"{self._signs[row.mark]} {row.name}{pad}  ", _MARK_COLORS[row.mark])
            self.put(lead, seen(row), most=1)
            if self.options.verbose:
                for text in (str(fact) for fact in self.report.facts if fact.check == row.name):
                    if text != row.summary:
                        self.put(_Lead(" " * (names + 4)), text)

    def of_logs(self) -> str:
        """The answer first, then the rows that show it: a log is read from the top, and this page with it."""
        report, options = self.report, self.options
        windows = log_answer.windows(report.facts)
        sections = log_answer.sections(report, options.top, options.utc_offset, options.verbose)
        self.verdict()
        if report.status is not Status.OK or report.gaps or sections or options.verbose or not windows:
            self.header(elsewhere(report) if not windows else "")
        for text in windows:
            self.put(_Lead("  "), text, most=2)
        if options.verbose:
            self.checks()
        self.log_rows(sections)
        for number, text in enumerate(log_answer.requests(report, options.utc_offset, options.verbose)):
            self.put(_Lead("          " if number else "REQUESTS  ", _BOLD), text, most=2)
        self.causes()
        return self.end()

    def log_rows(self, sections: list[log_answer.Section]) -> None:
        """All sections on one grid; a column in which nothing stands is left out."""
        heads = ("COUNT", "CHANGE", "FIRST", "LAST")

        def cells(row: log_answer.Row) -> tuple[str, ...]:
            return (row.count, row.change, row.first, row.last if row.last != row.first else "")

        every = [cells(row) for section in sections for row in section.rows]
        widths = [max(map(len, column)) * any(column[1:]) for column in zip(heads, *every, strict=True)]
        while sum(widths) > self.options.width // 2 and any(widths[1:]):  # where there is little room, the words count
            widths[max(number for number, size in enumerate(widths) if size)] = 0

        def lead(sign: str, texts: tuple[str, ...]) -> str:
            count, *others = (text.ljust(size)[:size] for text, size in zip(texts, widths, strict=True))
            return "  ".join([f"{sign} {count.strip():>{widths[0]}}", *filter(None, others)]) + "  "

        for section in sections:
            title = section.title + (f" in {self.safe(section.log)}" if section.log else "")
            self.heading(cut(lead(" ", heads) + title, self.options.width, self._ellipsis))
            for row in section.rows:
                sign = _Lead(lead(self._signs[row.mark], cells(row)), _MARK_COLORS[row.mark])
                # An exception ends with its place, and what a finding is built on is worth the room.
                whole = row.mark in ("warning", "critical") or section.title == "EXCEPTIONS"
                self.put(sign, row.what, most=2 if whole else 1)
            if section.more:
                self.put(_Lead("  "), f"and {section.more:,} more: --verbose, or --top N")

    def end(self) -> str:
        """What ends every page; and the page."""
        self.gaps()
        if self.options.verbose:
            self.timeline()
        self.contacts()
        return "\n".join(self.lines) + "\n"

    def verdict(self) -> None:
        report, first = self.report, self.report.verdict
        word = str(report.status).upper()
        trouble = report.status in (Status.WARNING, Status.CRITICAL)
        sure = f" ({first.confidence})" if first and trouble else ""
        self.put(_Lead(f"{word}  ", _STATUS_COLORS[report.status]), report.summary + sure)
        if first:
            self.command("  more: ", f"rbdiag explain {first.code}")

    def causes(self) -> None:
        """What the verdict explains, why it is thought so, what to do, and what was found besides."""
        report, first = self.report, self.report.verdict
        trouble = report.status in (Status.WARNING, Status.CRITICAL)
        trees = branches(report.findings)
        if first and trouble:
            cause, *others = trees
            if cause.under:
                self.heading("Leads to")
                self.symptoms(cause.under, "  ")
            self.details(first)
        else:
            # The verdict has said the first finding already.
            others = [*(trees[0].under if trees else ()), *trees[1:]]
        if others:
            self.heading("Also")
            most = len(others) if self.options.verbose else self.options.top
            for other in others[:most]:
                self.symptoms([other], "  ")
                if self.options.verbose:
                    self.details(other.finding, "    ")
            if others[most:]:
                self.put(_Lead("  "), f"and {len(others) - most:,} more: --verbose")

    def symptoms(self, trees: Iterable[Branch], indent: str) -> None:
        for tree in trees:
            mark = _MARKS[tree.finding.severity]
            lead = _Lead(f"{indent}{self._signs[mark]} ", _MARK_COLORS[mark])
            self.put(lead, f"{tree.finding.code}: {tree.finding.summary}")
            self.symptoms(tree.under, indent + "  ")

    def details(self, finding: Finding, indent: str = "") -> None:
        self.evidence(f"{indent}Because", finding.evidence, indent)
        self.evidence(f"{indent}Against", finding.against, indent)
        if finding.resolution:
            self.heading(f"{indent}Fix")
            for number, step in enumerate(finding.resolution, 1):
                self.step(f"{indent}  {number}. ", step)

    def evidence(self, heading: str, facts: tuple[Fact, ...], indent: str) -> None:
        if not facts:
            return
        self.heading(heading)
        for fact in facts:
            when = at(fact)
            time = "" if when is None else clock(when, self.options.utc_offset, self.report.started_at) + "  "
            check = f"{fact.check}  " if self.options.verbose and fact.check else ""
            self.put(_Lead(f"{indent}  {time}{check}"), str(fact), most=_EVIDENCE_LINES)

    def step(self, lead: str, step: Step) -> None:
        self.put(_Lead(lead), f"{step.text} [{step.risk}]")
        indent = " " * len(lead)
        if step.command:
            self.command(indent + "  ", step.command)
        if step.verify:
            self.command(indent + "  verify: ", step.verify)

    def gaps(self) -> None:
        if not self.report.gaps:
            return
        self.heading("Not seen")
        # Gaps that the same thing would unlock are said once.
        same: dict[Gap, list[str]] = {}
        for row in self.report.gaps:
            if row.gap:
                same.setdefault(row.gap, []).append(row.name)
        for gap, names in same.items():
            unlock = f"; {gap.unlock}" if gap.unlock else ""
            lead = _Lead(f"  {self._signs['gap']} ", _MARK_COLORS["gap"])
            self.put(lead, f"{', '.join(names)} ({gap.reason}): {gap.detail}{unlock}")

    def timeline(self) -> None:
        if self.report.timeline:
            self.heading("Timeline")
        for moment in self.report.timeline:
            time = clock(moment.at, self.options.utc_offset, self.report.started_at)
            self.put(_Lead(f"  {time}  "), f"{moment.source}: {moment.text}")

    def contacts(self) -> None:
        if self.report.contacts:
            self.heading("Call")
        for who in self.report.contacts:
            self.put(_Lead("  "), self._dot.join(p for p in (who.name, who.role, who.contact, who.when) if p))
