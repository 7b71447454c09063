"""`rbdiag explain` and `rbdiag schema`."""

from __future__ import annotations

import json

import pytest

from rbdiag.diagnose import catalogue
from rbdiag.schema import schema
from tests.cli.program import Program


def test_the_list_has_every_finding_once(rbdiag: Program) -> None:
    lines = rbdiag("explain").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(catalogue())
    assert all(spec.title in line for spec, line in zip(catalogue().values(), lines, strict=True))


@pytest.mark.parametrize("code", catalogue())
def test_every_finding_is_explained_in_full(code: str) -> None:
    from rbdiag.cli.explain import page

    spec = catalogue()[code]
    text = page(spec, 72)
    words = " ".join(text.split())
    assert all(len(line) <= 72 for line in text.splitlines())
    for part in (spec.code, spec.title, spec.meaning, spec.told, spec.not_to_be_taken_for, *spec.resolution):
        assert " ".join(part.split()) in words


def test_the_schema_is_printed(rbdiag: Program) -> None:
    done = rbdiag("schema")
    assert done.returncode == 0
    assert json.loads(done.stdout) == schema()
