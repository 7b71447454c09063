"""The lines on which the keys of a TOML text stand, which tomllib does not keep."""

from __future__ import annotations

Path = tuple[str | int, ...]


def key_lines(text: str) -> dict[Path, int]:
    """The line of every key, table and array entry of a TOML text that is known to be valid.

    tomllib keeps no lines. What tells keys from values is the grammar alone, so that neither a string nor a comment
    that looks like a key is taken for one.
    """
    return _Scanner(text).lines


class _Scanner:
    def __init__(self, text: str) -> None:
        import re

        self._blank = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*+")
        self._string = re.compile(
            r'"""(?s:\\.|[^\\])*?"""(?:""?(?!"))?|'
            + r"'''(?s:.)*?'''(?:''?(?!'))?|"
            + r'"(?:\\.|[^"\\\n])*"|'
            + r"'[^'\n]*'"
        )
        self._bare = re.compile(r"[A-Za-z0-9_-]+")
        self._scalar = re.compile(r"[^,\]}#\n]+")
        self._text, self._at = text, 0
        self.lines: dict[Path, int] = {}
        self._entries: dict[Path, int] = {}
        self._counted = (0, 1)
        table: Path = ()
        while self._skip():
            if self._take("[["):
                table = self._header(many=True)
            elif self._take("["):
                table = self._header(many=False)
            else:
                self._pair(table)

    def _skip(self) -> bool:
        """Go to what comes next; False at the end."""
        match = self._blank.match(self._text, self._at)
        assert match  # it may be empty
        self._at = match.end()
        return self._at < len(self._text)

    def _take(self, sign: str) -> bool:
        self._skip()
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _note(self, path: Path, at: int) -> None:
        """Each path keeps the line where it is first named."""
        seen, line = self._counted
        self._counted = (
            at,
            line + self._text.count("\n", seen, at) if at >= seen else self._text.count("\n", 0, at) + 1,
        )
        self.lines.setdefault(path, self._counted[1])

    def _key(self) -> tuple[list[str], int]:
        """A dotted key, and where it begins."""
        import tomllib

        self._skip()
        begin, parts = self._at, []
        while True:
            self._skip()
            match = self._string.match(self._text, self._at) or self._bare.match(self._text, self._at)
            assert match, "the text is valid TOML"
            self._at = match.end()
            parts.append(tomllib.loads(f"x={match[0]}")["x"] if match[0][0] in "\"'" else match[0])
            if not self._take("."):
                return parts, begin

    def _header(self, *, many: bool) -> Path:
        parts, begin = self._key()
        path: Path = ()
        for depth, part in enumerate(parts, 1):
            path = (*path, part)
            self._note(path, begin)
            if many and depth == len(parts):
                self._entries[path] = self._entries.get(path, -1) + 1
            if path in self._entries:
                path = (*path, self._entries[path])
                self._note(path, begin)
        self._at = self._text.index("]]" if many else "]", self._at) + (2 if many else 1)
        return path

    def _pair(self, table: Path) -> None:
        parts, begin = self._key()
        for depth in range(len(parts)):
            self._note((*table, *parts[: depth + 1]), begin)
        self._take("=")
        self._value((*table, *parts))

    def _value(self, path: Path) -> None:
        if self._take("{"):
            while not self._take("}"):
                self._pair(path)
                self._take(",")
        elif self._take("["):
            index = 0
            while not self._take("]"):
                self._note((*path, index), self._at)
                self._value((*path, index))
                self._take(",")
                index += 1
        else:
            match = self._string.match(self._text, self._at) or self._scalar.match(self._text, self._at)
            assert match, "the text is valid TOML"
            self._at = match.end()
