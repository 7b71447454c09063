"""What the rules about logs promise beyond their rows: how bad, how sure, what to do, and what goes with what."""

from __future__ import annotations

import re
import shlex
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbdiag.collect.log_patterns import PATTERNS
from rbdiag.diagnose import catalogue, diagnose, log_said, log_words
from rbdiag.diagnose.log_view import Rate
from rbdiag.facts.db import DbTarget
from rbdiag.frozen import replace
from rbdiag.model import Confidence, Facts, Finding, Severity
from tests.diagnose import log_world as w
from tests.diagnose import rows_logs
from tests.diagnose.log_world import DB, HOUR, NGINX, NOW, known, traffic, window, world
from tests.diagnose.rows_logs import DENIED, NO_DISK, NO_MODULE, OOM, ROWS, SIGNAL, refused, started, systemd


def first(facts: Facts) -> Finding:
    found = diagnose(facts)
    assert found.broken == ()
    return found.findings[0]


def commands(facts: Facts) -> list[str]:
    return [step.command for step in first(facts).resolution if step.command]


def test_every_code_that_a_pattern_speaks_for_is_in_the_catalogue() -> None:
    spoken = {code for p in PATTERNS for code in chain(p.codes, *p.by.values())}
    assert spoken <= set(catalogue())


def test_every_code_that_only_logs_tell_of_is_spoken_for_or_can_be_by_the_settings() -> None:
    spoken = {code for p in PATTERNS for code in chain(p.codes, *p.by.values())}
    own = {c for c in catalogue() if c.partition(".")[0] in ("api", "timeout")}
    assert own <= spoken | {code for code, _ in rows_logs.LINES}


def test_the_patterns_that_are_judged_by_name_exist() -> None:
    assert {p.name for p in PATTERNS} >= log_said._DIRECT | log_said._GUESSES


def test_the_codes_that_are_judged_by_name_exist() -> None:
    assert log_said._STAYS | log_said._OUTLIVES | set(log_said._CALLERS) <= set(catalogue())
    assert all(any(code.startswith(each) for code in catalogue()) for each in (*log_said._EACH, *log_said._ANSWERED))


def test_no_finding_explains_itself_by_way_of_others() -> None:
    """What goes round in circles would stand under nobody, and be shown nowhere."""
    explains = {code: set(spec.explains) for code, spec in catalogue().items()}

    def reached(code: str, seen: frozenset[str]) -> bool:
        return any(other in seen or reached(other, seen | {other}) for other in explains[code])

    assert [code for code in explains if reached(code, frozenset({code}))] == []


# How bad


@pytest.mark.parametrize(
    ("fact", "severity"),
    [
        pytest.param([refused()], Severity.CRITICAL, id="goes on"),
        pytest.param([refused(count=3)], Severity.CRITICAL, id="three requests"),
        pytest.param([refused(count=2)], Severity.WARNING, id="two requests"),
        pytest.param([refused(ago=1790.0, since=3000.0)], Severity.CRITICAL, id="ended just within the second half"),
        pytest.param([refused(ago=1810.0, since=3000.0)], Severity.WARNING, id="ended just before the second half"),
        pytest.param([refused(before=1600)], Severity.WARNING, id="as it always was"),
        pytest.param([refused(before=800)], Severity.CRITICAL, id="twice as often as it always was"),
        pytest.param(started(SIGNAL), Severity.WARNING, id="died, and is back"),
        pytest.param([SIGNAL], Severity.CRITICAL, id="died"),
        pytest.param([replace(SIGNAL, happened_at=NOW - 3500)], Severity.CRITICAL, id="died long ago, and is not back"),
        pytest.param([replace(OOM, happened_at=NOW - 3500)], Severity.WARNING, id="the kernel killed long ago"),
        pytest.param([known("worker-killed", "Worker was sent SIGKILL! Perhaps out of memory?", "host.oom-kill")],
                     Severity.WARNING, id="a guess"),
        pytest.param([known("settings:x", "x", "api.upstream-refused", severity="warning")], Severity.WARNING,
                     id="the settings say how bad"),
    ],
)  # fmt: skip
def test_how_bad_a_line_is(fact: list, severity: Severity) -> None:  # type: ignore[type-arg]
    assert first(world(*fact)).severity is severity


def test_half_of_all_requests_are_an_outage() -> None:
    assert first(world(traffic(failed=17_000))).severity is Severity.WARNING
    assert first(world(traffic(failed=18_100))).severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("count", "before", "covered", "covered_before", "risen"),
    [
        (4, 0, 1.0, 4.0, False),
        (5, 0, 1.0, 4.0, True),
        (3, 0, 1.0, 40.0, True),
        (100, 100, 1.0, 4.0, True),
        (60, 100, 1.0, 4.0, False),
        (10_000_000, 13_000_000, 1.0, 4.0, True),
        (1_000_000, 4_000_000, 1.0, 4.0, False),
        (1000, 0, 1.0, 0.0, False),
        (0, 10, 1.0, 4.0, False),
    ],
    ids=[
        "four where there was none", "five where there was none", "three where none was for long", "four times as many",
        "two and a half times as many", "many, three times as many", "many, as ever", "nothing to compare with", "none",
    ],
)  # fmt: skip
def test_what_is_more_than_before(
    count: int, before: int, covered: float, covered_before: float, *, risen: bool
) -> None:
    assert Rate(count, before, covered, covered_before).risen is risen


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1e9), st.floats(0, 1e9))
def test_any_counts_are_told_apart_or_not(count: int, before: int, covered: float, covered_before: float) -> None:
    rate = Rate(count, before, covered, covered_before)
    assert not (rate.risen and rate.usual and rate.before / rate.covered_before > rate.count / rate.covered)


# How sure


WORKER = known("worker-killed", "Worker (pid:23) was sent SIGKILL! Perhaps out of memory?", "host.oom-kill")
EXEC = systemd("unit-exec-failed", "a.service", "Failed at step EXEC", "svc.exec-failed")


@pytest.mark.parametrize(
    ("facts", "confidence"),
    [
        pytest.param(world(SIGNAL), Confidence.CERTAIN, id="by its own signal"),
        pytest.param(world(EXEC), Confidence.CERTAIN, id="by the manager of services"),
        pytest.param(world(refused()), Confidence.LIKELY, id="by its caller"),
        pytest.param(world(NO_MODULE, rows_logs.BOOT), Confidence.LIKELY, id="by two lines"),
        pytest.param(world(NO_DISK), Confidence.POSSIBLE, id="by a line with two meanings"),
        pytest.param(world(NO_MODULE), Confidence.POSSIBLE, id="by an import"),
        pytest.param(world(WORKER), Confidence.POSSIBLE, id="by a guess"),
    ],
)
def test_how_sure_a_line_is(facts: Facts, confidence: Confidence) -> None:
    assert first(facts).confidence is confidence


# What to do


def test_the_first_step_shows_the_lines_themselves() -> None:
    words = "Connection refused) while connecting to upstream"
    assert commands(world(refused()))[0] == f"grep -an -F -e '{words}' /var/log/nginx/error.log | tail -n 20"


SEARCH = "-F -e 'got signal'"


@pytest.mark.parametrize(
    ("log", "changes", "command"),
    [
        ("/srv/my logs/a.log", {}, f"grep -an {SEARCH} '/srv/my logs/a.log'"),
        ("/srv/a.log.1.gz", {}, f"zgrep -an {SEARCH} /srv/a.log.1.gz"),
        ("/srv/a.log", {"parts": ("/srv/a.log.2.xz", "/srv/a.log")}, f"grep -an {SEARCH} /srv/a.log"),
        ("journal of db.service", {}, f"journalctl -u db.service --since @{NOW - HOUR:.0f} --no-pager | grep {SEARCH}"),
        ("journal of pid 77", {"since": None}, f"journalctl _PID=77 --no-pager | grep {SEARCH}"),
        ("standard input", {}, ""),
    ],
)
def test_lines_are_read_where_they_stand(log: str, changes: dict, command: str) -> None:  # type: ignore[type-arg]
    fact = replace(SIGNAL, subject=log, text="26112 got signal 6")
    found = commands(world(window(log, **({"parts": (log,)} | changes)), fact))
    assert found[:1] == ([f"{command} | tail -n 20"] if command else [])


def test_what_a_line_names_is_looked_at() -> None:
    assert "sudo ss -ltnp 'sport = :9001'" in commands(world(refused()))
    assert any(c.startswith("curl ") and c.endswith(" http://127.0.0.1:9001/") for c in commands(world(refused())))
    assert "df -h /srv/shop/out; df -i /srv/shop/out" in commands(world(NO_DISK))
    invalid = replace(refused(), pattern="proxy-config-invalid", codes=("api.proxy-misconfigured",), name="",
                      text='unknown directive "proxy_foo" in /etc/nginx/nginx.conf:5')  # fmt: skip
    assert commands(world(invalid))[1:3] == ["sed -n '3,7p' /etc/nginx/nginx.conf", "sudo nginx -t"]


def test_the_line_of_the_users_own_code_is_looked_at() -> None:
    assert "sed -n '43,53p' /srv/shop/cart.py" in commands(world(w.trace()))
    assert "git -C /srv/shop log -n 3 -L 48,+1:cart.py" in commands(world(w.trace()))
    assert not any("sed" in c for c in commands(world(w.trace(frame=""))))


HOSTILE = st.text(max_size=60) | st.sampled_from([
    "'; rm -rf / #", "$(reboot)", "--help", "-rf", "unix:/tmp/`id`", "http://a'b:1/", "[::1]:99999", ":0", "/a b'c:12",
    "a.service\n", "*",
])  # fmt: skip


@given(HOSTILE, HOSTILE, st.sampled_from(sorted(catalogue())), st.sampled_from([p.name for p in PATTERNS]))
def test_whatever_a_line_says_it_does_not_run(name: str, text: str, code: str, pattern: str) -> None:
    """A log holds what others wrote: what of it stands in a command stands there in quotes."""
    found = diagnose(world(known(pattern, text, code, name=name), w.trace(frame=name, head=text), w.template(text)))
    assert found.broken == ()
    for finding in found.findings:
        for step in finding.resolution:
            assert "rm" not in shlex.split(step.command)
            bare = re.sub(r"'[^']*'", "", step.command.replace("""'"'"'""", ""))
            assert not re.search(r"[`$\n]|reboot", bare), step.command


# What goes with what


def test_answers_that_fail_stand_with_the_refusal_that_makes_them() -> None:
    found = first(world(refused(), traffic(failed=9000)))
    assert "36,000 requests" in " ".join(str(e) for e in found.evidence)


@pytest.mark.parametrize(
    ("line", "told"), [("E 7 ValueError (no such coupon)", 1), ("E 7 ValueError (no such shelf)", 2)]
)
def test_a_line_with_an_exception_is_told_beside_its_trace_where_it_says_another(line: str, told: int) -> None:
    facts = world(w.trace(head="ERROR *"), w.template(line))
    assert [f.code for f in diagnose(facts).findings] == ["logs.exception", "logs.new-errors"][:told]


def test_answers_stand_with_what_the_same_unit_says() -> None:
    one = replace(refused(), text="connect() failed (111: Connection refused)", name="http://127.0.0.1:7000")
    logs = [window(NGINX, owner="nginx.service"), window(w.ACCESS, owner="nginx.service")]
    assert [f.code for f in diagnose(world(one, traffic(failed=9000), *logs)).findings] == ["api.upstream-refused"]
    assert "logs.error-burst" in {f.code for f in diagnose(world(one, traffic(failed=9000))).findings}


def test_two_units_in_one_journal_are_two_stories() -> None:
    lines = [systemd("unit-exec-failed", f"{name}.service", "Failed at step EXEC", "svc.exec-failed") for name in "ab"]
    loop = systemd("unit-crash-loop", "a.service", "Start request repeated too quickly.", "svc.crash-loop")
    found = diagnose(world(*lines, loop)).findings
    assert [(f.code, f.subject, f.explained_by) for f in found] == [
        ("svc.exec-failed", "a.service", None),
        ("svc.crash-loop", "a.service", "svc.exec-failed"),
        ("svc.exec-failed", "b.service", None),
    ]


def test_two_logs_have_nothing_to_do_with_each_other_because_both_were_given() -> None:
    other = replace(rows_logs.BOOT, subject="/srv/other/other.log")
    found = {f.code: f.explained_by for f in diagnose(world(refused(), other)).findings}
    assert found == {"api.boot-failure": None, "api.upstream-refused": None}


def test_of_two_roots_the_one_that_could_explain_the_other_is_told_first() -> None:
    assert first(world(refused(), replace(rows_logs.BOOT, subject="/srv/other/other.log"))).code == "api.boot-failure"


def test_a_line_supports_a_finding_only_of_the_same_writer() -> None:
    recovery = known("db-recovery", "Starting crash recovery", "db.crashed", subject=DB, role="evidence")
    assert recovery in first(world(SIGNAL, recovery)).evidence
    assert replace(recovery, subject=w.APP) not in first(world(SIGNAL, replace(recovery, subject=w.APP))).evidence


@pytest.mark.parametrize(("owner", "joins"), [("mariadb.service", True), ("nginx.service", False), ("", False)])
def test_beside_what_was_seen_a_log_only_supports(owner: str, *, joins: bool) -> None:
    full = next(iter(rows_of("db.too-many-connections")))
    line = replace(DENIED, pattern="db-too-many-connections", codes=("db.too-many-connections",), role="failure")
    before = diagnose(full).findings
    after = diagnose(Facts((*full, window(DB, alone=False, owner=owner), line))).findings
    assert [(f.code, f.severity, f.confidence) for f in before] == [(f.code, f.severity, f.confidence) for f in after]
    assert (line in after[0].evidence) is joins


def rows_of(code: str) -> list[Facts]:
    from tests.diagnose.rows import ROWS as EVERYTHING

    return [r.facts for r in EVERYTHING if r.first == code and r.facts.of(DbTarget)]


@pytest.mark.parametrize(
    ("log", "speaker"),
    [
        ("/var/log/nginx/error.log", "nginx"), ("/var/log/mysql/error.log", "mysql"), ("shop.log", "shop"),
        ("/srv/shop/gunicorn-error.log", "gunicorn"), ("/var/log/apache2/site/access.log", "site"),
        ("/tmp/x1/app.log", "/tmp/x1/app.log"), ("/var/log/syslog", "/var/log/syslog"),
        ("standard input", "standard input"),
    ],
)  # fmt: skip
def test_the_speaker_is_the_program_where_the_log_names_one(log: str, speaker: str) -> None:
    assert log_words.speaker(log, "", None) == speaker
    assert log_words.speaker(log, "web1 cron[7]: no", None) == "cron"
    assert log_words.speaker(log, "", window(owner="shop.service")) == "shop"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[proxy:error] [pid 2:tid 1] AH01114: no backend", "AH01114: no backend"),
        ('{"level":"error","ts":1.5,"msg":"no \\"lease\\""}', 'no \\"lease\\"'),
        ("web1 multipathd[77]: sdb: error: path failed", "sdb: error: path failed"),
        ('level=error msg="cannot renew"', 'msg="cannot renew"'),
        ("18:00:01,123 [21] ERROR cannot renew: 7 left", "cannot renew: 7 left"),
        ("E: *** 5", "E: *** 5"), ("[error]", "[error]"), ("", ""),
    ],
)  # fmt: skip
def test_the_message_of_a_line(line: str, message: str) -> None:
    assert log_words.body(line) == message
    assert len(log_words.body(line + "x" * 500)) <= 141


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_summary_is_one_line_that_a_pager_can_show(row) -> None:  # type: ignore[no-untyped-def]
    for finding in diagnose(row.facts).findings:
        assert len(finding.summary) < 400
        assert "\n" not in finding.summary
