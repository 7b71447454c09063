"""Which lines cannot stand alone: what a runtime, a debugger or a printer writes below the line they belong to."""

from __future__ import annotations

import re

# What begins a line that goes on with the record above. An exception's own line is not here ("ValueError: no"), for
# alone it may well be a record; nor is a first line ("panic: no", "Exception in thread", "PHP Fatal error").
_GOES_ON = re.compile(
    rb"""(?x)
    \s | \Z
  | [)}\]]+[,;]?\s*\Z                                                # what closes a printed object
  | Caused\ by: | Suppressed: | Wrapped\ by: | Causing: | \.\.\.\ \d+\ (?:more|common\ frames|lines\ matching|levels)
  | at\ [\w$.<>/@-]+[.(] | ---\ End\ of\ | --->\ | \[CIRCULAR\ REFERENCE
  | (?:\++-+.*\ |\|\ +)?(?:Exception\ Group\ )?Traceback\ \(most\ recent\ call\ last\)
  | During\ handling\ of\ the\ above\ exception | The\ above\ exception\ was\ the\ direct\ cause
  | File\ ".*",\ line\ \d | \^+[\s~^]*\Z | ~+\^ | (?:Current\ t|T)hread\ 0x[0-9a-f]+\ .*\(most\ recent
  | goroutine\ \d+\ (?:gp=\S+\ m=\S+\ (?:mp=\S+\ )?)?\[ | created\ by\ \S | \[signal\ SIG | \[originating\ from\ gor
  | [\w./*()%\[\]~@-]+\.[\w.*()%\[\]\xc2\xb7~-]+\((?:(?:0x[0-9a-f]|\{|\.\.\.|_).*)?\)
    (?:\ in\ goroutine\ \d+)?\s*\Z                                   # main.(*T).f(0xc0, ...)
  | panic\((?:0x|\{) | Emitted\ 'error'\ event\ on | Require\ stack:\s*\Z
  | r(?:[abcd]x|[ds]i|[bsi]p|\d+|flags)\ +0x | exit\ status\ \d+\s*\Z
  | from\ \S+:\d+:in\ | (?:\S*/)?[\w.+@-]+\.\w+:\d+:in\ [`'][^'\n]*'\s*\Z
  | \#\d+\ | Stack\ trace:\s*\Z | \[(?:previous\ )?(?:exception|stacktrace)\] | \[previous\ exception\]\ \[object\]
  | stack\ backtrace:\s*\Z | note:\ (?:run\ with|Some\ details\ are) | Node\.js\ v\d
  | \S+\((?:[\w:~<>,\ *&]+)?\+0x[0-9a-f]+\)\s?\[0x | stack_bottom\ = | Thread\ pointer: | Attempting\ backtrace
  | Query\ \((?:0x)?[0-9a-f]+\):\  | Connection\ ID\ \(thread\ ID\): | Status:\ (?:NOT_)?KILL | Optimizer\ switch:
  | Some\ pointers\ may\ be\ invalid | The\ manual\ page\ at\ http
  """
)
# Nothing here needs more of a line.
_LONGEST = 400


def is_continuation(line: bytes) -> bool:
    """Whether a line (without its line break) goes on with the record above it. Blank lines do."""
    return _GOES_ON.match(line[:_LONGEST]) is not None
