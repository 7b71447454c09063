"""What holds for every format: the golden texts, and that no text from outside gets through to the reader's end."""

import os
import re
import sys
from pathlib import Path

import pytest

from rbdiag.render import FORMATS, RenderOptions, render
from rbdiag.render.escape import width
from tests.samples import SAMPLES, spoiled

GOLDEN = Path(__file__).parent.parent / "golden"
SUFFIX = {"table": "txt", "json": "json", "jsonl": "jsonl", "markdown": "md", "nagios": "nagios"}
USUAL = {f"{sample}.{SUFFIX[form]}": (sample, form, RenderOptions()) for sample in SAMPLES for form in FORMATS}
SPECIAL = {
    "critical.verbose.txt": ("critical", "table", RenderOptions(verbose=True)),
    "crowded.verbose.txt": ("crowded", "table", RenderOptions(verbose=True)),
    "logged.verbose.txt": ("logged", "table", RenderOptions(verbose=True)),
    "critical.color.txt": ("critical", "table", RenderOptions(color=True)),
    "critical.ascii.txt": ("critical", "table", RenderOptions(ascii=True)),
    "critical.wide.txt": ("critical", "table", RenderOptions(width=160, top=2, utc_offset=-12600)),
    "critical.zone.md": ("critical", "markdown", RenderOptions(utc_offset=3600)),
}
HOSTILE = [
    pytest.param("\x1b[2J\x1b]0;title\x07", id="terminal sequences"),
    pytest.param("\x9b31m\x85\x90", id="one-byte controls"),
    pytest.param("\r\n\v\f\x1c\x1d\x1e\u2028\u2029", id="every line break Python knows"),
    pytest.param("\u202e\u2066\u200f\u061c", id="bidirectional controls"),
    pytest.param("\ud800\udcff\ue000\ufeff\U000e0041", id="surrogates, private use, tags"),
    pytest.param("\n# x\n```\n| a | b |\n<script>\\`*_[]()", id="markup on lines of its own"),
]
COLOR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("name", [*USUAL, *SPECIAL])
def test_the_text_is_as_it_was_agreed(name: str) -> None:
    """RBDIAG_UPDATE_GOLDEN=1 writes the files anew, to be read before they are committed."""
    sample, form, options = (USUAL | SPECIAL)[name]
    text = render(form, SAMPLES[sample](), options)
    if os.environ.get("RBDIAG_UPDATE_GOLDEN") == "1":
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_golden_file_is_looked_at() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {*USUAL, *SPECIAL}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("verbose", [False, True], ids=["short", "verbose"])
@pytest.mark.parametrize("form", FORMATS)
def test_nothing_that_a_terminal_would_obey_comes_out(form: str, verbose: bool, text: str) -> None:
    for sample in SAMPLES.values():
        shown = render(form, spoiled(sample(), text), RenderOptions(verbose=verbose))
        assert {c for c in shown if not c.isprintable()} == {"\n"}


@pytest.mark.parametrize("text", HOSTILE)
def test_with_colour_only_our_own_colours_come_out(text: str) -> None:
    shown = render("table", spoiled(SAMPLES["critical"](), text), RenderOptions(color=True))
    plain = render("table", spoiled(SAMPLES["critical"](), text), RenderOptions(color=False))
    assert "\x1b[31m" in shown
    assert COLOR.sub("", shown) == plain, "colour must not carry anything alone"


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("form", ["table", "markdown"])
def test_hostile_text_adds_no_line(form: str, text: str) -> None:
    """At a width where nothing is wrapped, a text on which everything depends is still one line."""
    options = RenderOptions(width=100_000)
    for sample in SAMPLES.values():
        # A command that holds such text becomes two comments where it was one line.
        harmless, shown = (render(form, spoiled(sample(), t), options) for t in ("x", text))
        assert shown.count("\n") == harmless.count("\n") + shown.count("# not to be") - harmless.count("# not to be")


@pytest.mark.parametrize("options", [RenderOptions(), RenderOptions(width=40), RenderOptions(width=1)], ids=str)
@pytest.mark.parametrize("sample", SAMPLES)
def test_the_table_keeps_to_its_width(sample: str, options: RenderOptions) -> None:
    report = SAMPLES[sample]()
    steps = [step for finding in report.findings for step in finding.resolution]
    whole = ["rbdiag explain", *(text for step in steps for text in (step.command, step.verify) if text)]
    lines = render("table", report, options).split("\n")
    wide = [line for line in lines if width(line) > max(options.width, 40)]
    assert [line for line in wide if not any(text in line for text in whole) and "  # " not in line] == []


def test_the_table_is_one_screen_even_at_its_worst() -> None:
    assert render("table", SAMPLES["critical"]()).count("\n") <= 60


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_that_knows_only_ascii_gets_only_ascii(text: str) -> None:
    for sample in SAMPLES.values():
        assert render("table", spoiled(sample(), text), RenderOptions(ascii=True)).isascii()


def test_a_format_is_imported_only_when_it_is_asked_for() -> None:
    import subprocess

    code = (
        "import sys, rbdiag.render\n"
        "print(sorted({'json', 'tabulate', 'datetime', 'rbdiag.render.table'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(KeyError):
        render("yaml", SAMPLES["healthy"]())
