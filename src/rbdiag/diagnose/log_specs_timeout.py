"""Where time goes, as logs tell: the catalogue entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rbdiag.model import Facts, Finding, Severity, Spec

DEPENDENCY_SLOW = Spec(
    code="timeout.dependency-slow",
    title="something that the service calls takes the time",
    severity=Severity.WARNING,
    meaning="The service waits for another one, its database, cache or an HTTP service, and gives up at its own limit. It is itself idle "
    "meanwhile.",
    told="A read timeout of a client library in the service's log (`Read timed out`, `Client.Timeout exceeded while awaiting headers`).",
    not_to_be_taken_for="a timeout while connecting, where the other side never took the connection; a service that computes.",
    resolution=(
        "find out which call it is, and time it from the same host",
        "diagnose what is called",
        "give the call a limit well below the caller's own, and something to fall back on",
    ),
    explains=("timeout.worker-starvation", "api.upstream-timeout", "api.app-exception"),
)
WORKER_STARVATION = Spec(
    code="timeout.worker-starvation",
    title="all workers are busy, and requests wait for one",
    severity=Severity.CRITICAL,
    meaning="Every worker or connection that the service may have is in use. Even the simplest request is slow or refused; workers that "
    "take too long are killed by their own manager.",
    told="The server's own words: `WORKER TIMEOUT`, `HARAKIRI`, `server reached max_children`, `worker_connections are not enough`, or "
    "a socket that answers the proxy with errno 11.",
    not_to_be_taken_for="a process that hangs altogether, without any progress; a start during which a worker takes long once.",
    resolution=(
        "see what the workers do: a stack of one, or the requests that take longest",
        "shorten those calls, and give them limits of their own",
        "more workers only if CPU and memory are there for them",
    ),
    explains=("timeout.accept-queue-full", "api.upstream-timeout", "api.upstream-reset"),
)
ACCEPT_QUEUE_FULL = Spec(
    code="timeout.accept-queue-full",
    title="new connections wait in a queue that is full",
    severity=Severity.CRITICAL,
    meaning="The service takes connections more slowly than they come. Its queue in the kernel is full, and new ones are dropped: "
    "clients wait and time out while connecting, though the port is open.",
    told="`listen queue of socket … full` in the application server's log, `Possible SYN flooding on port` in the kernel's, or the proxy's "
    "`upstream timed out … while connecting`.",
    not_to_be_taken_for="a firewall that drops packets, where the queue is empty; an attack: the kernel's words are the same for a slow "
    "service.",
    resolution=(
        "see the queue: ss -ltn, Recv-Q against Send-Q",
        "find what keeps the service from taking connections",
        "raise its backlog, and net.core.somaxconn with it, only if it comes in bursts",
    ),
    explains=("api.upstream-timeout",),
)
BUDGET_INVERTED = Spec(
    code="timeout.budget-inverted",
    title="clients give up before the service does",
    severity=Severity.WARNING,
    meaning="The caller's time limit is shorter than the work, or than the limit of the next hop: work goes on for nobody, and is often "
    "asked for again.",
    told="Answers of 499, or `client prematurely closed connection`, in the proxy's log, new or far more often than before.",
    not_to_be_taken_for="people who close a page, which every site has; a service that has become slow: then that is the root.",
    resolution=(
        "see after how many seconds they leave: always the same number is a limit",
        "mend what has become slow, if it has",
        "order the limits: the outer one longer than the inner",
    ),
)

# What these tell from more than logs comes with the runbook for timeouts; log_said speaks for them.
RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = ()
