"""tabulate comes without importlib.metadata, works as ever, and everybody else gets the real module."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
{before}
from rbdiag.render import tables
made = tables.load()
print(made.tabulate([["a", "1"], ["bb", "22"]], tablefmt="plain"))
print("metadata", "importlib.metadata" in sys.modules, "email" in sys.modules)
import importlib.metadata
print(importlib.metadata.version("click") != "unknown", tables.load() is made)
"""


@pytest.mark.parametrize(
    ("before", "loaded"),
    [
        ("", "metadata False False"),
        ("import importlib.metadata", "metadata True True"),
        ("import tabulate", "metadata True True"),
    ],
    ids=["nothing loaded yet", "importlib.metadata loaded already", "tabulate loaded already"],
)
def test_tabulate_is_whole_and_leaves_nothing_false_behind(before: str, loaded: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(before=before)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["a    1", "bb  22", loaded, "True True"]


def test_a_tabulate_that_wants_more_gets_the_real_module() -> None:
    code = """
import sys, types
class Wants:
    def find_spec(self, name, path=None, target=None):
        if name == "tabulate" and "importlib.metadata" in sys.modules:
            import importlib.metadata
            importlib.metadata.distributions  # the stand-in has none: AttributeError
sys.meta_path.insert(0, Wants())
from rbdiag.render import tables
print(tables.load().__version__ != "unknown")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
