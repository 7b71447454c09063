# ruff: noqa: E501 - lines stand as programs write them
"""Faults of programs that the catalogue does not know, in forms of their own: what is new must be said all the same."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from tests.lab.logs_file import PAST, about, log_fault, log_twin, moments, put, steady
from tests.lab.scenario import Fault, Setup
from tests.lab.workbench import Lab

NEW = ("logs.new-errors",)
Stamp = Callable[[float], str]


def _local(form: str) -> Stamp:
    return lambda at: time.strftime(form, time.localtime(at))


def _millis(form: str, end: str = "") -> Stamp:
    return lambda at: datetime.fromtimestamp(at, UTC).strftime(form) + f"{at % 1 * 1000:03.0f}"[:3] + end


SYSLOG = _local("%b %e %H:%M:%S")
POSTGRES = _millis("%Y-%m-%d %H:%M:%S.", " UTC")
KLOG = _local("%m%d %H:%M:%S.000000")
REDIS = _millis("%d %b %Y %H:%M:%S.")
SECONDS: Stamp = lambda at: f"{at:.3f}"  # noqa: E731 - one of a row of stamps
ISO = _millis("%Y-%m-%dT%H:%M:%S.", "Z")


def _lines(stamp: Stamp, shapes: Sequence[str], times: Sequence[float], seed: int = 1) -> list[tuple[float, str]]:
    """A line for each time, of one of these shapes: {t} is the time, {n} a number."""
    chance = random.Random(seed)
    return [(at, chance.choice(shapes).format(t=stamp(at), n=chance.randrange(1000, 99999)) + "\n") for at in times]


def _log(lab: Lab, stamp: Stamp, usual: Sequence[str], wrong: Sequence[str], *, holds: str, every: float = 4.0,
         wrong_every: float = 20.0, since: float = 900.0) -> Fault:  # fmt: skip
    """Hours of the usual lines, and for the last quarter of an hour wrong ones among them."""
    now = time.time()
    lines = _lines(stamp, usual, list(moments(now - PAST, now, steady(1 / every))))
    lines += _lines(stamp, wrong, list(moments(now - since, now, steady(1 / wrong_every))), 2) if wrong else []
    log = put(lab, "service.log", "".join(line for _, line in sorted(lines)))
    return about(lab, log, holds=holds, at_least=10)


@log_fault(*NEW)
def logs_unseen_postgres(lab: Lab) -> Setup:
    """PostgreSQL whose write-ahead log cannot be archived."""
    usual = ("{t} [812] LOG:  checkpoint complete: wrote {n} buffers (0.1%); 0 WAL file(s) added, 0 removed",
             "{t} [{n}] shop@shop LOG:  duration: 3.1 ms  statement: SELECT 1")  # fmt: skip
    wrong = (
        "{t} [815] FATAL:  archive command failed with exit code 1",
        "{t} [{n}] shop@shop ERROR:  canceling statement due to conflict with recovery",
    )
    yield _log(lab, POSTGRES, usual, wrong, holds="FATAL:")


@log_fault(*NEW)
def logs_unseen_kubelet(lab: Lab) -> Setup:
    """A kubelet in klog's own form, whose images are gone."""
    usual = ('I{t}    {n} kubelet.go:2410] "SyncLoop (PLEG): event for pod" pod="shop/web-{n}"',
             'I{t}    812 reconciler.go:224] "operationExecutor.VerifyControllerAttachedVolume started" volume="v{n}"')  # fmt: skip
    wrong = (
        'E{t}    812 pod_workers.go:965] "Error syncing pod, skipping" err="failed to StartContainer with ImagePullBackOff" pod="shop/web-{n}"',
    )
    yield _log(lab, KLOG, usual, wrong, holds="ImagePullBackOff")


@log_fault(*NEW)
def logs_unseen_redis(lab: Lab) -> Setup:
    """Redis, which cannot save, and has signs for its levels: # is a warning, and its worst."""
    usual = (
        "812:M {t} * {n} changes in 60 seconds. Saving...",
        "812:M {t} * Background saving terminated with success",
    )
    wrong = (
        "812:M {t} # MISCONF Errors writing to the AOF file: Input/output error",
        "812:C {t} # Failed opening the temp RDB file for saving: Operation not permitted",
    )
    yield _log(lab, REDIS, usual, wrong, holds="# ")


@log_fault(*NEW)
def logs_unseen_logfmt(lab: Lab) -> Setup:
    """A service that writes logfmt, with an error that it never had."""
    usual = ('time={t} level=info msg="request done" path=/v1/items/{n} status=200 took=3ms',
             'time={t} level=info msg="cache refreshed" items={n} errors=0')  # fmt: skip
    wrong = ('time={t} level=error msg="quota ledger diverged" account={n} err="checksum mismatch"',)
    yield _log(lab, ISO, usual, wrong, holds="diverged")


@log_fault("logs.exception", *NEW)
def logs_unseen_ruby(lab: Lab) -> Setup:
    """A Ruby program with an exception and its frames."""
    usual = ("I, [{t} #812]  INFO -- : Completed 200 OK in {n}ms (Views: 0.3ms | ActiveRecord: 0.4ms)",)
    wrong = ("F, [{t} #812] FATAL -- : NoMethodError (undefined method `total' for nil:NilClass):\n"
             "app/models/order.rb:42:in `price'\napp/controllers/orders_controller.rb:17:in `show'",)  # fmt: skip
    yield _log(lab, _millis("%Y-%m-%dT%H:%M:%S.", "000"), usual, wrong, holds="NoMethodError")


@log_fault("logs.exception", *NEW)
def logs_unseen_dotnet(lab: Lab) -> Setup:
    """A .NET program with an exception out of another."""
    usual = ("{t} [INF] Request finished HTTP/1.1 GET /orders/{n} - 200 in 3.1ms",)
    wrong = ("{t} [ERR] Unhandled exception while handling order {n}\n"
             "System.InvalidOperationException: The ledger is closed\n"
             " ---> System.ArgumentNullException: Value cannot be null. (Parameter 'row')\n"
             "   at Shop.Ledger.Append(Row row) in /src/Shop/Ledger.cs:line 88\n"
             "   --- End of inner exception stack trace ---\n"
             "   at Shop.Orders.Handle(Int32 id) in /src/Shop/Orders.cs:line 41",)  # fmt: skip
    yield _log(lab, _millis("%Y-%m-%d %H:%M:%S."), usual, wrong, holds="InvalidOperationException")


@log_fault(*NEW, "api.upstream-refused", "svc.not-running", "api.no-live-upstreams")
def logs_unseen_haproxy(lab: Lab) -> Setup:
    """HAProxy by way of syslog, whose servers went away."""
    usual = (
        '{t} lb-1 haproxy[812]: 10.0.0.5:{n} [x] web~ shop/s1 0/0/1/3/4 200 512 - - ---- 12/12/0/0/0 0/0 "GET / HTTP/1.1"',
    )
    wrong = ('{t} lb-1 haproxy[812]: Server shop/s1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: 0ms.',
             "{t} lb-1 haproxy[812]: backend shop has no server available!")  # fmt: skip
    yield _log(lab, SYSLOG, usual, wrong, holds="no server available")


@log_fault("host.oom-kill", "host.oom-cgroup")
def logs_kernel_out_of_memory(lab: Lab) -> Setup:
    """The kernel's own lines in a system's log: it killed a process, for there was no memory left."""
    usual = ("{t} app-1 CRON[{n}]: (root) CMD (true)", "{t} app-1 systemd[1]: Started session-{n}.scope.")
    wrong = (
        "{t} app-1 kernel: [{n}.678901] Out of memory: Killed process {n} (java) total-vm:9871236kB, anon-rss:7654321kB, file-rss:0kB, shmem-rss:0kB, UID:102 pgtables:15320kB oom_score_adj:0",
    )
    yield _log(lab, SYSLOG, usual, wrong, holds="Out of memory", wrong_every=60)


@log_twin(allowed=("logs.standing-errors",))
def logs_unseen_healthy_klog(lab: Lab) -> Setup:
    """The same kubelet with its usual lines alone, a harmless error among them, always at the same rate."""
    usual = ('I{t}    {n} kubelet.go:2410] "SyncLoop (PLEG): event for pod" pod="shop/web-{n}"',
             'I{t}    812 prober.go:107] "Probe succeeded" err="<nil>" failed=false',
             'E{t}    812 dns.go:153] "Nameserver limits exceeded" err="Nameserver limits were exceeded, some nameservers have been omitted"')  # fmt: skip
    yield _log(lab, KLOG, usual, (), holds="Nameserver limits")


@log_twin()
def logs_unseen_epoch(lab: Lab) -> Setup:
    """Squid's log: seconds since the epoch, hits and misses, and a share of denied and failed requests as ever."""
    usual = ("{t}      3 10.0.0.7 TCP_HIT/200 5120 GET http://deb.debian.org/pool/{n}.deb - HIER_NONE/- text/plain",) * 20 + (
        "{t}      0 10.0.0.7 TCP_DENIED/403 3800 CONNECT 203.0.113.5:{n} - HIER_NONE/- text/html",
        "{t}  60001 10.0.0.8 TCP_MISS/503 4100 GET http://gone.test/errors/{n} - HIER_NONE/- text/html",
    )  # fmt: skip
    yield _log(lab, SECONDS, usual, (), holds="TCP_MISS/503")
