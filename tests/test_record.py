import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rbdiag.model import Fact, Facts, Report
from rbdiag.record import RecordError, dumps, loads, save, to_dict
from tests.diagnose.row import Row
from tests.diagnose.rows import ROWS
from tests.samples import SAMPLES, STARTED, critical, healthy, logged, process, spoiled

Spoil = Callable[[dict[str, Any]], object]


def put(path: str, value: object) -> Spoil:
    """Write the value at this place of the document, such as `facts.0.share`."""

    def spoil(doc: Any) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in steps:
            doc = doc[step]
        doc[last] = value

    return spoil


def without(path: str) -> Spoil:
    def spoil(doc: Any) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in steps:
            doc = doc[step]
        del doc[last]

    return spoil


def read(spoil: Spoil) -> Report:
    """The critical sample, spoiled in one place and read."""
    doc = json.loads(dumps(critical()))
    spoil(doc)
    return loads(json.dumps(doc))


@pytest.mark.parametrize("text", ["", "\x1b[2J\udcff\udc80\n\"'\\"], ids=["as it is", "hostile"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_what_is_written_is_read_again(sample: str, text: str) -> None:
    report = spoiled(SAMPLES[sample](), text)
    again = loads(dumps(report))
    assert list(again.facts) == list(report.facts)
    assert again == replace(report, findings=(), facts=again.facts)
    assert dumps(replace(again, findings=report.findings)) == dumps(report)


@pytest.mark.parametrize("value", [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 0])
def test_numbers_keep_every_digit(value: float) -> None:
    again = loads(dumps(replace(healthy(), facts=Facts([process(1, value)]))))
    (fact,) = again.facts
    assert repr(fact.share) == repr(value)  # type: ignore[attr-defined]


@pytest.mark.parametrize("thousandths", [0, 1, 123, 500, 999])
def test_times_to_the_millisecond_come_back_as_the_same_number(thousandths: int) -> None:
    moment = round(STARTED // 1 + thousandths / 1000, 3)
    again = loads(dumps(replace(healthy(), started_at=moment, facts=Facts([process(1, 0.5, seen_at=moment)]))))
    assert again.started_at == moment
    assert [fact.seen_at for fact in again.facts] == [moment]


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    assert read(put("started_at", "2026-11-23T09:30:00.123+01:30")).started_at == STARTED


def test_every_type_of_fact_can_be_saved_and_read() -> None:
    from rbdiag.facts import fact_types

    facts = [made(kind) for kind in fact_types().values()]
    assert list(loads(dumps(replace(healthy(), facts=Facts(facts)))).facts) == facts


def made(kind: type[Fact]) -> Fact:
    """A fact of this type with some value in every field, the first word of every closed list."""
    from dataclasses import fields
    from typing import Literal, get_args, get_origin, get_type_hints

    def some(hint: Any) -> Any:
        if get_origin(hint) is tuple and Ellipsis in get_args(hint):
            return (some(get_args(hint)[0]),) * 2
        if get_origin(hint) is tuple:
            return tuple(some(part) for part in get_args(hint))
        if get_origin(hint) is Literal:
            return get_args(hint)[0]
        if get_args(hint):
            return some(get_args(hint)[0])
        return {str: "x\x1b", int: 7, float: 0.125, bool: True}[hint]

    hints = get_type_hints(kind)
    return kind(**{f.name: some(hints[f.name]) for f in fields(kind)})


def test_keys_that_a_later_version_adds_are_passed_over() -> None:
    def add(doc: Any) -> None:
        for place in (doc, doc["checks"][0], doc["facts"][0], doc["verdict"]):
            place["a_later_key"] = [1]

    assert list(read(add).facts) == list(critical().facts)


def test_a_fact_without_a_field_that_was_added_later_is_read() -> None:
    place = [type(fact).__name__ for fact in critical().facts].index("ServiceCpu")
    assert dict(to_dict(critical())["facts"][place])["unit"] == "web.service"
    assert list(read(without(f"facts.{place}.unit")).facts)[place].unit == ""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        pytest.param(put("schema_version", 2), "schema_version 2, and this rbdiag reads 1", id="a later schema"),
        pytest.param(put("schema_version", True), "schema_version true", id="a schema version that is no number"),
        pytest.param(without("schema_version"), "no schema_version", id="no schema version"),
        pytest.param(without("host"), "the report has no host", id="a missing key"),
        pytest.param(without("verdict.coverage.gaps"), "no verdict.coverage.gaps", id="a missing key deep inside"),
        pytest.param(without("checks.0.decides"), r"no checks\[0\].decides", id="a missing key in a list"),
        pytest.param(put("host", 7), "host should be text, and is 7", id="a number for text"),
        pytest.param(put("host", None), "host should be text, and is null", id="null for text"),
        pytest.param(put("facts", {}), "facts should be a list, and is an object", id="an object for a list"),
        pytest.param(put("verdict", []), "verdict should be an object, and is a list", id="a list for an object"),
        pytest.param(put("checks.1", "x"), r"checks\[1\] should be an object, and is 'x'", id="text for an object"),
        pytest.param(put("exit_code", True), "exit_code should be a whole number, and is true", id="true for a number"),
        pytest.param(put("exit_code", 1.5), "exit_code should be a whole number, and is 1.5", id="half a number"),
        pytest.param(
            put("duration_seconds", float("nan")), "duration_seconds should be a number, and is nan", id="NaN"
        ),
        pytest.param(put("duration_seconds", True), "duration_seconds should be a number, and is true", id="true"),
        pytest.param(put("cost.bytes_read", 2**63), "cost.bytes_read should be a whole number or null", id="too big"),
        pytest.param(put("status", "fine"), "status should be one of ok, unknown, .*, and is 'fine'", id="no status"),
        pytest.param(put("checks.0.status", "fine"), "one of ok, note, warning, critical, gap", id="no mark"),
        pytest.param(put("checks.4.gap.reason", "lazy"), r"checks\[4\].gap.reason should be one of", id="no reason"),
        pytest.param(put("started_at", "yesterday"), "started_at in the report is no RFC 3339 time", id="no time"),
        pytest.param(put("started_at", "2026-11-23T08:00:00"), "is no RFC 3339 time with a zone", id="no zone"),
        pytest.param(put("started_at", "9999-12-31T23:59:59Z"), "is no RFC 3339 time", id="the end of time"),
        pytest.param(put("started_at", "0001-01-01T00:00:00+14:00"), "is no RFC 3339 time", id="before time"),
        pytest.param(put("timeline.0.at", "x"), r"timeline\[0\].at in the report is no", id="no time in the timeline"),
        pytest.param(put("facts.0.type", "Opinion"), r"facts\[0\].* does not know: 'Opinion'", id="an unknown fact"),
        pytest.param(put("facts.0.type", "\x1b[2J"), r"does not know: '\\x1b\[2J'", id="a hostile type"),
        pytest.param(without("facts.0.warning"), "a CpuThresholds, has no warning", id="a field of a fact is missing"),
        pytest.param(without("facts.0.subject"), r"the report has no facts\[0\].subject", id="a fact without subject"),
        pytest.param(
            put("facts.0.warning", "0.8"), r"facts\[0\].warning should be a number", id="a field of wrong type"
        ),
        pytest.param(put("facts.0.seen_at", 5), r"facts\[0\].seen_at should be", id="a time that is a number"),
        pytest.param(
            put("facts.1.window", "last"), r"facts\[1\].window should be one of first, confirm", id="no window"
        ),
        pytest.param(put("findings.0.severity", "awful"), "should be one of note, warning, critical", id="no severity"),
    ],
)
def test_what_is_no_report_is_refused_in_one_sentence(spoil: Spoil, sentence: str) -> None:
    with pytest.raises(RecordError, match=sentence) as refused:
        read(spoil)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        ([["/api", 7]], r"failing\[0\] in the report should have 3 parts, and has 2"),
        ([["/api", 7, 9, 1]], r"failing\[0\] in the report should have 3 parts, and has 4"),
        ([["/api", "7", 9]], r"failing\[0\]\[1\] should be a whole number, and is '7'"),
        ([7], r"failing\[0\] should be a list, and is 7"),
    ],
    ids=["a part is missing", "a part too many", "a part of wrong type", "no parts"],
)
def test_what_has_so_many_parts_is_read_as_such_or_refused(failing: list[object], sentence: str) -> None:
    doc = json.loads(dumps(logged()))
    fact = next(fact for fact in doc["facts"] if fact["type"] == "LogTraffic")
    fact["failing"] = failing
    with pytest.raises(RecordError, match=sentence):
        loads(json.dumps(doc))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "null", "{}", '"schema_version"', "[" * 100_000, "9" * 5000, "\ufeff{}", "\x1b[2J"],
    ids=[
        "nothing",
        "half",
        "a list",
        "a number",
        "null",
        "empty",
        "text",
        "deep",
        "long",
        "a byte order mark",
        "noise",
    ],
)
def test_what_is_no_document_at_all_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(RecordError) as refused:
        loads(text)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200


def test_a_number_beyond_all_numbers_is_refused() -> None:
    text = dumps(healthy()).replace('"share": 0.03125', '"share": 1e999')
    with pytest.raises(RecordError, match="share should be a number, and is inf"):
        loads(text)


def test_a_saved_report_is_readable_by_its_owner_only_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("before")
    file.chmod(0o644)
    save(critical(), file)
    assert list(loads(file.read_text()).facts) == list(critical().facts)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_report_is_put_together_where_it_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder for temporary files may be on another file system, from which nothing can be moved atomically."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no" / "such" / "folder"))
    monkeypatch.chdir(tmp_path)
    save(healthy(), "report.json")
    assert os.listdir(tmp_path) == ["report.json"]


def test_where_saving_fails_nothing_has_changed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("kept")
    with pytest.raises(OSError, match=r"irectory|not an ordinary file"):
        save(healthy(), tmp_path / "folder")
    with pytest.raises(FileNotFoundError):
        save(healthy(), tmp_path / "no" / "report.json")
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(tmp_path / "folder") == ["inside"]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_saved_report_is_judged_the_same_byte_for_byte(sample: str) -> None:
    from rbdiag.runbooks import judge

    judged, bugs = judge(SAMPLES[sample]())
    again, _ = judge(loads(dumps(judged)))
    assert bugs == ()
    assert dumps(again) == dumps(judged)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_world_that_is_saved_is_judged_the_same_byte_for_byte(row: Row) -> None:
    from rbdiag.runbooks import judge

    judged, _ = judge(replace(healthy(), facts=row.facts))
    read = loads(dumps(judged))
    assert list(read.facts) == list(judged.facts)
    assert dumps(judge(read)[0]) == dumps(judged)


@pytest.mark.parametrize("kind", ["a pipe", "a folder"])
def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "there"
    os.mkfifo(place) if kind == "a pipe" else place.mkdir()
    before = place.lstat()
    with pytest.raises(OSError, match="not an ordinary file"):
        save(healthy(), place)
    assert place.lstat().st_ino == before.st_ino
    assert list(tmp_path.iterdir()) == [place]


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    save(healthy(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert loads((tmp_path / "target").read_text()).runbook == "cpu"
