import pytest

from rbdiag.render.escape import cut, visible, width, wrap


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain text, C:\\x1b and all", "plain text, C:\\x1b and all", id="plain text with a backslash"),
        pytest.param("naïve 名前 ✓", "naïve 名前 ✓", id="letters of the world"),
        pytest.param("\x1b[2J", "\\x1b[2J", id="clear the screen"),
        pytest.param("\x9b2J", "\\x9b2J", id="the one-byte control sequence introducer"),
        pytest.param("a\nb\rc\td", "a\\nb\\rc\\td", id="line breaks and tabs"),
        pytest.param("\x00\x07\x7f", "\\x00\\x07\\x7f", id="nul, bell, delete"),
        pytest.param("user\u202egnp.exe", "user\\u202egnp.exe", id="right-to-left override"),
        pytest.param("\u2066\u200b\ufeff", "\\u2066\\u200b\\ufeff", id="isolate, zero-width space, byte order mark"),
        pytest.param("\u2028\u2029", "\\u2028\\u2029", id="line and paragraph separators"),
        pytest.param("a\u00a0b", "a\\xa0b", id="a space that is not one"),
        pytest.param("\U000e0041", "\\U000e0041", id="invisible tag letters"),
        pytest.param(b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\\xe9", id="a byte that is not UTF-8"),
        pytest.param("\ud83d", "\\ud83d", id="half a surrogate pair"),
        pytest.param("\ue000", "\\ue000", id="private use"),
    ],
)
def test_what_does_not_print_is_made_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown, "doing it twice must change nothing"
    assert visible(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [("ok", "ok"), ("é", "\\xe9"), ("…", "\\u2026"), ("😀", "\\U0001f600")],
)
def test_for_an_ascii_terminal_everything_else_is_escaped(text: str, shown: str) -> None:
    assert visible(text, ascii_only=True) == shown


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        pytest.param("", 0, id="nothing"),
        pytest.param("abc", 3, id="ascii"),
        pytest.param("naïve…", 6, id="narrow letters"),
        pytest.param("名前", 4, id="wide letters"),
        pytest.param("e\u0301", 1, id="a letter with a combining accent"),
        pytest.param("☺\ufe0f", 1, id="a variation selector"),
    ],
)
def test_width_is_counted_in_columns(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        pytest.param("abcdef", 6, "abcdef", id="fits exactly"),
        pytest.param("abcdefg", 6, "abcde…", id="one too long"),
        pytest.param("ab cdefg", 4, "ab…", id="no space before the sign"),
        pytest.param("名前名前", 6, "名前…", id="a wide letter is not halved"),
        pytest.param("名前名前", 8, "名前名前", id="wide letters fit exactly"),
        pytest.param("abc", 0, "…", id="no room at all"),
    ],
)
def test_cut_says_that_something_is_left_off(text: str, limit: int, shown: str) -> None:
    assert cut(text, limit) == shown


@pytest.mark.parametrize(
    ("text", "limit", "lines"),
    [
        pytest.param("", 5, [""], id="nothing is one empty line"),
        pytest.param("one two three", 7, ["one two", "three"], id="at spaces"),
        pytest.param("one two", 6, ["one", "two"], id="one column short"),
        pytest.param("a abcdefgh b", 4, ["a", "abcd", "efgh", "b"], id="a word longer than the line"),
        pytest.param("abcdefghi b", 4, ["abcd", "efgh", "i b"], id="the rest of a long word is joined"),
        pytest.param("now 98 % busy", 6, ["now", "98 %", "busy"], id="a percent sign stays with its number"),
        pytest.param("名前名前", 5, ["名前", "名前"], id="wide letters"),
        pytest.param("名前", 1, ["名", "前"], id="narrower than one letter"),
    ],
)
def test_wrap_breaks_at_spaces(text: str, limit: int, lines: list[str]) -> None:
    assert wrap(text, limit) == lines
