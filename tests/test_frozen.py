"""Records: as dataclasses in all that matters, and cheap to define."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any, ClassVar

import pytest

from rbdiag.frozen import NamedRecord, Record, replace


class Point(Record):
    names: ClassVar[int] = 3
    x: int
    y: int = 2


class Named(NamedRecord):
    a: int = 1


class Wider(Named):
    b: str


def test_fields_by_position_by_name_and_by_default() -> None:
    assert Point(1) == Point(1, 2) == Point(y=2, x=1)
    assert (Point(1).x, Point(1).y) == (1, 2)
    assert Point.field_names() == ("x", "y")
    assert Wider(b="z") == Wider(a=1, b="z")


@pytest.mark.parametrize(
    ("values", "named", "said"),
    [
        ((), {}, "x"),
        ((1,), {"z": 3}, "z"),
        ((1, 2, 3), {}, "too many values"),
        ((), {"y": 1, "z": 1}, "x, z"),
    ],
    ids=["one missing", "one unknown", "too many", "one for another"],
)
def test_what_does_not_fit_is_refused(values: tuple[int, ...], named: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Point(*values, **named)


def test_a_record_does_not_change() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="frozen"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del point.x
    assert replace(point, x=5) == Point(5, 2)
    assert point == Point(1)
    with pytest.raises(TypeError, match="z"):
        replace(point, z=1)


def test_equality_and_hash_go_by_type_and_values() -> None:
    assert len({Point(1), Point(1, 2), Point(2)}) == 2
    assert Named(a=1) != Point(1)
    assert repr(Wider(b="z")) == "Wider(a=1, b='z')"


def test_the_standard_library_sees_dataclasses() -> None:
    assert [f.name for f in dataclasses.fields(Wider)] == ["a", "b"]
    assert dataclasses.fields(Point)[1].default == 2
    assert dataclasses.replace(Point(1), y=9) == Point(1, 9)
    assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
