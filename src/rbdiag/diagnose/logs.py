"""What a log says that no other code names: exceptions and errors that are new; what the user's own patterns watch for.

Where the logs are what the run is about these are warnings; beside a runbook that looks at the service itself, notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from shlex import quote

from rbdiag.diagnose import log_news, log_said, log_steps, log_view, log_words
from rbdiag.facts import span
from rbdiag.facts.logs import LogKnown, LogTemplate, LogTrace, LogWindow
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# Clocks of a host and its containers agree within this, or something is wrong with them.
_AHEAD = 60.0

EXCEPTION = Spec(
    code="logs.exception",
    title="an exception appears that was not there before",
    severity=Severity.WARNING,
    meaning="The program fails in its code: a stack trace of a kind (type, message, deepest own frame) is written that the time before "
    "the window does not have. No other code of the catalogue names it.",
    told="A record with a stack trace, first seen inside the window. How often, and the deepest frame of the program's own code, stand "
    "with it.",
    not_to_be_taken_for="the same trace at the same rate as before, which is known noise; a trace that says what another finding says: it "
    "stands there as evidence; what a start says before it is done.",
    resolution=(
        "look at the frame that is named, and at its last change: git log -L",
        "see what the first of them followed on: a release, a setting, a dependency",
        "roll back, if it began with a release",
    ),
)
NEW_ERRORS = Spec(
    code="logs.new-errors",
    title="a kind of error is written that was not there before",
    severity=Severity.WARNING,
    meaning="Lines of level error or worse, of a shape that the time before the window does not have and that no other code of the "
    "catalogue names. What a program has never said before is where to look first.",
    told="A template of that level without a line in the baseline, three times or more, or once at level fatal or as the log's last "
    "word. Without a baseline only fatal last words count.",
    not_to_be_taken_for="words such as `0 errors` or `GET /errors`; what a start says before it is done; a log whose level was raised, "
    "which brings many new lines and none of them errors.",
    resolution=(
        "look at the first of these lines, and at what was written just before it",
        "see what changed at that time: a release, a setting, a dependency",
        "mend what the message names",
    ),
)
UNREADABLE = Spec(
    code="logs.unreadable",
    title="a log cannot be compared over time",
    severity=Severity.NOTE,
    meaning="The log tells no times that can be used, or times that cannot be right. What it says was read; since when, and whether it is "
    "new, cannot be told.",
    told="No line of it has a time of a form that is known; or its last line lies in the future; or its times step back.",
    not_to_be_taken_for="health: a log that could not be read at all is a gap, never a verdict.",
    resolution=("let the program write a time in each line", "set its clock and its zone right"),
)
STANDING = Spec(
    code="logs.standing-errors",
    title="errors are written as often as before",
    severity=Severity.NOTE,
    meaning="Errors or exceptions that the time before the window has at the same rate. Most often that is noise that everybody "
    "knows; but an outage that began before the baseline looks the same.",
    told="A template of level error or worse, or an exception, at much the same rate as before, that is a tenth of all that is "
    "written, and comes once a minute at least. Fewer are shown, and are no finding.",
    not_to_be_taken_for="a new error; a burst, which is more than before.",
    resolution=(
        "ask whether it is known, and since when it is so: look further back with --since",
        "mend what it names, or lower its level",
    ),
)
WATCHED = Spec(
    code="logs.watched",
    title="a line that you watch for was written",
    severity=Severity.WARNING,
    meaning="A pattern of your own settings matches. What it means, and how bad it is, is what the settings say.",
    told="Lines in the window that match a pattern of the table [patterns] in the settings file.",
    not_to_be_taken_for="a pattern of the catalogue, which has a code of its own.",
    resolution=("do what you wrote down for this line",),
)


def exceptions(facts: Facts) -> Iterator[Finding]:
    windows = log_view.windows(facts)
    for log_name, traces in log_news.news(facts, LogTrace).items():
        window = windows.get(log_name)
        new = [t for t in traces if not t.before]
        new.sort(key=lambda t: (_weight(t, window, facts), t.count), reverse=True)
        if new:
            yield _exception(new, window, facts)


def _weight(trace: LogTrace, window: LogWindow | None, facts: Facts) -> Severity:
    """A warning where it is new and goes on, or ends the log; a note where it is over, or was seen once or twice."""
    if trace.level in ("info", "debug") or log_news.is_chatter(trace, window, facts):
        return Severity.NOTE  # its writer has dealt with it, or it was before it had started well
    if log_view.is_over(trace.happened_at, window):
        return Severity.NOTE
    enough = trace.count >= log_news.FEW or log_view.is_last(trace.happened_at, window)
    return Severity.WARNING if enough else Severity.NOTE


def _exception(traces: list[LogTrace], window: LogWindow | None, facts: Facts) -> Finding:
    first, log_name = traces[0], traces[0].subject
    who = log_words.speaker(log_name, "", window)
    frame = tuple(_frame(first))
    # what the frame's own steps say, the catalogue's first need not say again
    rest = tuple(log_steps.by_the_catalogue(EXCEPTION))[1 if frame else 0 :]
    return Finding(
        EXCEPTION, log_news.beside(_weight(first, window, facts), window),
        Confidence.LIKELY if first.before is not None else Confidence.POSSIBLE, log_name,
        f"{who}: {'new: ' if first.before is not None else ''}{log_words.told(first)} ({_times(first.count)}){log_words.and_more(len(traces))}",
        evidence=(*traces[:log_news.SHOWN], *_heads(traces, facts)),
        resolution=(*log_words.read_lines(window, log_name, first.exception), *frame, *rest),
        about=log_news.about(log_name, window), impact=0.5,
    )  # fmt: skip


def _times(count: int) -> str:
    return f"{count:,} times" if count != 1 else "once"


def _heads(traces: Sequence[LogTrace], facts: Facts) -> list[LogTemplate]:
    """The first lines of these traces, as the templates tell them: once is enough, but their rates are worth seeing."""
    heads = {(t.subject, t.head) for t in traces if t.head}
    return [t for t in facts.of(LogTemplate) if (t.subject, t.template) in heads][:2]


_FRAME = r"(/?[\w./@+-]{1,200}):(\d{1,7})(?: in ([\w.<>$:]{1,100}))?"


def _frame(trace: LogTrace) -> Iterator[Step]:
    """How to look at the line of the user's own code."""
    found = re.match(_FRAME, trace.frame)
    if found is None:
        return
    file, line = found[1], int(found[2])
    folder, _, name = file.rpartition("/")
    if not folder.startswith("/"):  # where the sources are is not told
        yield Step(f"look at {file}, line {line}, and at its last changes: git log -L {line},+1:{file} in its checkout")
        return
    yield Step(f"look at {file}, line {line}", f"sed -n '{max(1, line - 5)},{line + 5}p' {quote(file)}")
    yield Step("see when it was changed last", f"git -C {quote(folder)} log -n 3 -L {line},+1:{quote(name)}")


def new_errors(facts: Facts) -> Iterator[Finding]:
    windows, begun = log_view.windows(facts), _begun(facts)
    for log_name, templates in log_news.templates(facts).items():
        window = windows.get(log_name)
        loud = [
            (Severity.NOTE if _follows(t, begun.get(log_name, [])) else _loudness(t, window, facts), -number, t)
            for number, t in enumerate(templates)
            if t.word == "new" and (t.level in log_news.BAD or _is_broken(t))
        ]
        if loud:
            loud.sort(reverse=True, key=lambda entry: entry[:2])
            yield _new([t for _, _, t in loud], loud[0][0], window)


# Seconds: an error that is first written so close to the first line of a known failure, or of an exception, goes with it.
_WITH = 5.0


def _begun(facts: Facts) -> dict[str, list[float]]:
    """When what is told of each log already was first written."""
    windows = log_view.windows(facts)
    begun: dict[str, list[float]] = {}
    for one in log_said.said(facts):
        if log_said.is_alarm(one, windows.get(one.log)):
            begun.setdefault(one.log, []).extend(line.first_at for line in one.lines if line.first_at is not None)
    for log_name, traces in log_news.news(facts, LogTrace).items():
        for trace in traces:
            new = not trace.before and trace.first_at is not None
            if new and _weight(trace, windows.get(log_name), facts) > Severity.NOTE:
                begun.setdefault(log_name, []).append(trace.first_at or 0.0)
    return begun


def _follows(template: LogTemplate, begun: Sequence[float]) -> bool:
    return template.first_at is not None and any(abs(template.first_at - at) <= _WITH for at in begun)


def _loudness(template: LogTemplate, window: LogWindow | None, facts: Facts) -> Severity:
    last = log_view.is_last(template.happened_at, window)
    if log_news.is_chatter(template, window, facts) or (
        log_view.is_over(template.happened_at, window) and template.level != "fatal"
    ):
        return Severity.NOTE
    if log_view.seconds_before(window) == 0 and _always(template, window):
        return Severity.NOTE
    enough = template.count >= (log_news.FEW if template.level in log_news.BAD else _WARNINGS)
    return Severity.WARNING if enough or template.level == "fatal" or last else Severity.NOTE


# A warning that says that something broke counts like an error, where there are as many as these.
_WARNINGS = 10


def _is_broken(template: LogTemplate) -> bool:
    return template.level == "warning" and template.broken and template.count >= _WARNINGS


# Without a baseline: an error is known noise where it was there from the first tenth of a log on that covers ten minutes
# at least, and is no more than one byte in fifty of it. A service that fails from its start on writes more of it.
_BEGINNING, _LONG, _LITTLE = 0.1, 600.0, 0.02


def _always(template: LogTemplate, window: LogWindow | None) -> bool:
    if window is None or window.first_at is None or window.last_at is None or template.first_at is None:
        return False
    covered = window.last_at - window.first_at
    early = template.first_at - window.first_at <= _BEGINNING * covered
    little = template.count * len(template.sample) <= _LITTLE * window.bytes
    return template.count >= log_news.FEW and covered >= _LONG and early and little


def _new(templates: list[LogTemplate], severity: Severity, window: LogWindow | None) -> Finding:
    first, log_name = templates[0], templates[0].subject
    before = log_view.seconds_before(window)
    kind = "error" if first.level in log_news.BAD else "warning"
    word = f"a new {kind}" if before else f"{'an' if kind == 'error' else 'a'} {kind}"
    none = f", none in the {span(before)} before" if before else ", with nothing before to compare with"
    return Finding(
        NEW_ERRORS, log_news.beside(severity, window),
        Confidence.LIKELY if before else Confidence.POSSIBLE, log_name,
        f"{log_words.speaker(log_name, first.sample, window)}: {word}: {log_words.body(first.sample)} "
        f"({log_words.times_written(first.count)}{none}){log_words.and_more(len(templates))}",
        evidence=tuple(templates[:log_news.SHOWN]),
        resolution=(*log_words.read_lines(window, log_name, first.sample), *log_steps.by_the_catalogue(NEW_ERRORS)),
        about=log_news.about(log_name, window), impact=0.4,
    )  # fmt: skip


# From this part of a log on, and so many a second, errors that were there before are no noise.
_MUCH, _OFTEN = 0.1, 1 / 60
# What the stack trace of one exception takes in a log, about.
_TRACE = 600


def standing(facts: Facts) -> Iterator[Finding]:
    windows = log_view.windows(facts)
    same: dict[str, list[tuple[float, LogTemplate | LogTrace]]] = {}
    for log_name, templates in log_news.templates(facts).items():
        same.setdefault(log_name, []).extend(
            (t.count * len(t.sample), t) for t in templates if t.word == "same" and t.level in log_news.BAD
        )
    for log_name, traces in log_news.news(facts, LogTrace).items():
        for trace in traces:
            rate = log_view.rate_of(trace, windows.get(log_name))
            if trace.before and trace.count >= log_news.FEW and not rate.risen:
                same.setdefault(log_name, []).append((trace.count * _TRACE, trace))
    for log_name, weighed in same.items():
        window = windows.get(log_name)
        much = [pair for pair in sorted(weighed, key=lambda pair: -pair[0]) if _is_much(*pair, window)]
        if much:
            yield _standing(log_name, [fact for _, fact in much], window)


def _is_much(size: float, fact: LogTemplate | LogTrace, window: LogWindow | None) -> bool:
    """Whether errors that were there before are so many that somebody should ask; those that are over need no question."""
    return (
        window is not None
        and size >= _MUCH * window.bytes
        and fact.count >= _OFTEN * log_view.seconds(window) > 0
        and not log_view.is_over(fact.happened_at, window)
    )


def _standing(log_name: str, same: list[LogTemplate | LogTrace], window: LogWindow | None) -> Finding:
    first = same[0]
    sample = first.sample if isinstance(first, LogTemplate) else first.exception
    what = log_words.body(sample) if isinstance(first, LogTemplate) else log_words.told(first)
    return Finding(
        STANDING, Severity.NOTE, Confidence.POSSIBLE, log_name,
        f"{log_words.speaker(log_name, sample, window)}: as often as before: {what} "
        f"({log_words.times_written(first.count)}){log_words.and_more(len(same))}",
        evidence=tuple(same[:log_news.SHOWN]),
        resolution=(*log_words.read_lines(window, log_name, sample), *log_steps.by_the_catalogue(STANDING)),
        about=log_news.about(log_name, window), impact=0.2,
    )  # fmt: skip


def unreadable(facts: Facts) -> Iterator[Finding]:
    for window in facts.of(LogWindow):
        if not window.alone or not window.bytes:
            continue
        if not window.form and window.how in ("tail", "whole"):
            why = "no line of it tells a time that we can read, so that nothing can be compared with what was before"
        elif window.ahead > _AHEAD:
            why = f"its last line lies {span(window.ahead)} in the future: its clock or its zone is not ours"
        elif window.back > _AHEAD:
            why = f"its times step back by {span(window.back)}: times from it are uncertain"
        else:
            continue
        yield Finding(
            UNREADABLE, Severity.NOTE, Confidence.CERTAIN, window.subject, f"{window.subject}: {why}", evidence=(window,),
            about=log_news.about(window.subject, window),
        )  # fmt: skip


def watched(facts: Facts) -> Iterator[Finding]:
    windows, told = log_view.windows(facts), {id(line) for one in log_said.said(facts) for line in one.lines}
    for known in facts.of(LogKnown):
        # One that is given a code of the catalogue speaks for that.
        if not known.pattern.startswith("settings:") or id(known) in told or known.role not in ("failure", "ordinary"):
            continue
        window = windows.get(known.subject)
        name = known.pattern.removeprefix("settings:")
        severity = Severity[known.severity.upper()] if known.severity else Severity.NOTE
        if known.role == "ordinary" and not log_view.rate_of(known, window).risen:
            severity = Severity.NOTE
        about = f": {known.name}" if known.name else ""
        yield Finding(
            WATCHED, log_news.beside(severity, window), Confidence.CERTAIN, known.subject,
            f"{known.subject}: {known.title or name}{about} ({log_words.times_written(known.count)}; pattern {name} of the settings)",
            evidence=(known,), resolution=(*log_words.read_lines(window, known.subject, known.text), *log_steps.by_the_catalogue(WATCHED)),
            about=log_news.about(known.subject, window), impact=0.5,
        )  # fmt: skip


RULES = (exceptions, new_errors, standing, unreadable, watched)
