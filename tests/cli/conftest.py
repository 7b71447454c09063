from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.program import Program


@pytest.fixture
def rbdiag(tmp_path: Path) -> Program:
    """The program, with nothing around it but the test's own directory."""
    return Program(tmp_path)
