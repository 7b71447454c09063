"""Changes, services and limits of the host, as far as logs alone tell of them: the catalogue entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rbdiag.model import Facts, Finding, Severity, Spec

BAD_DEPLOY = Spec(
    code="change.bad-deploy",
    title="the failure began with a change of the code",
    severity=Severity.CRITICAL,
    meaning="The code that was put in place does not work: it does not even parse, or fails where it was changed.",
    told="A source file that the interpreter cannot parse; with more than logs: errors that begin with a deploy, in a file that it "
    "changed.",
    not_to_be_taken_for="errors that began before the deploy; a library that changed underneath; a person at an interactive prompt.",
    resolution=(
        "see what the last release changed in the file that is named",
        "roll back to the release before",
        "let the pipeline compile what it ships: python -m compileall, node --check",
    ),
    explains=("api.boot-failure", "api.app-exception", "api.route-missing", "svc.crash-loop", "svc.not-running"),
)
ENV_MISSING = Spec(
    code="change.env-missing",
    title="a variable of the environment, or the file with them, is missing",
    severity=Severity.CRITICAL,
    meaning="The program needs a setting from its environment that is not there: it was never set for this process, or its file is gone.",
    told="A lookup that fails of a name in capitals (`KeyError: 'DATABASE_URL'`), or `Failed to load environment files` of the "
    "service manager.",
    not_to_be_taken_for="a key in capitals that the program looks for in its data; a variable that is set and wrong.",
    resolution=(
        "see what the unit sets: systemctl show -p Environment -p EnvironmentFiles",
        "set the variable where the other settings of this service stand",
        "let the service manager read it again, and restart the service",
    ),
    explains=("api.boot-failure", "api.app-exception", "svc.crash-loop", "svc.not-running"),
)
DEPENDENCY_VERSION = Spec(
    code="change.dependency-version",
    title="a library or the runtime is missing, or has changed underneath",
    severity=Severity.CRITICAL,
    meaning="The program asks for a module, or a name in one, that the installed version does not have.",
    told="`ModuleNotFoundError` or `ImportError` at the end of a trace.",
    not_to_be_taken_for="a module of your own that was moved or misspelt: then it is the deploy; an optional one that is tried and "
    "done without.",
    resolution=(
        "see what is installed where this program runs, and when that changed",
        "install the version that is pinned, or pin the one that worked",
        "restart the service",
    ),
    explains=("api.boot-failure", "api.app-exception", "svc.crash-loop", "svc.not-running"),
)
PORT_TAKEN = Spec(
    code="svc.port-in-use",
    title="a service cannot have the address it is to listen on",
    severity=Severity.CRITICAL,
    meaning="Another process listens there, perhaps an old one of the same service; or the host has no such address; or the port is "
    "below 1024 and the service may not have it.",
    told="errno 98, or 99 or 13 on bind, in the service's log, in any of the words that runtimes have for it.",
    not_to_be_taken_for="a start that tries again and succeeds; 99 on connect, where the local ports have run out.",
    resolution=(
        "see who listens there: ss -ltnp",
        "end that one, if it has no business there, or give the service another port",
        "start the service",
    ),
    explains=("svc.not-running", "svc.crash-loop", "api.boot-failure", "api.upstream-refused", "api.no-live-upstreams"),
)
DEPENDENCY_NOT_READY = Spec(
    code="svc.dependency-not-ready",
    title="a service is not started because another one is not there",
    severity=Severity.CRITICAL,
    meaning="The service manager starts this unit only after another unit, mount or network, and that one failed. Why it failed is the "
    "root.",
    told="`Dependency failed for` in the service manager's log.",
    not_to_be_taken_for="a condition that was not met, which skips a unit on purpose.",
    resolution=(
        "see which of its dependencies failed: systemctl list-dependencies --failed, and the line before this one",
        "mend that one, and start it",
        "start this service",
    ),
    explains=("svc.not-running", "svc.crash-loop", "api.upstream-refused"),
)
WATCHDOG_KILLED = Spec(
    code="svc.watchdog-killed",
    title="the service manager killed a service that took too long",
    severity=Severity.WARNING,
    meaning="The service did not become ready, did not end, or did not report within the time that its unit gives it. A long recovery at "
    "the start is the usual reason, and being killed makes it longer.",
    told="`start operation timed out`, `stop operation timed out`, or `Watchdog timeout (limit` in the service manager's log.",
    not_to_be_taken_for="a kill for memory, which the kernel's log names; a service that ended by itself.",
    resolution=(
        "see what the service did until then: its own log",
        "mend what made it slow",
        "give it more time: systemctl edit, TimeoutStartSec=",
    ),
    explains=("svc.not-running", "svc.crash-loop", "api.upstream-refused"),
)
PIDS_LIMIT = Spec(
    code="host.pids-limit",
    title="no more processes or threads may be started",
    severity=Severity.CRITICAL,
    meaning="A limit on processes and threads is reached: of the control group, of the user, or of the host. What is running goes on; "
    "whatever wants another thread fails.",
    told="`can't start new thread`, `unable to create native thread`, `resource temporarily unavailable` on fork, or the kernel's `fork "
    "rejected by pids controller`.",
    not_to_be_taken_for="a lack of memory, though Java's message says so.",
    resolution=(
        "see who has most threads: ps -eLf, and the limit: systemctl show -p TasksMax -p TasksCurrent",
        "restart what leaks them",
        "raise TasksMax= only if the number is wanted",
    ),
    explains=("api.app-exception", "api.boot-failure", "api.upstream-reset", "svc.not-running"),
)

# What these tell from more than logs comes with their areas; log_said speaks for them.
RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = ()
