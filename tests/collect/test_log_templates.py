"""The shape of a line: what is masked, what stays because it is the meaning, and which lines belong together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbdiag.collect.log_merge import Holes, is_meant, merged
from rbdiag.collect.log_seek import Place
from rbdiag.collect.log_strip import Stripper
from rbdiag.collect.log_tally import Tally
from rbdiag.collect.log_templates import Miner, template
from rbdiag.collect.log_window import Block

SHAPES = [
    ("a number", "order 4711 stored", "order * stored"),
    ("a number with its unit", "took 12.5 ms, 3.4 GB, 12%", "took *"),
    ("a time", "at 2026-11-24T18:14:29.123Z done", "at * done"),
    ("hexadecimal", "request deadbeef01 at 0x7ffd12 done", "request * at * done"),
    ("an UUID", "job 550e8400-e29b-41d4-a716-446655440000 ran", "job * ran"),
    ("addresses and ports", "from 10.0.0.1:3306 to [2001:db8::1]:80 and ::1", "from * to * and *"),
    ("an address of a page", "fetch https://shop.example/a?b=c now", "fetch https://* now"),
    ("a path", "open /var/lib/mysql/ibdata1 or C:\\Temp\\x now", "open * or * now"),
    ("an e-mail address", "mail to alice.b@example.com sent", "mail to * sent"),
    ("a quoted value", "table 'shop.orders' is \"full\"", "table '*' is \"*\""),
    ("an apostrophe is no quote", "can't open what isn't there", "can't open what isn't there"),
    ("a token", "got eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9 back", "got * back"),
    ("a word with a number", "worker-12 on eth0 idle", "worker* on eth* idle"),
    ("a list of any length", "workers 1, 2, 3 and 4 idle", "workers * and * idle"),
    ("names in a row", "cannot resolve an1 an2 an3", "cannot resolve an*"),
    ("keys stay", "user=alice id=17 took=3ms", "user=alice id=* took=*"),
    ("an error number stays", "ERROR 1045 (28000): Access denied", "ERROR 1045 (*): Access denied"),
    ("an errno stays", "[Errno 111] Connection refused, [Errno -3]", "[Errno 111] Connection refused, [Errno -3]"),
    ("an exit status stays", "exit status 137 by signal 9", "exit status 137 by signal 9"),
    ("codes stay", "ORA-00942: no E11000 here, AH00124", "ORA-00942: no E11000 here, AH00124"),
    ("a HTTP status stays", "GET /orders/12 500 in 3 ms", "GET * 500 in *"),
    ("a long number after such a word goes", "code 48213377 sent", "code * sent"),
    (
        "JSON: the message, then the keys",
        '{"level":50,"time":1531171074631,"msg":"user 7 left","user":"bob","ip":"1.2.3.4","ok":true,"status":502}',
        "user * left level=50 time=* user=bob ip=* ok=true status=502",
    ),
    (
        "logfmt: the message stays text",
        'time="2026-11-24T18:14:29Z" level=error msg="dial tcp 10.0.0.1:3306: connect: connection refused"',
        'time="*" level=error msg="dial tcp *: connect: connection refused"',
    ),
]


@pytest.mark.parametrize(("text", "wanted"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
def test_a_line_has_this_shape(text: str, wanted: str) -> None:
    assert template(text) == wanted


@given(st.text(max_size=300))
def test_the_shape_of_a_shape_is_itself(text: str) -> None:
    assert template(template(text)) == template(text)


LINES = st.sampled_from([row[1] for row in SHAPES])


@given(st.lists(LINES, min_size=1, max_size=3).map(" ".join))
def test_the_shape_of_what_programs_write_is_its_own(text: str) -> None:
    assert template(template(text)) == template(text)


@given(st.integers(0, 10**9), st.integers(0, 2**64), st.ip_addresses(), st.uuids())
def test_other_numbers_make_no_other_shape(number: int, big: int, address: object, name: object) -> None:
    told = f"order {number} of {big:016x} from {address} as {name} took {number / 7:.2f} ms, id={number}"
    assert template(told) == "order * of * from * as * took *, id=*"


def tallied(lines: list[str]) -> dict[str, int]:
    tally = Tally(1, None)
    tally.feed(Block("\n".join(lines).encode(), Place(0, 0), 0))
    tally.merge()
    return {row.shape: sum(row.counts) for row in tally.rows.values()}


NAMES = [a + b + c for a in ("al", "be", "ci", "do") for b in ("ra", "ni", "lo") for c in ("ce", "na", "ll", "th", "m")]
CITIES = [a + b for a in ("par", "lon", "ber", "rom", "mad") for b in ("is", "don", "lin", "eth", "rid")]


def test_plain_words_that_vary_are_parameters() -> None:
    draw = random.Random(1)
    lines = [f"user {draw.choice(NAMES)} came from {draw.choice(CITIES)}" for _ in range(800)]
    lines += [f"{name} bought 3 items" for name in NAMES]
    assert tallied(lines) == {"user * came from *": 800, "* bought * items": len(NAMES)}


def test_values_of_a_key_are_parameters_where_there_are_many() -> None:
    lines = [f"login user={name} state=ok" for name in NAMES] + ["login user=root state=failed"]
    assert tallied(lines) == {"login user=* state=ok": len(NAMES), "login user=* state=failed": 1}


def test_few_words_in_one_place_are_not() -> None:
    lines = [f"cache {word} for orders" for word in ("hit", "miss", "full", "gone")] * 50
    assert len(tallied(lines)) == 4


def test_what_was_done_and_what_failed_is_never_a_parameter() -> None:
    verbs = ["stored", "refused", "dropped", "retried", "failed", "TimeoutError", "ENOSPC", "SIGKILL", "rejected"]
    verbs += [f"{verb}ed" for verb in ("bill", "paint", "pack", "ship", "print", "mail", "pick", "count", "weigh")]
    lines = [f"order 7 was {verb} at noon" for verb in verbs]
    assert len(tallied(lines)) == len(verbs)


def test_lines_that_share_a_few_words_do_not_belong_together() -> None:
    draw = random.Random(2)
    lines = [" ".join([*draw.sample(NAMES, 4), "in", draw.choice(CITIES)]) for _ in range(300)]
    assert all("*" not in shape or shape.split().count("*") < 5 for shape in tallied(lines))


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_lines_plays_no_part(order: random.Random) -> None:
    draw = random.Random(3)
    lines = [f"user {draw.choice(NAMES)} came from {draw.choice(CITIES)} with {n}" for n in range(200)]
    lines += [f"job {n} {word}" for n in range(9) for word in ("started", "ended", "failed")]
    shuffled = lines.copy()
    order.shuffle(shuffled)
    assert tallied(shuffled) == tallied(lines)


def test_what_was_learnt_fits_lines_to_come() -> None:
    holes = Holes()
    merged({f"user {name} left" for name in NAMES}, holes=holes)
    merged({f"login user={name}" for name in NAMES}, holes=holes)
    assert holes.fill("user zoe left") == "user * left"
    assert holes.fill("login user=zoe") == "login user=*"
    assert holes.fill("user zoe stayed") == "user zoe stayed"
    assert holes.fill("user failed left") == "user failed left"


def test_nothing_of_a_fault_is_stripped_from_a_block() -> None:
    """A parameter of the log's own is taken out of its blocks, but for what names a fault."""
    strip = Stripper()
    strip.choose(b"", lambda lines: Holes())
    told = [b"exit status 1", b"exit status 137", b"[Errno 28] no", b"[Errno 13] no", b'{"level":30}', b'{"level":50}']
    assert len(set(strip.strip(b"\n".join(told)).split(b"\n"))) == len(told)


def test_a_stripped_block_has_as_many_lines() -> None:
    draw = random.Random(4)
    lines = [
        f'{{"user":"{name}x{n}","id":"{draw.getrandbits(64):x}","msg":"user came from {draw.choice(CITIES)}"}}'
        for n, name in enumerate(draw.choices(NAMES, k=3000))
    ]
    tally = Tally(1, None)
    tally.feed(Block("\n".join(lines).encode(), Place(0, 0), 0))
    assert tally.lines == [3000]
    tally.merge()
    assert [row.shape for row in tally.rows.values()] == ["user came from * user=* id=*"]


@given(st.lists(st.binary(max_size=200), max_size=30).map(b"\n".join))
def test_any_bytes_are_counted(data: bytes) -> None:
    tally = Tally(2, None)
    tally.feed(Block(data, Place(0, 0), 0))
    tally.feed(Block(data, Place(0, 0), 1))
    tally.merge()
    assert tally.lines[0] == tally.lines[1] <= data.count(b"\n") + 1
    assert sum(sum(row.counts) for row in tally.rows.values()) == sum(tally.lines)


def test_shapes_without_end_take_memory_with_an_end() -> None:
    draw = random.Random(5)
    words = ["".join(draw.choices("bcdfgaeiou", k=6)) for _ in range(4000)]
    tally = Tally(1, None)
    for part in range(12):
        lines = [" ".join(draw.choices(words, k=draw.randrange(3, 9))) for _ in range(4000)]
        tally.feed(Block("\n".join(lines).encode(), Place(0, part << 20), 0))
    assert len(tally.rows) <= 24_000 + 8
    assert sum(sum(row.counts) for row in tally.rows.values()) == tally.lines[0] == 48_000
    assert tally.beyond > 0


def test_a_stream_tells_new_shapes_once() -> None:
    miner = Miner()
    assert miner.add("order 1 stored") == ("order * stored", True)
    assert miner.add("order 2 stored") == ("order * stored", False)
    assert miner.add("order 3 refused") == ("order * refused", True)


def test_a_stream_learns_which_words_vary() -> None:
    miner = Miner()
    told = [miner.add(f"order 7 came from {city}") for city in CITIES]
    assert sum(new for _, new in told) < 15
    assert told[-1] == ("order * came from *", False)


def test_a_stream_without_end_takes_memory_with_an_end() -> None:
    miner = Miner(most=50)
    told = [miner.add(f"{'x' * n} y{'z' * n}")[1] for n in range(1, 200)]
    assert sum(told) == 50


@given(st.text(max_size=200))
def test_any_text_may_stand_in_a_stream(text: str) -> None:
    miner = Miner()
    first, _ = miner.add(text)
    assert miner.add(text) == (first, False)


SIGNS = st.sampled_from([*"=[](){}<>\"'`\\/:.,;*-_%@#!|&~ \tA0e", "a=", "k.", '\\"', "::"])
RUNS = st.lists(st.tuples(SIGNS, st.integers(1, 3000)).map(lambda run: run[0] * run[1]), max_size=6).map("".join)


@settings(deadline=None, max_examples=60)
@given(st.lists(RUNS, min_size=1, max_size=30))
def test_long_runs_of_one_sign_are_words_as_others(texts: list[str]) -> None:
    shapes = [template(text) for text in texts]
    assert set(merged(shapes, 2)) == set(shapes)
    tally = Tally(1, None)
    tally.feed(Block("\n".join(text[:8000] for text in texts).encode(), Place(0, 0), 0))
    tally.merge()
    assert sum(row.counts[0] for row in tally.rows.values()) <= len(texts)


def test_many_equal_signs_in_a_word_are_read_without_end() -> None:
    word = "=" * 2000
    assert not is_meant(word)
    assert is_meant(f"{word}failed")
    assert set(merged([f"{word}{letter} came in" for letter in "abcdefghijklmnop"]).values()) == {"=* came in"}
