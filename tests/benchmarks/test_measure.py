"""The yardstick itself: what it calls met, what a ratio is, and that it leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import main
from tests.benchmarks.measure import Cost, Result, Side, WrongAnswer, compare, in_turn, median
from tests.benchmarks.programs import bare_click, environment, sleeping


@pytest.mark.parametrize(
    ("value", "limit", "word"),
    [
        pytest.param(0.5, 0.5, "met", id="at the limit"),
        pytest.param(0.501, 0.5, "MISSED", id="just above"),
        pytest.param(9.9, None, "", id="no target"),
    ],
)
def test_met_or_missed(value: float, limit: float | None, word: str) -> None:
    result = Result("start", value, " x", limit, "")
    assert result.met == (word != "MISSED")
    assert ("MISSED" in str(result), " met" in str(result)) == (word == "MISSED", word == "met")


@pytest.mark.parametrize(("values", "middle"), [([3, 1, 2], 2), ([4, 1, 3, 2], 2.5), ([7], 7)])
def test_median(values: list[float], middle: float) -> None:
    assert median(values) == middle


def test_the_ratio_is_taken_pair_by_pair() -> None:
    # The machine was slow during the last two pairs. Pair by pair, A always takes half of B.
    pairs = [(Cost(1, 1, 1), Cost(2, 2, 2)), (Cost(1, 1, 1), Cost(2, 2, 2)), (Cost(9, 9, 9), Cost(18, 18, 18))]
    assert compare("x", "wall", pairs, 0.5).value == 0.5
    # The medians of A and of B alone come from different minutes here, and would say 5.
    mixed = [(Cost(1, 0, 0), Cost(1, 0, 0)), (Cost(5, 0, 0), Cost(1, 0, 0)), (Cost(9, 0, 0), Cost(9, 0, 0))]
    assert compare("x", "wall", mixed, None).value == 1


def side(code: str) -> Side:
    return Side("side", [sys.executable, "-c", code], lambda out: out == "right\n", dict(os.environ))


def test_a_side_that_gives_a_wrong_answer_is_not_measured() -> None:
    assert len(in_turn(side("print('right')"), side("print('right')"), 1)) == 1
    with pytest.raises(WrongAnswer, match="side gives a wrong answer: 'wrong"):
        in_turn(side("print('right')"), side("print('wrong')"), 1)


def test_a_run_is_measured() -> None:
    cost = side("x = bytearray(50_000_000); print('right')").run()
    assert cost.peak > 50
    assert cost.cpu > 0
    assert cost.wall > 0


def sleepers() -> int:
    """How many processes of this name there are."""
    names = (Path("/proc", pid, "comm") for pid in os.listdir("/proc") if pid.isdigit())
    count = 0
    for name in names:
        try:
            count += name.read_text() == "sleeper\n"
        except OSError:  # it has just ended
            continue
    return count


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_sleepers_are_there_and_then_are_gone(tmp_path: Path) -> None:
    before = sleepers()
    with sleeping(tmp_path, 20):
        assert sleepers() == before + 20
    assert sleepers() == before


def test_the_bare_program_has_as_many_commands(tmp_path: Path) -> None:
    done = subprocess.run(
        [bare_click(tmp_path, 3), "--help"], env=environment(tmp_path), capture_output=True, text=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines() if "Say greet" in line] == [
        "greet0",
        "greet1",
        "greet2",
    ]


def test_an_unknown_benchmark_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["startup", "quick"]) == 64
    assert "no such benchmark: quick; there are startup, cpu" in capsys.readouterr().err
