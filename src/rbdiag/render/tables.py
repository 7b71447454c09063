"""tabulate, imported without what it does not need here.

At its import tabulate asks importlib.metadata for its own version. That brings in the whole email package and costs
more CPU than all checks of a run together (10 of 14 ms); nobody reads the number. So it is given a stand-in to ask.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_METADATA = "importlib.metadata"


class _NotFound(Exception):
    """Stands for importlib.metadata.PackageNotFoundError."""


@contextmanager
def _stand_in() -> Iterator[None]:
    stand_in = ModuleType(_METADATA)
    stand_in.__dict__.update(version=lambda name: "unknown", PackageNotFoundError=_NotFound)
    sys.modules[_METADATA] = stand_in
    try:
        yield
    finally:
        del sys.modules[_METADATA]


def load() -> ModuleType:
    """The tabulate module. A version of it that wants more of importlib.metadata gets the real one."""
    if "tabulate" not in sys.modules and _METADATA not in sys.modules:
        try:
            with _stand_in():
                import tabulate
        except (ImportError, AttributeError):
            sys.modules.pop("tabulate", None)
    import tabulate

    return tabulate
