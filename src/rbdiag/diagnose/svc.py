"""Service units: one that does not run, that cannot be started, that nobody starts, or that dies again and again."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from rbdiag.diagnose import db_view, steps
from rbdiag.diagnose.db import away, elsewhere
from rbdiag.facts import span
from rbdiag.facts.cpu import Births
from rbdiag.facts.svc import Unit
from rbdiag.model import Confidence, Facts, Finding, Severity, Spec, Step

# systemd itself gives up after five starts in ten seconds; three with a short life in between are a loop.
_RESTARTS, _SHORT_LIFE = 3, 120.0
# The exit statuses by which systemd says that the program was never run (systemd.exec(5), "Process Exit Codes"), with
# the setting to look at and the look. A program may use the same numbers, so they say likely, not certain.
_NEVER_RAN = {
    200: ("CHDIR", "its working directory is not there or not to be entered", "WorkingDirectory"),
    203: ("EXEC", "its program is not there or cannot be run", "ExecStart"),
    209: ("STDOUT", "its output cannot be opened", "StandardOutput"),
    216: ("GROUP", "its group is not there", "Group"),
    217: ("USER", "its user is not there", "User"),
    226: ("NAMESPACE", "a path that it is to see or hide is not there", "ReadWritePaths"),
}
_MASKED = ("masked", "masked-runtime")


def _is_down(unit: Unit) -> bool:
    """Whether the unit does not run, or is only between two attempts."""
    return unit.active in ("failed", "inactive") or (unit.active == "activating" and unit.sub == "auto-restart")


def _gone(facts: Facts) -> bool:
    """Whether a unit that cannot run matters: without a target always, else where nobody on this host serves it."""
    found = db_view.target(facts)
    return found is None or (found.local and db_view.server(facts) is None and bool(away(facts)))


def _about(unit: Unit, facts: Facts) -> frozenset[str]:
    """The unit; and the database, where it is the unit behind the target."""
    behind = db_view.target(facts) is not None and unit.subject in db_view.about(facts)
    return db_view.about(facts, unit.subject) if behind else frozenset({unit.subject})


def _verify(unit: Unit) -> str:
    return f"systemctl status {quote(unit.subject)} --no-pager"


EXEC_FAILED = Spec(
    code="svc.exec-failed",
    title="the service manager cannot run the service's program",
    severity=Severity.CRITICAL,
    meaning="The unit ends before its program runs: the program, its interpreter, user, directory or namespace is not there.",
    told="The unit does not run, and its main process ended with 200/CHDIR, 203/EXEC, 209/STDOUT, 216/GROUP, 217/USER or "
    "226/NAMESPACE.",
    not_to_be_taken_for="1/FAILURE and the like: the program ran and gave up by itself.",
    resolution=(
        "see what the unit names: systemctl cat",
        "mend the path, its mode, its first line, or the user",
        "start it",
    ),
    explains=("svc.not-running", "svc.crash-loop", "db.service-down", "api.upstream-refused", "api.no-live-upstreams"),
)


def exec_failed(facts: Facts) -> Iterator[Finding]:
    for unit in facts.of(Unit):
        if unit.exit_status not in _NEVER_RAN or not _is_down(unit) or not _gone(facts):
            continue
        word, why, setting = _NEVER_RAN[unit.exit_status]
        name, root = quote(unit.subject), steps.sudo(facts)
        yield Finding(
            EXEC_FAILED, Severity.CRITICAL, Confidence.LIKELY, unit.subject,
            f"{unit.subject} cannot be started: {why} ({unit.exit_status}/{word})", evidence=(unit,),
            resolution=(
                Step("read what exactly is missing", f"journalctl -u {name} -n 20 --no-pager"),
                Step(f"see what the unit names ({setting}=)", f"systemctl cat {name}; systemctl show -p {setting} -p ExecStart -p User {name}"),
                Step("mend that, then start it", f"{root}systemctl daemon-reload; {root}systemctl reset-failed {name}; {root}systemctl start {name}",
                     "disruptive", _verify(unit)),
            ),
            about=_about(unit, facts), impact=1.0,
        )  # fmt: skip


DISABLED_OR_MASKED = Spec(
    code="svc.disabled-or-masked",
    title="the service is not meant to start",
    severity=Severity.CRITICAL,
    meaning="The unit is masked, so that nothing can start it; or it is disabled and nobody has started it since the boot.",
    told="The unit is inactive and masked; or inactive, disabled, and has never run since this host was booted.",
    not_to_be_taken_for="a unit that was stopped by hand; one that failed; a static one, which others start.",
    resolution=("ask who masked it, and why", "systemctl unmask", "systemctl enable --now"),
    explains=("svc.not-running", "svc.crash-loop", "db.service-down", "api.upstream-refused", "api.no-live-upstreams"),
)


def disabled_or_masked(facts: Facts) -> Iterator[Finding]:
    for unit in facts.of(Unit):
        masked = unit.file_state in _MASKED or unit.load == "masked"
        # both times are unknown only for a unit that has neither run nor ended since the boot
        never = unit.file_state == "disabled" and unit.inactive_for is None and unit.result in ("", "success")
        if unit.active != "inactive" or not (masked or never) or not _gone(facts):
            continue
        name, root = quote(unit.subject), steps.sudo(facts)
        text = "is masked: nothing can start it" if masked else "is disabled and was not started since the boot"
        # where a server runs without the unit, it may be disabled for that very reason
        sure = Confidence.POSSIBLE if elsewhere(facts) else Confidence.CERTAIN if masked else Confidence.LIKELY
        runtime = "--runtime " if unit.file_state == "masked-runtime" else ""
        yield Finding(
            DISABLED_OR_MASKED, Severity.CRITICAL, sure, unit.subject, f"{unit.subject} {text}",
            evidence=(unit,),
            resolution=(
                Step("see how it is set up, and ask whoever did that", f"systemctl status {name} --no-pager; ls -l /etc/systemd/system /run/systemd/system | grep -F {name}"),
                *([Step("let it be started again", f"{root}systemctl unmask {runtime}{name}", "disruptive", f"systemctl is-enabled {name}")] if masked else []),
                Step("start it now and at each boot", f"{root}systemctl enable --now {name}", "disruptive", _verify(unit)),
            ),
            about=_about(unit, facts), impact=1.0,
        )  # fmt: skip


NOT_RUNNING = Spec(
    code="svc.not-running",
    title="a service does not run",
    severity=Severity.CRITICAL,
    meaning="The unit is inactive or failed, and no process of it is left. Why it ended is the real question.",
    told="ActiveState is inactive or failed for a unit that was asked about. Behind a database this is db.service-down.",
    not_to_be_taken_for="a oneshot that has done its work; active (exited); a socket that starts its service when called.",
    resolution=("read in its log why it ended", "mend that, and start it"),
    explains=(
        "api.upstream-refused",
        "api.no-live-upstreams",
        "api.app-exception",
    ),
)


def not_running(facts: Facts) -> Iterator[Finding]:
    if db_view.target(facts) is not None:
        return  # whether a database is served is told by its endpoint: it may run without its unit
    for unit in facts.of(Unit):
        if (
            unit.active not in ("inactive", "failed")
            or unit.load == "not-found"
            or not unit.subject.endswith(".service")
        ):
            continue
        if unit.active == "inactive" and unit.service_type == "oneshot":
            continue
        name, root = quote(unit.subject), steps.sudo(facts)
        # what ended without an error was stopped by somebody, perhaps on purpose
        severity = Severity.CRITICAL if unit.active == "failed" else Severity.WARNING
        since = f" for {span(unit.inactive_for)}" if unit.inactive_for is not None else ""
        why = f" (result {unit.result})" if unit.result not in ("", "success") else ""
        masked = unit.file_state in _MASKED or unit.load == "masked"
        yield Finding(
            NOT_RUNNING, severity, Confidence.CERTAIN, unit.subject, f"{unit.subject} has been {unit.active}{since}{why}",
            evidence=(unit,),
            resolution=(
                Step("read what it said last", f"journalctl -u {name} -n 50 --no-pager"),
                *([] if masked else [Step("start it", f"{root}systemctl start {name}", "disruptive", _verify(unit))]),
            ),
            about=_about(unit, facts), impact=0.8,
        )  # fmt: skip


CRASH_LOOP = Spec(
    code="svc.crash-loop",
    title="a service starts and dies again and again",
    severity=Severity.CRITICAL,
    meaning="The service manager restarts a unit that ends soon after each start. Starting is what costs the CPU.",
    told="The unit has been restarted at least three times, and is starting now or has been up for less than two minutes.",
    not_to_be_taken_for="one restart after a deploy; a unit restarted long ago that has been up since.",
    resolution=("read the first error of the last run", "mend it, then systemctl reset-failed and start"),
    explains=(
        "cpu.fork-storm",
        "cpu.process-hog",
        "cpu.system-time",
        "svc.not-running",
        "db.service-down",
        "api.upstream-refused",
        "api.no-live-upstreams",
    ),
)


def crash_loop(facts: Facts) -> Iterator[Finding]:
    root = steps.sudo(facts)
    for unit in facts.of(Unit):
        young = unit.active_for is not None and unit.active_for < _SHORT_LIFE
        if unit.restarts < _RESTARTS or not (young or unit.active in ("activating", "failed")):
            continue
        name = quote(unit.subject)
        births = [b for b in facts.of(Births) if b.unit == unit.subject][-1:]
        yield Finding(
            CRASH_LOOP, Severity.CRITICAL, Confidence.LIKELY, unit.subject,
            f"{unit.subject} starts and dies again and again: restarted {unit.restarts} times, now {unit.active} ({unit.sub})",
            evidence=(unit, *births),
            resolution=(
                Step("read what it said before it died", f"journalctl -u {name} -n 80 --no-pager"),
                Step("see how it ended", _verify(unit)),
                Step("stop the loop until it is mended", f"{root}systemctl stop {name}", "disruptive", f"systemctl is-active {name}"),
                Step(
                    "then start it afresh", f"{root}systemctl reset-failed {name}; {root}systemctl start {name}", "disruptive",
                    _verify(unit),
                ),
            ),
            about=_about(unit, facts), impact=0.5,
        )  # fmt: skip


RULES = (exec_failed, disabled_or_masked, not_running, crash_loop)
