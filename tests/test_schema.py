import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from rbdiag.facts import fact_types
from rbdiag.model import Facts
from rbdiag.record import dumps
from rbdiag.schema import schema
from tests.diagnose.rows import ROWS
from tests.samples import SAMPLES, critical, healthy
from tests.test_record import Spoil, put, without

VALIDATOR = Draft202012Validator(schema(), format_checker=FormatChecker())


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())
    assert json.loads(json.dumps(schema())) == schema()


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_report_is_valid(sample: str) -> None:
    VALIDATOR.validate(json.loads(dumps(SAMPLES[sample]())))


def test_every_fact_of_every_world_is_valid() -> None:
    facts = Facts(fact for row in ROWS for fact in row.facts)
    VALIDATOR.validate(json.loads(dumps(replace(healthy(), facts=facts))))


def test_every_type_of_fact_is_described() -> None:
    defs = schema()["$defs"]
    for name, kind in fact_types().items():
        assert defs[name]["properties"]["type"] == {"const": name}
        assert defs[name]["description"], kind
    assert len(defs["FactDoc"]["oneOf"]) == len(fact_types())


def test_keys_may_be_added() -> None:
    doc: dict[str, Any] = json.loads(dumps(critical()))
    doc["a_later_key"] = doc["facts"][0]["a_later_key"] = 1
    VALIDATOR.validate(doc)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(put("schema_version", 2), id="another version"),
        pytest.param(without("verdict"), id="no verdict"),
        pytest.param(without("findings.0.against"), id="nothing against"),
        pytest.param(without("checks.0.gap"), id="no gap, not even null"),
        pytest.param(put("status", "fine"), id="no status of ours"),
        pytest.param(put("checks.0.status", "unknown"), id="no mark of ours"),
        pytest.param(put("checks.4.gap.reason", "lazy"), id="no reason of ours"),
        pytest.param(put("findings.0.severity", "awful"), id="no severity of ours"),
        pytest.param(put("findings.0.confidence", None), id="no confidence"),
        pytest.param(put("findings.0.resolution.0.risk", "none"), id="no risk of ours"),
        pytest.param(put("started_at", 1795420800), id="a time that is a number"),
        pytest.param(put("started_at", "2026-11-23 08:00"), id="a time without zone"),
        pytest.param(put("duration_seconds", "0.1"), id="a number that is text"),
        pytest.param(put("cost.queries", 0.5), id="half a query"),
        pytest.param(put("facts.0.type", "Opinion"), id="an unknown type of fact"),
        pytest.param(without("facts.0.warning"), id="a fact without a field"),
        pytest.param(put("facts.0.warning", None), id="a field that is not measured and must be"),
        pytest.param(put("facts.1.window", "last"), id="a word not in the list"),
    ],
)
def test_a_spoiled_report_is_not(spoil: Spoil) -> None:
    doc = json.loads(dumps(critical()))
    assert VALIDATOR.is_valid(doc)
    spoil(doc)
    assert not VALIDATOR.is_valid(doc)
