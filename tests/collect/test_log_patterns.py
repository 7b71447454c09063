"""What single lines say: the catalogue's examples, the same in other words, and lines that must say nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbdiag.collect.db_log_lines import tell
from rbdiag.collect.log_patterns import LINE, PATTERNS, Hit, Matcher, Pattern, pattern_from_settings
from rbdiag.collect.log_patterns_own import anchors_of, runs_away

RECORDED = Path(__file__).parent / "recorded"
MATCHER = Matcher()


def rows() -> list[tuple[str, str]]:
    """Recorded lines, each with what is to be told of it: number, name, likeliest code, what it is about."""
    lines = [row for row in (RECORDED / "log-patterns.txt").read_text().splitlines() if not row.startswith("#")]
    return [(line, says.strip()) for line, says in zip(lines[::2], lines[1::2], strict=True)]


ROWS = rows()


def words(hit: Hit | None) -> str:
    if hit is None:
        return "-"
    return f"{hit.pattern.number} {hit.pattern.name} {hit.codes[0] if hit.codes else '-'} {hit.name or '-'}"


@pytest.mark.parametrize(("line", "says"), ROWS, ids=[line[:60] for line, _ in ROWS])
def test_a_line_says_this(line: str, says: str) -> None:
    assert words(MATCHER.match(line.encode())) == says


def test_every_number_of_the_catalogue_has_a_pattern_and_an_example() -> None:
    assert {pattern.number for pattern in PATTERNS} >= set(range(1, 137))
    assert {pattern.name for pattern in PATTERNS} == {says.split()[1] for _, says in ROWS if says != "-"}


def test_names_are_unique_plain_words() -> None:
    names = [pattern.name for pattern in PATTERNS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(?:-[a-z]+)*", name) for name in names)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_a_pattern_is_complete(pattern: Pattern) -> None:
    assert pattern.codes or pattern.role in ("evidence", "start", "stop")
    assert not (pattern.codes and pattern.role in ("start", "stop"))
    groups = set(re.compile(pattern.regex).groupindex)
    if pattern.by:
        assert groups & {"by", "by2"}
    for name in pattern.about.split("@"):
        # a field of the line is looked for where the pattern has no such group
        assert not pattern.about or name in groups or name in ("upstream", "server", "file", "folder", "config", "unit",
                                                               "address", "peer", "looked")  # fmt: skip


# Anchors: proven from the parsed regex, in another way than the source finds them for user's patterns.

Text = str | None  # a run of characters, or something of any length


def expansions(parsed: Any) -> Iterator[tuple[Text, ...]]:
    """All sequences of texts and gaps that a regex can stand for, in lower case."""
    parts = [list(_element(str(op), value)) for op, value in parsed]
    for choice in product(*parts):
        yield tuple(piece for pieces in choice for piece in pieces)


def _element(name: str, value: Any) -> Iterator[tuple[Text, ...]]:
    if name == "LITERAL":
        yield (chr(value).lower(),)
    elif name == "IN" and all(str(op) == "LITERAL" for op, _ in value):
        yield from {(chr(code).lower(),) for _, code in value}
    elif name in ("AT", "ASSERT", "ASSERT_NOT"):
        yield ()
    elif name == "SUBPATTERN":
        yield from expansions(value[3])
    elif name == "BRANCH":
        for branch in value[1]:
            yield from expansions(branch)
    elif name in ("MAX_REPEAT", "MIN_REPEAT") and value[1] == 1:
        yield ()
        yield from expansions(value[2])
    else:
        yield (None,)


def runs(expansion: tuple[Text, ...]) -> list[str]:
    return "".join("\0" if piece is None else piece for piece in expansion).split("\0")


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_every_match_has_an_anchor(pattern: Pattern) -> None:
    for expansion in expansions(import_module("re._parser").parse(pattern.regex)):
        found = runs(expansion)
        assert any(anchor in run for anchor in pattern.anchors for run in found), found


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_every_anchor_is_of_use_and_long_enough(pattern: Pattern) -> None:
    every = [run for expansion in expansions(import_module("re._parser").parse(pattern.regex))
             for run in runs(expansion)]  # fmt: skip
    for anchor in pattern.anchors:
        assert anchor == anchor.lower()
        assert anchor.isascii()
        assert len(anchor) >= 4
        assert any(anchor in run for run in every), anchor


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_no_pattern_can_run_away(pattern: Pattern) -> None:
    assert runs_away(pattern.regex) == ""
    assert runs_away(pattern.but) == ""


# Order.


@pytest.mark.parametrize(
    ("first", "others"),
    [(39, (38, 113)), (50, (6,)), (51, (6, 50)), (41, (112,)), (4, (13, 14)), (78, (109,)), (27, (102,)), (3, (2, 98)),
     (118, (117,)), (105, (104,)), (111, (110,))],
)  # fmt: skip
def test_specific_patterns_come_first(first: int, others: tuple[int, ...]) -> None:
    places = {pattern.number: place for place, pattern in enumerate(PATTERNS)}
    assert all(places[first] < places[other] for other in others)


def test_a_user_s_pattern_comes_before_all() -> None:
    own = pattern_from_settings("payment-down", r"payments: .*connection refused", "the payment service is down")
    line = b"2026-11-24 10:00:00 ERROR payments: call failed: connection refused"
    assert words(Matcher((own,)).match(line)) == "0 payment-down - -"
    assert words(MATCHER.match(line)).startswith("98 peer-refused")


# Any line.


@given(st.binary(max_size=300))
def test_any_bytes_are_a_line(line: bytes) -> None:
    assert MATCHER.match(line) is None or line


@given(st.sampled_from([line for line, _ in ROWS]), st.binary(max_size=40), st.binary(max_size=40))
def test_a_known_line_between_any_bytes_gives_no_error(line: str, before: bytes, after: bytes) -> None:
    MATCHER.match(before + line.encode() + after)


def test_of_a_long_line_the_beginning_is_looked_at() -> None:
    words = b"Too many open files"
    assert MATCHER.match(b"x" * (LINE - len(words) - 1) + b" " + words) is not None
    assert MATCHER.match(b"x" * LINE + b" " + words) is None


def test_what_is_no_text_in_a_name_is_written_as_an_escape() -> None:
    hit = MATCHER.match(b"ERROR 1049 (42000): Unknown database '\xff\xfe'")
    assert hit is not None
    assert hit.name == r"\xff\xfe"


# The same lines are told by the database's own reader.

KINDS = {
    "db-socket-failed": "socket-failed", "db-connect-failed": "no-server", "db-connect-errno": "no-server unknown-host",
    "db-error-before-tls": "host-not-allowed host-blocked", "db-host-unknown": "unknown-host",
    "db-access-denied": "access-denied", "db-no-database-access": "no-db-access", "db-login-by-plugin": "auth-plugin",
    "db-unknown-database": "unknown-database", "db-command-denied": "privilege",
    "db-too-many-connections": "too-many-connections", "db-account-limit": "user-limit",
    "db-host-not-allowed": "host-not-allowed", "db-host-blocked": "host-blocked",
    "db-account-locked": "account-locked", "db-password-expired": "account-locked", "db-auth-plugin": "auth-plugin",
    "db-tls-demanded": "tls-required", "db-tls-failed": "tls-failed", "db-gone-away": "gone-away",
    "db-connection-lost": "lost-connection", "db-idle-closed": "idle-closed", "db-session-killed": "killed",
    "db-client-without-login": "unauthenticated", "db-packet-too-large": "packet", "db-client-vanished": "aborted",
    "db-client-nameless": "unresolved", "db-statement-timeout": "statement-timeout",
    "db-lock-wait-timeout": "lock-wait",
    "db-deadlock": "deadlock", "db-read-only": "read-only", "db-option-unknown": "unknown-option",
    "db-option-file-broken": "bad-option-file bad-value", "db-bind-failed": "port-taken address-missing socket-path",
    "db-another-server": "port-taken socket-path", "db-datadir-locked": "datadir-locked",
    "db-tmpdir-full": "tmpdir-full",
    "db-disk-full": "disk-full tmpdir-full", "db-file-forbidden": "datadir-permission socket-path",
    "db-filesystem-read-only": "fs-readonly", "db-too-many-files": "too-many-files",
    "db-table-full": "disk-full tmpdir-full",
    "db-table-crashed": "table-crashed", "db-innodb-corruption": "corruption", "db-crashed": "signal fatal",
    "db-recovery": "recovery", "db-no-memory": "no-memory", "db-not-initialised": "uninitialised",
    "db-tls-key": "tls-key",
    "db-replica-stopped": "replica-io replica-sql", "db-replica-log-gone": "replica-io", "db-ready": "ready",
    "db-stopped": "shutdown", "db-slow-flushing": "slow-io",
}  # fmt: skip
OF_DATABASES = [(line, says.split()[1]) for line, says in ROWS if says != "-" and int(says.split()[0]) <= 54]


def test_what_a_database_s_lines_are_called_elsewhere_is_known_of_all() -> None:
    assert set(KINDS) == {pattern.name for pattern in PATTERNS if pattern.number <= 54 and pattern.number}


@pytest.mark.parametrize(("line", "name"), OF_DATABASES, ids=[line[:60] for line, _ in OF_DATABASES])
def test_a_line_means_the_same_to_the_database_s_own_reader(line: str, name: str) -> None:
    kinds = {hit.kind for hit in (tell(line, "server"), tell(line, "client")) if hit is not None}
    assert kinds & set(KINDS[name].split())


def recorded_of_databases() -> list[str]:
    found = []
    for path in sorted((RECORDED / "db").glob("*.txt")):
        found += [row for row in path.read_text().splitlines() if not row.startswith(("#", "===", "---", "    "))]
    return found


@pytest.mark.parametrize("line", recorded_of_databases())
def test_no_recorded_line_of_a_database_means_one_thing_here_and_another_there(line: str) -> None:
    hit = MATCHER.match(line.encode())
    kinds = {told.kind for told in (tell(line, "server"), tell(line, "client")) if told is not None}
    if hit is not None and kinds and hit.pattern.name in KINDS:
        assert kinds & set(KINDS[hit.pattern.name].split()), hit.pattern.name


# The user's own.


@pytest.mark.parametrize(
    ("regex", "anchors"),
    [("order (\\d+) lost", ("order ",)), ("(?i)Payment FAILED", ("payment failed",)),
     ("refund declined|charge declined", ("refund declined", "charge declined")), ("[Ss]tock empty", ("stock empty",)),
     (r"\bqueue full\b", ("queue full",)), (r"(?:\d{1,3}\.){3}\d{1,3} banned", (" banned",)),
     ("user '[^']*' unknown to [a-z]+ realm", ("' unknown to ",)), ("(?:retry )?budget spent", ("budget spent",))],
)  # fmt: skip
def test_a_usable_pattern_and_what_scans_look_for(regex: str, anchors: tuple[str, ...]) -> None:
    own = pattern_from_settings("mine", regex, "mine", ("api.app-exception",), "warning")
    assert own.anchors == anchors == anchors_of(regex)
    assert (own.codes, own.severity, own.role) == (("api.app-exception",), "warning", "failure")


@pytest.mark.parametrize(
    ("regex", "reason"),
    [
        ("(", "no regular expression: missing )"),
        ("[z-a]", "no regular expression: bad character range"),
        ("a{1,999999999999}x", "no regular expression"),
        ("[a||b]lost", "no regular expression: Possible set union"),
        ("", "every line"),
        ("lost?|(?:order)?", "every line"),
        (r"\d+ \w+", "plain text of at least 3"),
        ("ab|lost order", "plain text of at least 3"),
        ("é{3}", "plain text of at least 3"),
        ("(a+)+ lost", "a repeat inside a repeat"),
        ("(?:a|ab)* lost", "alternatives that overlap"),
        ("(?:x{1,50}){50} lost", "a repeat inside a repeat"),
        ("x{2000} lost", "a repeat of 2000 times"),
        (r"(\w+) \1 lost", "refers back to a group"),
        ("order .*lost.*again", "bound its repeats"),
        (r"\s*\s*\s*lost", "bound its repeats"),
    ],
)
def test_a_pattern_that_is_not_usable_is_refused_with_the_reason(regex: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        pattern_from_settings("mine", regex, "mine")


@given(st.text(alphabet="ab(|)*+?.[]{},\\^$19-", max_size=24))
def test_any_text_is_a_pattern_or_refused(regex: str) -> None:
    try:
        own = pattern_from_settings("mine", regex, "mine")
    except ValueError:
        return
    assert all(len(anchor) >= 3 for anchor in own.anchors)


@given(st.data())
def test_what_a_usable_pattern_matches_has_an_anchor(data: st.DataObject) -> None:
    regex = data.draw(st.sampled_from([
        "ord(?:er|ure) (?:lost|gone)", "a?b?cdef+|xyz[0-9]", "(?i)stra(?:ss|sz)e [a-c]{2}q", "(?:foo){2,3}bar|bazz+",
        "x(?:yz(?:abc)?|zyx)w", "no [Aa]nswer|no reply from .{0,9}",
    ]))  # fmt: skip
    line = data.draw(st.from_regex(regex.encode()))
    assert any(anchor.encode() in line.lower() for anchor in anchors_of(regex))
