"""Errors that became much more frequent, and requests of which more fail, or slowly: against what was before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from shlex import quote

from rbdiag.diagnose import log_news, log_said, log_shares, log_steps, log_view, log_words
from rbdiag.diagnose.log_view import Rate
from rbdiag.facts import percent, span
from rbdiag.facts.logs import LogTemplate, LogTrace, LogTraffic, LogWindow
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# If everything is written that much more often, more is done, and errors grow alike ...
_GREW = 1.5
# ... as far as they keep within twice that.
_ALIKE = 2.0
_MINUTE = 60.0
ERROR_BURST = Spec(
    code="logs.error-burst",
    title="errors became much more frequent",
    severity=Severity.WARNING,
    meaning="An error that was there before is written far more often; or a larger part of the requests is answered with HTTP 5xx, of all "
    "or of one path; or nearly all are refused with 4xx; or answers, where the log has their times, became slow. That requests ceased is "
    "told as a note.",
    told="Three times the rate before, or more, and more than chance makes of small counts. HTTP 5xx: the part of the answers against "
    "that of the baseline, with the same test, and one in a hundred at least; since it began, or of one path, from half of ten requests on. "
    "4xx: half of the requests, where those who were served no longer are. Slow: the time within which 95 % are answered, three times as "
    "long as before and 0.2 s more.",
    not_to_be_taken_for="traffic that grew alike; the rhythm of a day; a log whose level was raised by a change.",
    resolution=(
        "see when it turned, and what changed then",
        "look at the paths or the lines that fail most",
        "mend what they name",
    ),
)


def error_bursts(facts: Facts) -> Iterator[Finding]:
    windows = log_view.windows(facts)
    traces = {
        log_name: [t for t in found if t.before and log_view.rate_of(t, windows.get(log_name)).risen]
        for log_name, found in log_news.news(facts, LogTrace).items()
    }
    templates = {
        log_name: [t for t in found if t.level in log_news.BAD and t.word == "more"]
        for log_name, found in log_news.templates(facts).items()
    }
    for log_name in dict.fromkeys((*templates, *traces)):
        more = [*templates.get(log_name, ()), *traces.get(log_name, ())]
        if more:
            yield _burst(log_name, more, windows.get(log_name), facts)


def _burst(log_name: str, more: list[LogTemplate | LogTrace], window: LogWindow | None, facts: Facts) -> Finding:
    first = more[0]
    rate, grew = _rate(first, window), _growth(log_name, more, window)
    with_all = grew >= _GREW and rate.times <= _ALIKE * grew
    over = log_news.is_chatter(first, window, facts) or log_view.is_over(first.happened_at, window)
    severity = Severity.NOTE if with_all or over else Severity.WARNING
    sample = first.sample if isinstance(first, LogTemplate) else log_words.told(first)
    alike = f"; all that it writes grew {grew:.1f} times" if with_all else ""
    return Finding(
        ERROR_BURST, log_news.beside(severity, window), Confidence.LIKELY, log_name,
        f"{log_words.speaker(log_name, sample, window)}: {rate.times:.0f} times as often as before: {log_words.body(sample)} ({_both(rate)}){alike}",
        evidence=tuple(more[:log_news.SHOWN]),
        resolution=(*log_words.read_lines(window, log_name, sample), *log_steps.by_the_catalogue(ERROR_BURST)),
        about=log_news.about(log_name, window), impact=0.3,
    )  # fmt: skip


def _rate(fact: LogTemplate | LogTrace, window: LogWindow | None) -> Rate:
    """Now and before, over what was really read of either: a template tells its own rates."""
    if isinstance(fact, LogTemplate) and fact.rate and fact.rate_before:
        return Rate(fact.count, fact.before, fact.count / fact.rate, fact.before / fact.rate_before)
    return log_view.rate_of(fact, window)


def _both(rate: Rate) -> str:
    """Both rates, in the unit in which they can be read."""
    if not rate.known:
        return f"{rate.count:,} lines, {rate.before:,} before"
    now, before = rate.count / rate.covered * _MINUTE, rate.before / rate.covered_before * _MINUTE
    return f"{now:.3g} a minute, {before:.2g} before"


def _growth(log_name: str, more: Iterable[LogTemplate | LogTrace], window: LogWindow | None) -> float:
    """How many times as much as before the log writes, the lines in question left out; 1 where that cannot be told."""
    now, before = log_view.seconds(window), log_view.seconds_before(window)
    if window is None or not now or not before or not window.baseline_bytes:
        return 1.0
    length = {id(f): len(f.sample if isinstance(f, LogTemplate) else str(f)) for f in more}
    rest = window.bytes - sum(f.count * length[id(f)] for f in more)
    rest_before = window.baseline_bytes - sum((f.before or 0) * length[id(f)] for f in more)
    return (rest / now) / (rest_before / before) if rest > 0 and rest_before > 0 else 1.0


def failing_answers(facts: Facts) -> Iterator[Finding]:
    windows = log_view.windows(facts)
    explained = {id(fact) for one in log_said.said(facts) for fact in one.joined}
    for traffic in facts.of(LogTraffic):
        window = windows.get(traffic.log)
        if id(traffic) in explained:
            continue  # what makes them fail is told, and these stand with it
        share, path = log_shares.failing(traffic, window), traffic.failing[0][0] if traffic.failing else ""
        alone = log_shares.failing_path(traffic, window)
        if alone is not None and (share is None or share.severity < alone[1].severity):
            path, of_path = alone
            yield _failing(traffic, window, of_path, f"HTTP 5xx for {_of_all(of_path)} of {path}", path)
        elif share is not None:
            worst = f", most of them of {path}" if path else ""
            yield _failing(traffic, window, share, f"HTTP 5xx for {_of_all(share)}{worst}", path)


def refused_requests(facts: Facts) -> Iterator[Finding]:
    windows = log_view.windows(facts)
    for traffic in facts.of(LogTraffic):
        window = windows.get(traffic.log)
        if (share := log_shares.refused(traffic, window)) is not None:
            yield _failing(traffic, window, share, f"HTTP {traffic.refused_lately[2]} for {_of_all(share)}", "")


def _failing(traffic: LogTraffic, window: LogWindow | None, share: log_shares.Share, what: str, path: str) -> Finding:
    before = "" if share.before is None else f"; {percent(share.before)} before"
    return Finding(
        ERROR_BURST, log_news.beside(share.severity, window), Confidence.LIKELY, traffic.log,
        f"{log_words.speaker(traffic.log, '', window)}: {what}{before}",
        evidence=(traffic,), resolution=tuple(_look_at_failing(traffic, window, path)),
        about=log_news.about(traffic.log, window), impact=share.part,
    )  # fmt: skip


def _of_all(share: log_shares.Share) -> str:
    """`100 % of the 114 requests of the last 3 min`."""
    if not share.turned:
        return f"{percent(share.part)} of {share.requests:,} requests"
    when = f"of the last {span(share.lasting)}" if share.lasting is not None else "at its end"
    return f"{percent(share.part)} of the {share.requests:,} requests {when}"


def _look_at_failing(traffic: LogTraffic, window: LogWindow | None, path: str) -> Iterator[Step]:
    plain = max(re.split(r"[*\s]", path), key=len)
    yield from (
        log_words.read_lines(window, traffic.log, "") if len(plain) < 2 else _of_path(traffic.log, plain, window)
    )
    yield Step("see what the service behind it says at that time: rbdiag logs with its log, too")
    yield from log_steps.by_the_catalogue(ERROR_BURST)


def _of_path(log_name: str, path: str, window: LogWindow | None) -> Iterator[Step]:
    for step in log_words.read_lines(window, log_name, ""):
        if step.command.startswith("tail "):
            file = log_words.file_of(log_name, window)
            yield Step(
                "see the answers to the worst path",
                f"grep -F -e {quote(path)} {quote(file)} | grep -E ' 5[0-9][0-9] ' | tail -n 20",
            )
        else:
            yield step


def slow_answers(facts: Facts) -> Iterator[Finding]:
    windows = log_view.windows(facts)
    for traffic in facts.of(LogTraffic):
        if (slow := log_shares.slow(traffic)) is None:
            continue
        window = windows.get(traffic.log)
        worst = f"; the slowest is {traffic.slow[0][0]}" if traffic.slow and not slow.path else ""
        whose = f"answers to {slow.path}" if slow.path else "answers"
        yield Finding(
            ERROR_BURST, log_news.beside(slow.severity, window), Confidence.LIKELY, traffic.log,
            f"{log_words.speaker(traffic.log, '', window)}: {whose} are slow: 95 % within {span(slow.now)}, "
            f"{span(slow.before)} before{worst}",
            evidence=(traffic,), resolution=tuple(_look_at_failing(traffic, window, slow.path)),
            about=log_news.about(traffic.log, window), impact=0.2,
        )  # fmt: skip


def requests_ceased(facts: Facts) -> Iterator[Finding]:
    windows = log_view.windows(facts)
    for traffic in facts.of(LogTraffic):
        window = windows.get(traffic.log)
        if (rates := log_shares.fell(traffic, window)) is None:
            continue
        before, now = rates
        yield Finding(
            ERROR_BURST, Severity.NOTE, Confidence.LIKELY, traffic.log,
            f"{log_words.speaker(traffic.log, '', window)}: requests fell from {before:.2g} a minute to {now:.1g}",
            evidence=(traffic,), about=log_news.about(traffic.log, window), impact=0.1,
        )  # fmt: skip


RULES = (error_bursts, failing_answers, refused_requests, slow_answers, requests_ceased)
