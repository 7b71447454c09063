"""How bad a line of a log says it is: the level in its writer's own words, and where it names none, its strong words.

A level is looked for where writers put it: in a key (JSON, logfmt), before the time, or among the first words after
it. A level word in a sentence, a name, a path or a count is none.
"""

from __future__ import annotations

import re
from itertools import islice

from rbdiag.collect.log_strong import BROKE, ERROR, FATAL, NONE_AFTER, is_everyday, says
from rbdiag.facts.logs import LogLevel

# How far into a line its level may stand; names of hosts, containers, threads and classes come before it.
_REACH = 240
# So much of a line is searched for strong words.
_WIDE = 1024

_BY_LEVEL: dict[LogLevel, str] = {
    "fatal": "fatal fata ftl f emerg emergency alert crit critical panic dpanic",
    "error": "error err erro e fail severe fehler erreur errore",
    "warning": "warning warn wrn w deprecated warnung avertissement",
    "info": "info inf i information informational notice note log system config",
    "debug": "debug dbg dbug d trace trc trce t verbose vrb v fine finer finest",
}
_SAID: dict[str, LogLevel] = {word: level for level, words in _BY_LEVEL.items() for word in words.split()}
# Severities of syslog (0 emergency to 7 debug); levels of pino and bunyan (10 trace to 60 fatal).
_SYSLOG: tuple[LogLevel, ...] = ("fatal", "fatal", "fatal", "error", "warning", "info", "info", "debug")
_PINO: tuple[LogLevel, ...] = ("debug", "debug", "info", "warning", "error", "fatal")

_WORDS = (
    "emerg(?:ency)?|alert|crit(?:ical)?|d?panic|fatal|fata|ftl|severe|error|erro?|warning|warn|wrn|notice|note|"
    "info(?:rmation)?|inf|log|debug|dbug|dbg|trace|trce|trc|verbose|vrb|fine(?:r|st)?|config|system|fail|"
    "fehler|erreur|errore|warnung|avertissement"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# Keys: JSON and logfmt. A user's level is "gold" and a compressor's is 9: only level words and known numbers count.
_KEY = r"(?:log\.?|severity|priority)?_?(?:level|lvl|severity|priority)(?:_?(?:name|text|number|no))?|@l|@level|s|l"
_JSON = re.compile(rf'(?i)"({_KEY})" ?: ?"?([a-z]{{1,13}}|\d{{1,5}})[1-5]?"?(?=[\s,}}])')
_LOGFMT = re.compile(
    r'(?i)(?:^|[\s{,])(level|lvl|severity|loglevel|log\.level|priority)="?([a-z]{1,13}|\d{1,3})"?(?=[\s,}]|$)'
)
# What a JSON line says in words, where it names no level.
_MESSAGE = re.compile(
    r'"(?:m|msg|message|short_message|log|MESSAGE|event|error|err|reason|exception|text|@m|@mt|body|stringValue|textPayload)"'
    r' ?: ?"((?:[^"\\]|\\.)*)'
)
_MESSAGES = 4
_WORST: tuple[LogLevel, ...] = ("fatal", "error", "warning", "info", "debug", "none")

# klog and glog, Ruby's logger, Android, a syslog priority, Redis: a sign or a letter at a place of its own.
_LETTER = re.compile(
    r"(?:^|[\s|])([DIWEF])(?:[01]\d[0-3]\d \d\d:\d\d:\d\d|, \[\d{4}-)"
    r"|(?:^|\d +\d+ +)([VDIWEF])(?:/(?=\S+ *\( *\d+\):)| (?=\S+ *:))"
)
_PRIORITY = re.compile(r"^<(\d{1,3})>")
_REDIS = re.compile(r"^\S{0,40}?\d+:[XCSM] [\w :.]{15,32} ([.*#-]) ")
_OF_REDIS: dict[str, LogLevel] = {".": "debug", "-": "debug", "*": "info", "#": "warning"}

# Enclosed: [error], [core:error], <warn>, |INFO|, [ERROR/Main].
_ENCLOSED = re.compile(rf"(?i)[\[<|](?:(?:[a-z]\w*)?:)?\s*({_WORDS}|[EWDIF])\s*(?:/[\w-]+)?[\]>|]")
# In capitals, as a word of its own; also [12:00:00 ERR], where more stands with it.
_UPPER = re.compile(rf"(?<![\w./\\=$@#'\"-])({_WORDS.upper()})(?=[\s\]:|,;)/\[!]|$)")
# Lower-case, or with a capital: only with a colon behind it and nothing but names before it, or alone between tabs.
_COLON = re.compile(
    r"(?i)(?:^|: |[\])>|\t]\s*|- )(?:php )?(?:(?:catchable |recoverable )?(fatal|parse|core|compile) )?"
    rf"({_WORDS}|deprecated):(?=\s|$)"
)
_BETWEEN_TABS = re.compile(rf"(?i)(?:^|\t| {{2,}}|\d, )({_WORDS})(?:\t| {{2,}})")
_TIME = re.compile(
    r"""(?x)^[\s\[(]*(?:\S{1,40}\ *\|\ *)?                            # what Compose puts before it
    (?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*,?[ ]
      |[\d:.,/+-]*\d[\d:.,/+-]*(?:T[\d:.,]+)?(?:Z|[+-]\d\d:?\d\d)?[\])]?(?=[ \t]|$)\ ?
       (?:(?:AM|PM|UTC|GMT|CES?T|E[SD]T)\b[\])]?\ ?)?)*"""
)
# What stands before a level is no sentence: of plain lower-case words there are so few (a host, a program, a logger).
_PLAIN = re.compile(r"(?<![\w.\[(/-])[a-z]{2,}(?![\w.\])/:=-])")
_FEW = 2


def level(line: str, head: int = 0) -> LogLevel:
    """How bad a line says it is. `head` is the length of its time stamp and what stands before it, 0 where unknown."""
    text = _COLOUR.sub("", line[:_WIDE]) if "\x1b" in line else line[:_WIDE]
    if text[: len(line)] != line[:_WIDE]:
        head = 0
    return _keyed(text) or _lettered(text) or _worded(text, head) or _strong(text)


def stated(line: str, head: int = 0) -> LogLevel:
    """The level that a line names, `none` where it names none, however bad its words are."""
    text = _COLOUR.sub("", line[:_WIDE]) if "\x1b" in line else line[:_WIDE]
    return _keyed(text) or _lettered(text) or _worded(text, head) or "none"


def _keyed(text: str) -> LogLevel | None:
    if "{" in text:
        for found in _JSON.finditer(text):
            if (said := _value(found[1].lower(), found[2].lower())) is not None:
                return said
    if "=" in text:
        for found in _LOGFMT.finditer(text):
            if (said := _value(found[1].lower(), found[2].lower())) is not None:
                return said
    return None


def _value(key: str, value: str) -> LogLevel | None:
    if not value.isdigit():
        # letters alone are levels only where the key is known to be written so (MongoDB, glog in JSON)
        return _SAID.get(value) if len(value) > 1 or key not in ("l",) else None
    number = int(value)
    if key in ("s", "l"):
        return None
    if key.replace("_", "") == "severitynumber":  # OpenTelemetry's: four each of trace, debug, info, warn, error, fatal
        return _PINO[(number - 1) // 4] if 0 < number <= 24 else None
    if number <= 7:  # syslog's severities: GELF, the journal
        return _SYSLOG[number]
    if key.endswith("no"):  # Python's: 10 debug, 50 critical
        number += 10
    if 10 <= number <= 69:  # pino and bunyan: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal
        return _PINO[number // 10 - 1]
    return None


def _lettered(text: str) -> LogLevel | None:
    if (found := _REDIS.match(text)) is not None:
        said = _OF_REDIS[found[1]]
        # its worst sign stands for warnings and for what ends it alike: there the words decide
        strong = any(says(words, text) for words in (FATAL, ERROR, BROKE)) or " MISCONF " in text
        return "error" if said == "warning" and strong else said
    if (found := _LETTER.search(text, 0, _REACH)) is not None:
        return _SAID[(found[1] or found[2]).lower()]
    if (found := _PRIORITY.match(text)) is not None and (number := int(found[1])) <= 191:
        return _value("priority", str(number % 8))
    return None


def _worded(text: str, head: int) -> LogLevel | None:
    """The first level word at a place where writers put levels."""
    body = text[:_REACH]
    start = max(head, _end_of_time(body))
    best = len(body), ""
    for pattern in (_ENCLOSED, _UPPER, _COLON, _BETWEEN_TABS):
        # a small word with a colon may be the first behind the time
        left = start if pattern is _COLON else 0
        for found in pattern.finditer(body[left:]):
            group = found.lastindex or 0
            where = left + found.start(group)
            plain = pattern is not _ENCLOSED and len(_PLAIN.findall(body, start, where)) > _FEW
            if where >= best[0] or plain:
                break
            if pattern is _ENCLOSED or not NONE_AFTER.match(body, left + found.end(group)):
                best = where, "fatal" if pattern is _COLON and found[1] else found[group].lower()
                break
    return _SAID.get(best[1])


def _end_of_time(text: str) -> int:
    found = _TIME.match(text)
    return found.end() if found else 0


def _strong(text: str) -> LogLevel:
    """What the words of a line without a level say."""
    if is_everyday(text):
        return "none"
    if text.lstrip().startswith("{"):
        said = {_worst(found[1]) for found in islice(_MESSAGE.finditer(text), _MESSAGES)}
        if said:
            return min(said, key=_WORST.index)
    if says(FATAL, text):
        return "fatal"
    return "error" if says(ERROR, text) or says(BROKE, text) else "none"


def _worst(said: str) -> LogLevel:
    """The level of what stands as the message of a line of JSON; one that is JSON itself states it, or none."""
    inner = said.replace('\\"', '"').replace("\\n", " ").replace("\\t", "\t")
    return _keyed(inner) or "none" if inner.lstrip().startswith("{") else level(inner)
