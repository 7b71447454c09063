"""What the lines of a log have in common: each line's shape, with * for what varies.

`template` masks what is a parameter by its form: times, numbers, addresses, paths, quoted values. Where a parameter is
a plain word (an account, a city) only many lines together show it: `merged` finds those places in all shapes of a log,
whatever their order. Numbers that are the meaning stay: those that a line announces as a status, a level, a code or an
error (1045, ORA-00942, exit status 137). A HTTP status is one of them: 500 instead of 200 is the news.
"""

from __future__ import annotations

import re

# So much of a line makes its shape, and so many words.
_TEXT, _WORDS = 2048, 48

# Numbers that mean something, by the words that announce them. Written for bytes as for text: the same numbers must
# survive when a whole block is stripped of its digits.
_AFTER = r"""[\w-]{0,7}["']?\s?[:=(\[#]{0,2}\s?["']?-?)(\d{1,5})(?![\w.:])"""
ANNOUNCED = (
    ("rr", rf"(rr(?:no|or){_AFTER}"), ("RR", rf"(RR(?:NO|OR){_AFTER}"), ("tatus", rf"(tatus{_AFTER}"),
    ("STATUS", rf"(STATUS{_AFTER}"), ("ode", rf"((?<=[cC])ode{_AFTER}"), ("CODE", rf"(CODE{_AFTER}"),
    ("evel", rf"(evel{_AFTER}"), ("ignal", rf"(ignal{_AFTER}"), ("xit", rf"(xit{_AFTER}"),
    ("HTTP", r"(HTTP(?:/[\d.]+)?\"? )(\d{3})(?![\w.:])"), ("ORA-", r"(ORA-)(\d{5})(?!\d)"),
    ("MY-", r"(MY-)(\d{6})(?!\d)"), ("E11", r"((?<!\w)E)(11\d{3})(?!\w)"), ("AH0", r"((?<!\w)AH)(\d{5})(?!\w)"),
    ("SQLSTATE", r"(SQLSTATE\W{1,3})(\d{5})(?!\w)"), ("GET ", r"(GET [^ \n]{1,400} )(\d{3})(?![\w.:])"),
    ("POST ", r"(POST [^ \n]{1,400} )(\d{3})(?![\w.:])"),
)  # fmt: skip
_ANNOUNCED = tuple((literal, re.compile(pattern)) for literal, pattern in ANNOUNCED)
# A digit that stays is written as a sign that occurs in no text, so that no mask takes it for a number.
_AWAY = {ord(str(digit)): 0xE000 + digit for digit in range(10)}
_BACK = {0xE000 + digit: str(digit) for digit in range(10)}

# What stands in quotes, with blanks or without; and where the key says that it is the message, its words.
_QUOTED = re.compile(
    r"""(?P<message>\b(?:msg|message|error|err|reason|exception|event|cause|detail|description|status|state)=)?"""
    r"""(?P<said>"(?:[^"\\\n]|\\.)*+"|(?<!\w)'(?:[^'\\\n]|\\.)*+'(?!\w)|`[^`\n]*+`)"""
)
_UUID = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F])")
# A word that none of these signs is in is no parameter by its form.
_SUSPECT = re.compile(r"[\d/@\\:]|[a-f]{8}")
_PARAMETER = re.compile(
    r"""
      (?P<url>[a-zA-Z][a-zA-Z0-9+.-]{1,15}+://[^\s"'<>\])}]*)
    | (?P<any>
        [\w.+-]++@[\w-]++\.[\w.-]*\w                                            # an e-mail address
      | (?<![\w.])\[?(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w])\]?(?:/\d+)?   # IPv6, MAC, a time of day
      | (?<![\w.*])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?:/\d+)?(?!\w)              # IPv4
      | \b0[xX][0-9a-fA-F]++
      | \b(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{6,}+\b | \b[a-f]{8,}+\b
      | (?<![\w*.~\ue000-\ue009-])~?/(?:[\w.@%+~:=,*-]++/?)+ | (?<!\w)[A-Z]:\\[^\s"']+    # paths
      | \b[\w.-]++/(?:[\w.-]+/)*[\w-]+\.[a-z]{1,5}\b(?::\d+)?
      | (?<![\w/+=])(?=[\w/+-]*[0-9])(?=[\w/+-]*[A-Z])(?=[\w/+-]*[a-z])[\w/+-]{20,}={0,2}         # base64 and its like
      )
    | (?P<named>(?<![A-Za-z0-9])[A-Za-z][A-Za-z_]+[_.:#]?)-?\d+(?:[.,:_-]\d+)*(?![\w])
    | (?P<number>[-+]?(?<![A-Za-z0-9])\d(?:[\d.,:/_-]*\d)?(?:[A-Za-zµ_%]\w*)?(?:[\d.:]*[\dZ%])?)
    | (?P<mixed>(?<![A-Za-z0-9])[A-Za-z_]+\d\w*)
    """,
    re.X,
)  # fmt: skip
_UNIT = re.compile(
    r"\* (?:[nuµm]?s|sec(?:ond)?s?|milliseconds?|min(?:ute)?s?|hours?|days?|[kKMGT]i?[bB]|[Bb]ytes?|%)(?![\w=])"
)
_LISTED = re.compile(r"[-+#]?\*(?:(?:[,;:./|x@_-]{0,2} ?| ?[,/|] ?)[-+#]?\*)+")
# The same mask again and again: a list of names, of blocks.
_REPEATED = re.compile(r"(?<!\S)(\S*\*\S*)(?: \1)+(?!\S)")
# How many words are remembered with their masks; ids come and go, words stay.
_REMEMBERED = 20_000
# An UUID has so many hyphens.
_HYPHENS = 4
_known: dict[str, str] = {}


def template(text: str) -> str:
    """The shape of a line: what varies is *, what means something stays. Idempotent."""
    shape = shaped(text)
    for _ in range(4):
        if (again := shaped(shape)) == shape:
            break
        shape = again
    return shape


def shaped(text: str) -> str:
    """The shape of a line whose time stamp was taken off, by the form of its words alone."""
    text = text.strip()
    if text.endswith("}"):
        from rbdiag.collect.log_json import flat, start

        if (brace := start(text)) is not None and (told := flat(text[brace:])) is not None:
            message, rest = told
            text = f"{text[:brace]}{message} {rest}"
    return masked(text[:_TEXT])


def masked(text: str) -> str:
    """Text with its parameters masked, spaces made one."""
    for literal, pattern in _ANNOUNCED:
        if literal in text:
            text = pattern.sub(_kept, text)
    if '"' in text or "'" in text or "`" in text:
        text = _QUOTED.sub(_unquoted, text)
    known = _known
    words = [known.get(word) or _word(word) for word in text.split()[:_WORDS]]
    text = " ".join(words)
    if "*" in text:
        text = _REPEATED.sub(r"\1", _LISTED.sub("*", _UNIT.sub("*", text)))
    return text.translate(_BACK)


def unquoted(text: str) -> str:
    """Text without what it quotes, but for what a key says to be its message."""
    return _QUOTED.sub(_unquoted, text)


def _kept(found: re.Match[str]) -> str:
    return found[1] + found[2].translate(_AWAY)


def _unquoted(found: re.Match[str]) -> str:
    said = found["said"]
    return f"{found['message']}{said}" if found["message"] else f"{said[0]}*{said[0]}"


def _word(word: str) -> str:
    """One word, masked where its form says that it is a parameter."""
    if len(_known) >= _REMEMBERED:
        _known.clear()
    shape = word
    if _SUSPECT.search(word):
        shape = _PARAMETER.sub(_star, _UUID.sub("*", word) if word.count("-") >= _HYPHENS else word)
    _known[word] = shape
    return shape


def _star(found: re.Match[str]) -> str:
    kind = found.lastgroup
    if kind == "named":
        return found["named"] + "*"
    if kind == "url":
        return found["url"].partition("://")[0] + "://*"
    return "*"


class Miner:
    """Tells new shapes in a stream. It forgets nothing up to `most` shapes; beyond, nothing is new any more."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._shapes: dict[str, str] = {}
        self._frames: dict[tuple[str, ...], set[str]] = {}

    def add(self, line: str) -> tuple[str, bool]:
        """The template of a line (without its time stamp), and whether it is the first such line."""
        from rbdiag.collect.log_merge import MANY, MANY_FIRST, frame, is_meant

        shape = template(line)
        if (known := self._shapes.get(shape)) is not None:
            return known, False
        if len(self._shapes) >= self._most:
            return shape, False
        words = shape.split(" ")
        first = next((place for place, word in enumerate(words) if word.isalpha()), 0)
        told, new = shape, True
        for place, word in enumerate(words):
            if word == "*" or len(words) < 2 or is_meant(word):
                continue
            others = self._frames.setdefault(frame(words, place), set())
            enough = MANY_FIRST if place <= first else MANY
            if len(others) >= enough:
                told, new = " ".join([*words[:place], "*", *words[place + 1 :]]), False
            else:
                others.add(word)
        if len(self._frames) > 4 * self._most:
            self._frames.clear()
        self._shapes[shape] = told
        return told, new
