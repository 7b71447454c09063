"""What was altered: option files that were edited wrongly, and those that the running server has not taken yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from rbdiag.diagnose import db_view, steps
from rbdiag.facts.db import (
    Drift,
    Greeting,
    Login,
    OptionFile,
    OptionProblem,
)
from rbdiag.facts.tls import Certificate
from rbdiag.frozen import replace
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

CONFIG_INVALID = Spec(
    code="change.config-invalid",
    title="an option file was edited, and is wrong",
    severity=Severity.CRITICAL,
    meaning="An option file was changed lately, and the server refuses it: it does not start, or will not start the next "
    "time. While the server runs on, nobody notices until the next restart.",
    told="The program itself, or our own reading of the file by the same rules, rejects a line of a file that was changed "
    "since the server started or within the window.",
    not_to_be_taken_for="a server that is down for another reason while its files are valid; warnings, which stop no start; "
    "options written with loose-, which may be unknown.",
    resolution=("revert the line that is named", "let the program validate the file", "start the server"),
    explains=("db.config-invalid", "db.service-down", "svc.not-running", "svc.crash-loop"),
)  # fmt: skip


def config_invalid(facts: Facts) -> Iterator[Finding]:
    ours = [p for p in facts.of(OptionProblem) if p.side == "server"]
    fatal = [p for p in ours if p.stops]
    passed = [p for p in ours if not p.stops and p.word != "loop"]
    edited = _edited(fatal, facts)
    if edited and not _runs(facts):
        yield _invalid("the server cannot start", edited, fatal, Severity.CRITICAL, facts)
    elif any(f.newer for f in edited):
        yield _invalid("the next start will fail", edited, fatal, Severity.WARNING, facts)
    elif ignored := [p for p in passed if p.word == "ignored" and not _runs(facts)]:
        # started without what is in it (user, datadir, port), a server seldom comes up
        edited = _edited(ignored, facts)
        yield replace(
            _invalid("the server passes over its option file", edited, ignored, Severity.CRITICAL, facts),
            confidence=Confidence.LIKELY,
        )
    elif passed:
        edited = _edited(passed, facts)
        yield replace(
            _invalid("options without effect", edited, passed, Severity.WARNING if edited else Severity.NOTE, facts),
            spec=replace(CONFIG_INVALID, explains=()),  # what it does without them, nobody can tell from here
        )
    seen = {p.subject for p in ours}
    theirs = [p for p in facts.of(OptionProblem) if p.side == "client" and p.stops and p.subject not in seen]
    if theirs:
        yield replace(
            _invalid("MySQL's clients give up here", [], theirs, Severity.WARNING, facts),
            spec=replace(CONFIG_INVALID, explains=()), about=frozenset({theirs[0].subject}),
        )  # fmt: skip


def _runs(facts: Facts) -> bool:
    """Whether the server behind the target is there: a process, a greeting, or somebody logged in."""
    greets = any(g.word in ("mysql", "error") for g in facts.of(Greeting))
    return db_view.server(facts) is not None or greets or any(i.word == "ok" for i in facts.of(Login))


def _edited(problems: Sequence[OptionProblem], facts: Facts) -> list[OptionFile]:
    """The files of these problems that were changed within the window, or since the server started."""
    files = {p.file for p in problems}
    return [f for f in facts.of(OptionFile) if f.subject in files and (f.recent or f.newer)]


def _invalid(
    says: str, edited: Sequence[OptionFile], problems: Sequence[OptionProblem], severity: Severity, facts: Facts
) -> Finding:
    first, process = problems[0], db_view.server(facts)
    return Finding(
        CONFIG_INVALID, severity, Confidence.CERTAIN, first.subject, f"{says}: {first.subject}: {first.text}",
        evidence=(*problems[:4], *edited[:2], *([process] if process else [])),
        resolution=tuple(_mend(first, severity is Severity.CRITICAL, facts)),
        about=db_view.about(facts, *(p.subject for p in problems)), impact=0.9,
    )  # fmt: skip


def _mend(problem: OptionProblem, start: bool, facts: Facts) -> Iterator[Step]:
    root, file, line = steps.sudo(facts), quote(problem.file), problem.line
    if not problem.file:
        yield Step("look for the option in the option files and on the command line of the unit")
    elif line is None:
        yield Step("see whose file it is and who may write it", f"ls -l {file}")
    else:
        yield Step("look at the line and what is around it", f"{root}sed -n '{max(1, line - 3)},{line + 3}p' {file}")
    match problem.word:
        case "bad-group" if line is not None:
            yield Step(
                "close the bracket",
                f"{root}sed -i.before '{line}s/[[:space:]]*$/]/' {file}",
                "disruptive",
                f"sed -n {line}p {file}",
            )
        case "unknown-option" | "bad-value" if line is not None:
            yield Step(
                "take the line out (the file as it was is kept beside it), or write what was meant",
                f"{root}sed -i.before '{line}s/^/# /' {file}", "disruptive", f"sed -n {line}p {file}",
            )  # fmt: skip
        case "no-group" if line is not None and ("\ufeff" in problem.text or "\\ufeff" in problem.text):
            yield Step(
                "take the byte order mark off its beginning, which an editor left there",
                f"{root}sed -i.before '1s/^\\xEF\\xBB\\xBF//' {file}", "disruptive", f"head -c 3 {file} | od -c",
            )  # fmt: skip
        case "no-group" if line is not None:
            group = (
                "client" if problem.side == "client" else "mysqld" if db_view.flavour(facts) == "MySQL" else "mariadbd"
            )
            yield Step(
                f"put its group above it, such as [{group}]",
                f"{root}sed -i.before '{line}i [{group}]' {file}",
                "disruptive",
            )
        case "ignored" if line is None:
            yield Step("let nobody but its owner write it", f"{root}chmod o-w {file}", "disruptive", f"ls -l {file}")
        case _:
            yield Step("mend or remove what is named there", risk="disruptive")
    if problem.side == "server" and (check := _validator(facts)):
        yield Step(
            "let the program read its files: it starts nothing and complains of what is still wrong", f"{root}{check}"
        )
    if start:
        yield from db_view.start(facts)


def _validator(facts: Facts) -> str:
    """The command that has the server's program read its files; the data directory that is not there keeps it harmless."""
    process, config = db_view.server(facts), db_view.config(facts)
    program = (process.program if process else "") or (config.program if config else "")
    files = (process.option_files if process else ()) or (config.files if config else ())
    if not program:
        return ""
    one = f" --defaults-file={quote(files[0])}" if len(files) == 1 else ""
    how = "--validate-config" if db_view.flavour(facts) == "MySQL" else "--help --verbose --datadir=/nonexistent"
    return f"{quote(program)}{one} {how} > /dev/null"


# Options that decide on connecting, and what each explains where the files and the running server differ.
# Source: catalogue B; the rest of these are the options that the catalogue's own entries name as the thing to change.
_DECIDE: dict[str, tuple[str, ...]] = {
    "max_connections": ("db.too-many-connections",), "max_user_connections": ("db.user-connection-limit",),
    "port": ("db.wrong-endpoint",), "socket": ("db.wrong-endpoint",), "bind_address": ("db.wrong-endpoint", "db.bind-loopback"),
    "skip_networking": ("db.wrong-endpoint", "db.skip-networking"), "extra_port": (), "skip_name_resolve": ("db.name-resolution-slow",),
    "read_only": ("db.read-only",), "super_read_only": ("db.read-only",), "require_secure_transport": ("db.tls-required",),
    "ssl_cert": ("tls.expired", "tls.not-yet-valid", "db.tls-failed"), "ssl_key": (), "ssl_ca": (), "tls_version": (),
    "max_connect_errors": ("db.host-blocked",),
}  # fmt: skip
# Where only a larger value helps: one that was lowered in the file explains nothing that is there now.
_LIMITS = ("max_connections", "max_user_connections", "max_connect_errors")
_EXPLAINS = tuple(sorted({code for codes in _DECIDE.values() for code in codes}))

CONFIG_NOT_RESTARTED = Spec(
    code="change.config-not-restarted",
    title="an option file was changed, and the server has not taken it yet",
    severity=Severity.WARNING,
    meaning="The server reads its option files only when it starts. They were changed after that, and what runs differs "
    "from what they say: the change has no effect yet, or takes effect by surprise at the next restart.",
    told="A file is newer than the process, and a variable's running value differs from what the files say now, after both "
    "were brought to one form. A warning for what decides on connecting, a note for the rest.",
    not_to_be_taken_for="a file that was touched or only reformatted; values that the server rounds or fits by itself; a value "
    "set by hand with SET GLOBAL, which is the drift the other way.",
    resolution=("set it now with SET GLOBAL where the variable allows that", "else restart", "or put the running value into the file"),
    explains=_EXPLAINS,
)  # fmt: skip


def config_not_restarted(facts: Facts) -> Iterator[Finding]:
    shown = facts.last(Certificate)
    drifts = list({d.subject: d for d in facts.of(Drift) if d.subject != "ssl_cert" or _still_old(d, shown)}.values())
    waiting = [d for d in drifts if d.file_newer and d.origin != "SQL"]
    if waiting:
        yield _not_restarted(sorted(waiting, key=lambda d: d.subject not in _DECIDE), facts)
    by_hand = [d for d in drifts if d.origin == "SQL" and d.subject in _DECIDE]
    if by_hand:
        first = by_hand[0]
        yield Finding(
            replace(CONFIG_NOT_RESTARTED, explains=()), Severity.NOTE, Confidence.CERTAIN, first.subject,
            f"{first.subject} was set to {first.running or 'empty'} by hand; the next start goes back to {first.configured} "
            f"({first.file}:{first.line})",
            evidence=tuple(by_hand[:4]), about=frozenset({first.subject}),
            resolution=tuple(db_view.change_option(first.subject, first.running, "what runs now", facts)),
        )  # fmt: skip


def _still_old(drift: Drift, shown: Certificate | None) -> bool:
    """Whether the server shows another certificate than the one on disk; where none was seen, nothing is said."""
    return shown is not None and shown.fingerprint.lower() not in drift.configured.lower()


def _not_restarted(waiting: Sequence[Drift], facts: Facts) -> Finding:
    first, process = waiting[0], db_view.server(facts)
    decides = [d for d in waiting if d.subject in _DECIDE]
    explains = tuple(sorted({code for d in decides if _helps(d) for code in _DECIDE[d.subject]}))
    more = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
    files = [f for f in facts.of(OptionFile) if f.newer and f.subject in {d.file for d in waiting}]
    return Finding(
        replace(CONFIG_NOT_RESTARTED, explains=explains), Severity.WARNING if decides else Severity.NOTE,
        Confidence.CERTAIN if first.origin else Confidence.LIKELY, first.subject,
        f"{_still(first)}, changed after the server started{more}",
        evidence=(*waiting[:5], *files[:2], *([process] if process else [])),
        resolution=tuple(_take(waiting[:4], facts)),
        about=db_view.about(facts, *(d.subject for d in waiting)) if explains else frozenset(d.subject for d in waiting),
        impact=0.9 if explains else 0.2,
    )  # fmt: skip


def _still(drift: Drift) -> str:
    if drift.subject == "ssl_cert":
        return f"the server still shows the certificate it started with, and not {drift.configured.partition(', sha256')[0]}"
    return f"{drift.subject} is still {drift.running or 'empty'}: {drift.file}:{drift.line} says {drift.configured}"


def _helps(drift: Drift) -> bool:
    """Whether the value in the file could mend what the running one causes."""
    if drift.subject not in _LIMITS:
        return True
    want, have = _number(drift.configured), _number(drift.running)
    return want is not None and have is not None and (want > have or want == 0 < have)


def _number(text: str) -> float | None:
    digits, suffix = (text[:-1], text[-1].upper()) if text[-1:].upper() in ("K", "M", "G", "T") else (text, "")
    try:
        return float(digits) * 1024.0 ** " KMGT".index(suffix or " ")
    except ValueError:
        return None


def _take(waiting: Sequence[Drift], facts: Facts) -> Iterator[Step]:
    first = waiting[0]
    yield Step(
        "see what the file says and what runs",
        f"sed -n {first.line}p {quote(first.file)}; {db_view.sql(f'SELECT @@GLOBAL.{first.subject}', facts)}",
    )
    for d in waiting:
        if d.subject == "ssl_cert":
            load = "ALTER INSTANCE RELOAD TLS" if db_view.flavour(facts) == "MySQL" else "FLUSH SSL"
            yield Step(
                "load the new certificate now, without a restart",
                db_view.sql(load, facts),
                "disruptive",
                db_view.again(facts),
            )
        elif d.dynamic:
            yield db_view.set_global(d.subject, _literal(d.configured), "what the file says", facts)
    names = ", ".join(d.subject for d in waiting if not d.dynamic and d.subject != "ssl_cert")
    yield from db_view.restart(facts, f"only a restart takes {names}" if names else "or let a restart take the files")


def _literal(value: str) -> str:
    """A value as SQL writes it: numbers, and on and off, as they stand."""
    number = _number(value)
    if number is not None:
        return f"{number:.0f}" if number == int(number) else value
    return value.upper() if value.lower() in ("on", "off") else _quoted(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


RULES = (config_invalid, config_not_restarted)
