"""Flame graphs are read back as XML, as a browser does."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rbdiag.collect.flame import flame_svg, may_write, save
from rbdiag.model import CannotLook

SVG = "{http://www.w3.org/2000/svg}"
STACKS = {("main", "price"): 75, ("main", "parse", "split"): 24, ("main",): 1}


def boxes(svg: str) -> dict[str, ElementTree.Element]:
    """The boxes of the graph by their tooltip."""
    return {str(g.findtext(f"{SVG}title")): g for g in ElementTree.fromstring(svg.encode()).iter(f"{SVG}g")}


def side(box: ElementTree.Element, name: str) -> float:
    rect = box.find(f"{SVG}rect")
    assert rect is not None
    return float(rect.attrib[name])


def test_every_function_is_a_box_with_its_samples_and_part() -> None:
    assert set(boxes(flame_svg(STACKS, "shop"))) == {
        "all: 100 samples, 100 %",
        "main: 100 samples, 100 %",
        "price: 75 samples, 75 %",
        "parse: 24 samples, 24 %",
        "split: 24 samples, 24 %",
    }


def test_boxes_are_as_wide_as_their_part_and_stand_on_their_callers() -> None:
    drawn = boxes(flame_svg(STACKS, "shop"))
    main, price, parse = (
        drawn[n] for n in ("main: 100 samples, 100 %", "price: 75 samples, 75 %", "parse: 24 samples, 24 %")
    )
    assert [side(b, "width") for b in (main, price, parse)] == [1180, 885, 283.2]
    assert side(price, "y") < side(main, "y")
    assert side(parse, "x") + side(parse, "width") == pytest.approx(side(price, "x"))


def test_the_text_in_a_box_is_cut_to_fit_and_left_out_where_nothing_fits() -> None:
    drawn = boxes(flame_svg({("a_function_with_a_long_name",): 8, ("tiny",): 2, ("wide",): 90}, "x"))
    texts = {title.partition(":")[0]: box.findtext(f"{SVG}text") for title, box in drawn.items()}
    assert texts == {
        "all": "all 100 %",
        "a_function_with_a_long_name": "a_function_w…",
        "tiny": None,
        "wide": "wide 90 %",
    }


def test_boxes_too_narrow_to_be_seen_are_left_out() -> None:
    drawn = boxes(flame_svg({("seen",): 9_996, ("unseen",): 3, ("just seen",): 4}, "x"))
    assert sorted(title.partition(":")[0] for title in drawn) == ["all", "just seen", "seen"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("std::vector<int>&", "std::vector<int>&", id="signs of XML"),
        pytest.param("\x1b[2J\0", r"\x1b[2J\x00", id="escape codes and nulls"),
        pytest.param("a\u202eb\udcffc\uffff", r"a\u202eb\udcffc\uffff", id="direction marks and half characters"),
        pytest.param('"/><script>alert(1)</script>', '"/><script>alert(1)</script>', id="a script"),
        pytest.param("größe_ändern", "größe_ändern", id="letters of other languages"),
    ],
)
def test_hostile_names_are_text(name: str, shown: str) -> None:
    svg = flame_svg({(name,): 1}, name)
    assert f"{shown}: 1 samples, 100 %" in boxes(svg)
    assert ElementTree.fromstring(svg.encode()).findtext(f"{SVG}title") == shown


def test_it_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    root = ElementTree.fromstring(flame_svg(STACKS, "shop").encode())
    assert {e.tag.removeprefix(SVG) for e in root.iter()} == {"svg", "title", "style", "rect", "text", "g"}
    assert not [a for e in root.iter() for a in e.attrib if "href" in a or a.startswith("on")]


def test_the_same_stacks_give_the_same_graph_in_any_order() -> None:
    assert flame_svg(STACKS, "shop") == flame_svg(dict(reversed(STACKS.items())), "shop")


def test_very_deep_stacks_are_drawn() -> None:
    assert len(boxes(flame_svg({tuple(f"f{n}" for n in range(5000)): 1}, "recursion"))) == 5001


def test_no_samples_is_said() -> None:
    svg = flame_svg({}, "idle")
    assert boxes(svg) == {}
    assert "no samples" in svg


def test_a_graph_replaces_the_one_before_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "graph.svg"
    path.write_text("old")
    save(str(path), "<svg/>")
    assert (path.read_text(), os.listdir(tmp_path)) == ("<svg/>", ["graph.svg"])


def test_a_graph_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        save(str(tmp_path / "taken"), "<svg/>")
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        pytest.param("absent/graph.svg", "missing", id="the folder is not there"),
        pytest.param("file/graph.svg", "missing", id="the folder is a file"),
        pytest.param("folder", "failed", id="it is a folder"),
        pytest.param("pipe", "failed", id="it is a pipe somebody reads"),
        pytest.param("dangling", "failed", id="it is a link to nowhere"),
    ],
)
def test_where_no_graph_can_be_written(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CannotLook) as caught:
        may_write(str(tmp_path / path))
    assert caught.value.gap.reason == reason


@pytest.mark.parametrize("path", ["new.svg", "file"])
def test_where_a_graph_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    (tmp_path / "file").write_text("x")
    may_write(str(tmp_path / path))
    monkeypatch.chdir(tmp_path)
    may_write(path)
