"""What the rules about logins and certificates say beyond who comes first: how bad, how sure, and what to do."""

from __future__ import annotations

import pytest

from rbdiag.diagnose import diagnose
from rbdiag.diagnose.login_steps import missing_right, table
from rbdiag.facts.db import Greeting
from rbdiag.facts.logs import LogEvent
from rbdiag.facts.sessions import ServerInfo
from rbdiag.facts.tls import Certificate
from rbdiag.model import Confidence, Facts, Finding, Severity
from tests.diagnose import db_world as w
from tests.diagnose.rows_login import DENIED, ROWS, account, admin, afar, asked, line, tls

DAY = 86400.0


def first(facts: Facts) -> Finding:
    return diagnose(facts).findings[0]


def named(name: str) -> Finding:
    return first(next(row.facts for row in ROWS if row.name == name))


def commands(finding: Finding) -> str:
    return "\n".join(step.command for step in finding.resolution).replace("'\"'\"'", "'")


@pytest.mark.parametrize(
    ("lived", "left", "said"),
    [
        (87 * DAY, 3 * DAY, True),
        (80 * DAY, 20 * DAY, False),
        (82 * DAY, 8 * DAY, False),  # under a tenth of its life, but time enough
        (10 * DAY, 2 * DAY, False),  # under a week, but of a short life
        (0.95 * DAY, 0.05 * DAY, True),
        (0.6 * DAY, 0.4 * DAY, False),
    ],
)
def test_a_certificate_that_nobody_has_renewed_is_a_note(lived: float, left: float, said: bool) -> None:
    facts = w.beside().but(w.make(Certificate, not_before=w.NOW - lived, not_after=w.NOW + left))
    found = [f for f in diagnose(facts).findings if f.code == "tls.expired"]
    assert [f.severity for f in found] == ([Severity.NOTE] if said else [])


def test_a_server_that_does_not_start_for_its_key_is_worse_than_one_without_tls() -> None:
    assert named("the server cannot load its key, and does not start").severity is Severity.CRITICAL
    assert named("the server could not load its key, and goes on without TLS").severity is Severity.WARNING


def test_an_alarm_out_of_a_log_is_neither_certain_nor_critical() -> None:
    heard = [f for row in ROWS if row.first for f in [first(row.facts)] if isinstance(f.evidence[0], LogEvent)]
    heard = [f for f in heard if f.code.startswith("db.")]
    assert len(heard) > 8
    for finding in heard:
        assert finding.severity is Severity.WARNING, finding.summary
        assert finding.confidence < Confidence.CERTAIN, finding.summary


def test_a_right_that_is_missing_is_certain_only_where_the_database_is_known_to_exist() -> None:
    assert named("an account has no right to a database that exists").confidence is Confidence.CERTAIN
    asked_blindly = "an account has no right to a database, and nobody knows whether it exists"
    assert named(asked_blindly).confidence is Confidence.LIKELY


def test_a_slow_greeting_is_certain_only_with_the_servers_own_word() -> None:
    assert named("the greeting takes two seconds, and the log says why").confidence is Confidence.CERTAIN
    assert named("the greeting takes two seconds, from afar").confidence is Confidence.LIKELY


def test_every_summary_fits_a_pager() -> None:
    for row in ROWS:
        for finding in diagnose(row.facts).findings:
            assert len(finding.summary) <= 150, finding.summary


def test_the_account_that_the_server_chose_is_named_in_the_statement() -> None:
    chosen = w.beside().but(asked("denied", 1045, DENIED), admin(), account("'app'@'10.0.%'"))
    assert "ALTER USER 'app'@'10.0.%' IDENTIFIED BY 'the secret that the application has'" in commands(first(chosen))
    assert "ALTER USER 'app'@'10.0.0.9' " in commands(first(afar(asked("denied", 1045, DENIED))))


def test_who_is_known_for_other_hosts_gets_an_account_and_who_is_in_the_way_is_removed() -> None:
    assert "CREATE USER 'app'@'10.0.0.9' " in commands(named("the user is known for other hosts only"))
    said = commands(named("the nameless account of localhost takes the client"))
    assert "DROP USER ''@'localhost'" in said
    assert "ALTER USER" not in said


def test_a_quote_in_a_name_ends_no_statement() -> None:
    said = commands(first(afar(asked("denied", 1045, "", user="o'x", account="o'x@h"))))
    assert "ALTER USER 'o''x'@'h' " in said


def test_a_blocked_host_is_let_in_as_its_server_does_it() -> None:
    blocked = asked("host-blocked", 1129, "Host '10.0.0.9' is blocked")
    assert "FLUSH HOSTS" in commands(first(afar(blocked, w.make(Greeting, word="error", code=1129))))
    mysql = w.make(Greeting, word="error", code=1129, flavour="MySQL")
    assert "TRUNCATE TABLE performance_schema.host_cache" in commands(first(afar(blocked, mysql)))


def test_a_limit_that_is_high_already_is_not_raised() -> None:
    assert "max_connect_errors" not in commands(named("the host is blocked, and the limit is high already"))
    assert "SET GLOBAL max_connect_errors = 10000" in commands(named("the host is blocked"))


@pytest.mark.parametrize(("code", "everybody"), [(3159, True), (1045, False)])
def test_the_demand_for_tls_is_taken_back_where_it_was_made(code: int, everybody: bool) -> None:
    word = "tls-required" if code == 3159 else "denied"
    second = asked("ok", None, attempt="with-tls", tls=True, tls_offered=True)
    said = commands(first(afar([asked(word, code, DENIED, tls_offered=True), second], tls="off")))
    assert ("SET GLOBAL require_secure_transport = OFF" in said) is everybody
    assert ("REQUIRE NONE" in said) is not everybody


def test_a_server_that_demands_tls_of_all_says_so_in_its_variable() -> None:
    second = asked("ok", None, attempt="with-tls", tls=True, tls_offered=True)
    inside = w.make(ServerInfo, require_secure_transport=True)
    facts = w.beside().but([asked("denied", 1045, DENIED, tls_offered=True), second], inside)
    assert "SET GLOBAL require_secure_transport = OFF" in commands(first(facts))


def test_the_grant_is_what_the_line_says_is_missing() -> None:
    lacking = line("privilege", "INSERT command denied to user 'ro'@'10.0.0.9' for table `shop`.`orders`", number=1142)
    assert "GRANT INSERT ON shop.orders TO 'ro'@'10.0.0.9'" in commands(first(w.afar().but(lacking)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT command denied to user 'a'@'%' for table 't'", ("SELECT", "'a'@'%'", "t")),
        ("SELECT command denied to user 'a'@'%' for column 'c' in table 't'", ("SELECT", "'a'@'%'", "t")),
        ("EXECUTE command denied to user 'a'@'h' for routine 'd.p'", ("EXECUTE", "'a'@'h'", "d.p")),
        ("DROP command denied to user ''@'h' for table `d`.`t`", ("DROP", "''@'h'", "d.t")),
        ("Access denied for user 'a'@'h' to database 'd-1'", ("", "'a'@'h'", "d-1")),
        ("The user specified as a definer ('x'@'y') does not exist", ("", "", "")),
    ],
)
def test_what_a_line_says_is_missing(text: str, said: tuple[str, str, str]) -> None:
    assert missing_right(text) == said


def test_only_names_that_need_it_are_quoted() -> None:
    assert table("shop.orders") == "shop.orders"
    assert table("my-shop") == "`my-shop`"
    assert table("") == "*"


def test_the_certificates_own_names_are_named() -> None:
    finding = first(tls("wrong-name", "Hostname mismatch", names=("a.test", "b.test")))
    assert "is for a.test, b.test, not for 127.0.0.1" in finding.summary
    assert finding.severity is Severity.CRITICAL


def test_an_account_name_never_leaves_its_quotes() -> None:
    from rbdiag.collect.db_words import quoted

    assert quoted("o'brien; DROP@10.0.0.9") == "'o''brien; DROP'@'10.0.0.9'"
    assert quoted("back\\slash@%") == "'back\\\\slash'@'%'"
