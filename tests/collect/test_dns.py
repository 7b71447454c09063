"""Names, asked of a name server that misbehaves on purpose, on a host whose files we write."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbdiag.collect import dns
from rbdiag.deadline import Deadline
from rbdiag.facts.dns import HostsEntry, NameAnswer, ResolverConfig, ServerAnswer
from rbdiag.model import Fact
from tests.servers.dns import GOOD, SIX, WRONG
from tests.servers.network import SERVER, Network, network

QUICK = "options timeout:1 attempts:1\n"
DEAD = "10.50.0.88"  # nobody is there


@pytest.fixture(scope="module")
def hosts() -> Iterator[Network]:
    with network() as made:
        made.start(made.server, sys.executable, "-m", "tests.servers.dns", SERVER)
        yield made


@pytest.fixture
def host(hosts: Network) -> Network:
    """The client, with the misbehaving server as its only name server."""
    hosts.file("resolv.conf", f"nameserver {SERVER}\n{QUICK}")
    hosts.file("hosts", "127.0.0.1 localhost\n")
    hosts.file("nsswitch.conf", "hosts: files dns\n")
    return hosts


def answer(facts: list[Fact]) -> NameAnswer:
    assert isinstance(facts[0], NameAnswer)
    return facts[0]


def said(facts: list[Fact]) -> set[tuple[str, str, str]]:
    return {(f.server, f.record, f.word) for f in facts if isinstance(f, ServerAnswer)}


@pytest.mark.parametrize(
    ("name", "word", "addresses", "words"),
    [
        ("good", "found", (GOOD,), {"A": "found", "AAAA": "empty"}),
        ("both", "found", (GOOD, SIX), {"A": "found", "AAAA": "found"}),
        ("wrong", "found", (WRONG,), {"A": "found", "AAAA": "empty"}),
        ("six", "found", (SIX,), {"A": "empty", "AAAA": "found"}),
        ("nowhere", "nameless", (), {"A": "nameless", "AAAA": "nameless"}),
        ("empty", "empty", (), {"A": "empty", "AAAA": "empty"}),
        ("servfail", "unanswered", (), {"A": "servfail", "AAAA": "servfail"}),
        ("declined", "unanswered", (), {"A": "declined", "AAAA": "declined"}),
        ("other", "unanswered", (), {"A": "failed", "AAAA": "failed"}),
        ("silent", "unanswered", (), {"A": "silent"}),
        ("garbage", "unanswered", (), {"A": "silent"}),
        ("slow", "unanswered", (), {"A": "found", "AAAA": "empty"}),
        ("long", "found", (GOOD,), {"A": "found", "AAAA": "empty"}),
    ],
)
def test_each_way_to_answer_has_its_word(
    host: Network, name: str, word: str, addresses: tuple[str, ...], words: dict[str, str]
) -> None:
    facts = host.look("dns", "names", f"{name}.lab.test")
    assert (answer(facts).word, set(answer(facts).addresses)) == (word, set(addresses))
    assert said(facts) == {(SERVER, record, w) for record, w in words.items()}


def test_a_question_that_was_lost_once_is_asked_again(host: Network) -> None:
    assert said(host.look("dns", "names", "lost.lab.test")) == {(SERVER, "A", "found"), (SERVER, "AAAA", "empty")}


def test_a_server_that_ignores_questions_about_ipv6(host: Network) -> None:
    assert said(host.look("dns", "names", "half.lab.test")) == {(SERVER, "A", "found"), (SERVER, "AAAA", "silent")}


def test_a_slow_server_is_told_with_its_time(host: Network) -> None:
    host.file("resolv.conf", f"nameserver {SERVER}\noptions timeout:4\n")
    facts = host.look("dns", "names", "slow.lab.test")
    assert answer(facts).word == "found"
    assert answer(facts).seconds > 1
    assert all(f.word != "silent" and f.seconds > 1 for f in facts if isinstance(f, ServerAnswer))


@pytest.mark.parametrize(("server", "word"), [("127.0.0.1", "refused"), (DEAD, "silent"), ("192.0.2.1", "unreachable")])
def test_where_no_name_server_is(host: Network, server: str, word: str) -> None:
    host.file("resolv.conf", f"nameserver {server}\n{QUICK}")
    facts = host.look("dns", "names", "good.lab.test")
    assert answer(facts).word == "unanswered"
    assert said(facts) == {(server, "A", word)}


def test_a_dead_server_before_one_that_answers(host: Network) -> None:
    host.file("resolv.conf", f"nameserver {DEAD}\nnameserver {SERVER}\n{QUICK}")
    facts = host.look("dns", "names", "good.lab.test")
    assert answer(facts).word == "found"
    assert answer(facts).seconds > 0.9
    assert said(facts) == {(DEAD, "A", "silent"), (SERVER, "A", "found"), (SERVER, "AAAA", "empty")}


def test_a_lookup_without_end_leaves_time_for_the_rest(host: Network) -> None:
    host.file("resolv.conf", f"nameserver {SERVER}\noptions timeout:30\n")
    facts = host.look("dns", "names", "silent.lab.test", seconds=2)
    assert answer(facts).word == "unanswered"
    assert 1.1 < answer(facts).seconds < 1.9
    assert said(facts) == {(SERVER, "A", "silent")}


def test_the_search_list_is_gone_through_as_far_as_needed(host: Network) -> None:
    host.file("resolv.conf", f"search nowhere.test lab.test more.test\nnameserver {SERVER}\n{QUICK}")
    facts = host.look("dns", "names", "good")
    assert answer(facts).word == "found"
    asked = [f.subject for f in facts if isinstance(f, ServerAnswer) and f.record == "A"]
    assert asked == ["good.nowhere.test."], "the server answers by the first label: the first suffix is enough"
    facts = host.look("dns", "names", "nowhere")
    asked = [f.subject for f in facts if isinstance(f, ServerAnswer) and f.record == "A"]
    assert asked == ["nowhere.nowhere.test.", "nowhere.lab.test.", "nowhere.more.test.", "nowhere."]


def test_the_hosts_file_wins_and_the_name_server_is_asked_all_the_same(host: Network) -> None:
    host.file("hosts", f"127.0.0.1 localhost\n{WRONG} other GOOD.lab.test # old\n{SIX}\tgood.lab.test\n")
    facts = host.look("dns", "names", "good.lab.test")
    assert set(answer(facts).addresses) == {WRONG, SIX}
    entries = [(f.line, f.address) for f in facts if isinstance(f, HostsEntry)]
    assert entries == [(2, WRONG), (3, SIX)]
    assert (SERVER, "A", "found") in said(facts)


@pytest.mark.parametrize("sources", ["files", "files myhostname", "files mymachines [!UNAVAIL=return]"])
def test_no_name_server_is_asked_where_nsswitch_names_none(host: Network, sources: str) -> None:
    host.file("nsswitch.conf", f"passwd: files\nhosts:   {sources}\n")
    facts = host.look("dns", "names", "good.lab.test")
    assert answer(facts).word in ("nameless", "failed")  # failed: a source that is not installed
    assert [f.word for f in facts if isinstance(f, ResolverConfig)] == ["no-dns"]
    assert said(facts) == set()


def test_an_empty_resolv_conf_means_a_server_of_our_own(host: Network) -> None:
    host.file("resolv.conf", "# nothing\n")
    facts = host.look("dns", "names", "good.lab.test")
    assert [f.word for f in facts if isinstance(f, ResolverConfig)] == ["empty"]
    assert said(facts) == {("127.0.0.1", "A", "refused")}


def test_localhost_is_asked_of_nobody(host: Network) -> None:
    facts = host.look("dns", "names", "localhost")
    assert answer(facts).word == "found"
    assert {type(f) for f in facts} == {NameAnswer, HostsEntry}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.5", "127.1"])
def test_an_address_means_itself(address: str) -> None:
    began = time.monotonic()
    facts = list(dns.names(address, Deadline(5)))
    assert [type(f) for f in facts] == [NameAnswer]
    assert answer(facts).word == "found"
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("name", ["a" * 64 + ".test", "..", "x" * 300])
def test_what_is_no_name_is_no_bug(host: Network, name: str) -> None:
    assert answer(host.look("dns", "names", name)).word in ("failed", "nameless")


@pytest.mark.parametrize(
    ("mode", "word"), [(0o644, "ok"), (0o600, "unreadable"), (0o000, "unreadable"), (None, "missing")]
)
def test_whether_everybody_can_read_resolv_conf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int | None, word: str
) -> None:
    path = tmp_path / "resolv.conf"
    if mode is not None:
        path.write_text("nameserver 10.0.0.2\n")
        path.chmod(mode)
    nsswitch = tmp_path / "nsswitch.conf"
    nsswitch.write_text("hosts: files dns\n")
    monkeypatch.setattr(dns, "RESOLV", str(path))
    monkeypatch.setattr(dns, "NSSWITCH", str(nsswitch))
    found = dns.resolver_files()
    assert found.config.word == word
    assert found.config.file == str(path)


@pytest.mark.parametrize(
    ("text", "hostname", "expected"),
    [
        ("nameserver 10.0.0.2\n", "app", (("10.0.0.2",), (), 1)),
        ("nameserver 10.0.0.2\n", "app.shop.example", (("10.0.0.2",), ("shop.example",), 1)),
        ("search a.test b.test.\noptions rotate ndots:5 timeout:1\n", "app.x", ((), ("a.test", "b.test"), 5)),
        ("search a.test\ndomain c.test d.test\n", "", ((), ("c.test",), 1)),
        ("search .\nnameserver ::1\n", "app.x", (("::1",), (), 1)),
        ("; no\n# nameserver 10.0.0.1\n nameserver 10.0.0.3\nnameserver name.test\nnameserver\n", "", ((), (), 1)),
        ("".join(f"nameserver 10.0.0.{n}\n" for n in range(1, 6)), "", (("10.0.0.1", "10.0.0.2", "10.0.0.3"), (), 1)),
        ("options ndots:99 ndots:x\n", "", ((), (), 15)),
    ],
    ids=["plain", "the host's own domain", "search and ndots", "the last of search and domain", "no search on purpose",
         "what is no server", "three at the most", "fifteen dots at the most"],
)  # fmt: skip
def test_resolv_conf_is_read_as_glibc_reads_it(text: str, hostname: str, expected: object) -> None:
    assert dns.parse_resolv(text.encode(), hostname) == expected


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("hosts: files dns\n", ("files", "dns")),
        ("hosts:files mdns4_minimal [NOTFOUND=return] dns # myhostname\n", ("files", "mdns4_minimal", "dns")),
        ("#hosts: files\npasswd: files\n", ("dns", "files")),
        ("", ("dns", "files")),
    ],
)
def test_nsswitch_conf_names_the_sources(text: str, sources: tuple[str, ...]) -> None:
    assert dns.parse_nsswitch(text.encode()) == sources


@pytest.mark.parametrize(
    ("name", "search", "ndots", "names"),
    [
        ("db1", ("a.test",), 1, ("db1.a.test.", "db1.")),
        ("db1.x", ("a.test",), 1, ("db1.x.", "db1.x.a.test.")),
        ("db1.x", ("a.test",), 2, ("db1.x.a.test.", "db1.x.")),
        ("db1.", ("a.test",), 1, ("db1.",)),
        ("db1", (), 1, ("db1.",)),
    ],
)
def test_the_names_that_glibc_tries(name: str, search: tuple[str, ...], ndots: int, names: tuple[str, ...]) -> None:
    config = ResolverConfig(subject="resolver", word="ok", servers=(), search=search, sources=())
    assert dns.absolute_names(name, dns.Resolver(config, (), ndots)) == names
