"""Where the running server differs from what its next start would use: running values against the option files.

The two are brought to one form first: sizes, switches, sets of flags, numbers of words, paths. What the server fits by
itself (rounded, cut to its limits, found out at the start) is no difference.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from rbdiag.collect import option_files
from rbdiag.collect.db_setup import reads
from rbdiag.collect.option_files import one_line
from rbdiag.deadline import Deadline
from rbdiag.facts.db import Drift, OptionFile, OptionValue, ServerProcess
from rbdiag.facts.sessions import ServerInfo
from rbdiag.model import CannotLook, Fact, Facts, Gap
from rbdiag.redact import MASK, redact

if TYPE_CHECKING:
    from rbdiag.collect.db_connect import Line

# The server fits these to what the system gives it, or takes a number for "find out yourself".
_ITS_OWN = frozenset(
    """
    open_files_limit table_open_cache table_definition_cache innodb_open_files thread_stack host_cache_size back_log
    innodb_buffer_pool_instances innodb_buffer_pool_chunk_size thread_pool_size thread_cache_size innodb_log_file_size
    table_open_cache_instances innodb_page_cleaners innodb_purge_threads innodb_io_capacity_max innodb_version
    innodb_data_file_path character_sets_dir lc_messages_dir plugin_dir plugin_load plugin_load_add basedir
    lower_case_table_names large_pages query_cache_size
    """.split()
)
# Running values that came from somewhere else than a file or a SET GLOBAL.
_FROM_SQL = ("SQL", "DYNAMIC")
_FROM_COMMAND = ("COMMAND-LINE", "COMMAND_LINE")
# MySQL does not say which variables cannot be changed while it runs; these decide on connecting.
_STATIC = frozenset(
    """
    port socket bind_address skip_networking skip_name_resolve datadir tmpdir pid_file log_error log_bin server_id_bits
    back_log open_files_limit performance_schema innodb_data_home_dir innodb_log_group_home_dir innodb_log_file_size
    innodb_log_files_in_group innodb_dedicated_server innodb_page_size skip_grant_tables skip_external_locking
    lower_case_table_names relay_log report_host report_port character_set_system ft_min_word_len
    """.split()
)
_MODES = frozenset("ansi db2 maxdb mssql mysql323 mysql40 oracle postgresql traditional".split())
_CHUNK = 128 << 20


class Variable(NamedTuple):
    """A variable of the running server, as its own tables describe it; "" and None where this version does not say.

    `saved` is what SET PERSIST wrote for the next start.
    """

    name: str
    value: str
    origin: str = ""
    kind: str = ""
    least: int | None = None
    most: int | None = None
    block: int | None = None
    words: tuple[str, ...] = ()
    dynamic: bool | None = None
    saved: str | None = None


def drift(line: Line, facts: Facts, deadline: Deadline) -> Iterator[Fact]:
    """The check db.drift: every option whose running value differs from what the next start would use."""
    process = next((p for p in facts.of(ServerProcess) if p.role == "target"), None)
    info = facts.last(ServerInfo)
    written = {o.subject: o for o in facts.of(OptionValue)}
    if not written:
        raise CannotLook(Gap("skipped", "no option files of this server are known here"))
    if process is None and (info is None or info.hostname != os.uname().nodename):
        raise CannotLook(Gap("skipped", "nothing shows that these option files are those of the server that answers"))
    if process is not None and not reads(process, {o.file for o in written.values()}):
        raise CannotLook(Gap("skipped", f"these option files are not those of {process.subject}, which answers"))
    given = option_files.arguments_in(process.command) if process else {}
    names = sorted(n for n in written if re.fullmatch(r"[a-z0-9_]{1,64}", n) and n not in _ITS_OWN and n not in given)
    if not names:
        return
    files = {f.subject: f for f in facts.of(OptionFile)}
    started = time.time() - info.uptime if info else None
    newer = {path: f.newer if f.newer is not None else started is not None and f.happened_at > started
             for path, f in files.items()}  # fmt: skip
    for variable in _variables(line, info.flavour if info else "MariaDB", names, deadline):
        option = written[variable.name]
        if (found := _compare(option, variable, any(newer.values()), newer.get(option.file, False))) is not None:
            yield found


def _compare(option: OptionValue, variable: Variable, any_newer: bool, file_newer: bool) -> Drift | None:
    """The difference, where there is one that a restart would make."""
    configured, file, row = option.value, option.file, option.line
    if variable.saved is not None and not file.endswith(option_files.PERSISTED):
        configured, file, row, file_newer = variable.saved, option_files.PERSISTED, 1, True
    elif variable.origin in _FROM_COMMAND or MASK in configured:
        return None
    by_hand = variable.origin in _FROM_SQL
    # What came from the files and differs although no file changed was fitted by the server itself.
    if variable.origin == "AUTO" or (variable.origin and not by_hand and not any_newer and not file_newer):
        return None
    if same(configured, variable):
        return None
    return Drift(
        subject=variable.name, running=one_line(redact(variable.value)), configured=configured or "set", file=file,
        line=row, dynamic=variable.dynamic, origin="SQL" if by_hand else variable.origin, file_newer=file_newer,
    )  # fmt: skip


_MARIADB = "SELECT * FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME IN ({})"
_MYSQL = (
    "SELECT v.VARIABLE_NAME, v.VARIABLE_VALUE, i.VARIABLE_SOURCE, i.MIN_VALUE, i.MAX_VALUE, p.VARIABLE_VALUE AS SAVED "
    "FROM performance_schema.global_variables v JOIN performance_schema.variables_info i USING (VARIABLE_NAME) "
    "LEFT JOIN performance_schema.persisted_variables p USING (VARIABLE_NAME) WHERE v.VARIABLE_NAME IN ({})"
)
_PLAIN = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})"


def _variables(line: Line, flavour: str, names: list[str], deadline: Deadline) -> list[Variable]:
    """The running values of these variables, with what the server tells about them, in one query (two on MySQL 5)."""
    quoted = ", ".join(f"'{name}'" for name in names)
    try:
        rows = line.ask((_MYSQL if flavour == "MySQL" else _MARIADB).format(quoted), deadline)
    except CannotLook:
        # MySQL 5 and MariaDB 5 have no such tables, and everybody may ask this; where nothing may be asked, it says so
        rows = line.ask(_PLAIN.format(quoted), deadline)
    return [_variable({str(k).upper(): v for k, v in row.items()}) for row in rows]


def _variable(row: dict[str, Any]) -> Variable:
    def text(*names: str) -> str:
        return next((str(row[n]) for n in names if row.get(n) is not None), "")

    def whole(*names: str) -> int | None:
        word = text(*names)
        return int(word) if re.fullmatch(r"-?\d+", word) else None

    name = text("VARIABLE_NAME").lower()
    known = text("READ_ONLY")
    dynamic = known != "YES" if known else False if name in _STATIC else None
    most = whole("NUMERIC_MAX_VALUE", "MAX_VALUE")
    return Variable(
        name=name, value=text("GLOBAL_VALUE", "VARIABLE_VALUE", "VALUE"),
        origin=text("GLOBAL_VALUE_ORIGIN", "VARIABLE_SOURCE"), kind=text("VARIABLE_TYPE"),
        least=whole("NUMERIC_MIN_VALUE", "MIN_VALUE") if most else None, most=most or None,
        block=whole("NUMERIC_BLOCK_SIZE"), words=tuple(w for w in text("ENUM_VALUE_LIST").split(",") if w),
        dynamic=dynamic, saved=text("SAVED") if row.get("SAVED") is not None else None,
    )  # fmt: skip


def same(configured: str, variable: Variable) -> bool:
    """Whether the next start would come to the same running value, as far as that can be told; doubt says yes."""
    running, name = variable.value, variable.name
    want, have = configured.strip(), running.strip()
    if want.lower() == have.lower():
        return True
    if variable.kind in ("SET", "FLAGSET") or name in ("sql_mode", "optimizer_switch"):
        return _same_flags(want, have)
    if variable.kind == "BOOLEAN" or (have.upper() in ("ON", "OFF") and len(variable.words) <= 2):
        on = option_files.switch(want or None)
        # `log-bin=/path` is on; any other word that is no switch is the server's to refuse
        return on == option_files.switch(have) if on is not None else name != "log_bin" or have.upper() == "ON"
    if variable.kind == "ENUM" or (variable.words and not want.lstrip("-").isdigit()):
        return _same_word(want, have, variable.words)
    if not want:
        return True  # an option without a value: the server's own choice
    number, now = option_files.number(want), option_files.number(have)
    if now is not None and number is not None:
        return _same_number(number, now, variable)
    try:
        return float(want) == float(have)
    except ValueError:
        return _same_text(want, have)


def _same_flags(want: str, have: str) -> bool:
    wanted = {w.strip().lower() for w in want.split(",") if w.strip()}
    running = {w.strip().lower() for w in have.split(",") if w.strip()}
    if any(w.isdigit() for w in wanted) or "default" in wanted:
        return True  # a number of bits: not ours to take apart
    if any("=" in w for w in wanted) or wanted & _MODES:
        return wanted <= running  # some switches of many, or a mode that stands for several
    return wanted == running


def _same_word(want: str, have: str, words: tuple[str, ...]) -> bool:
    if want.isdigit() and int(want) < len(words):
        want = words[int(want)]
    on = option_files.switch(want or None)
    if on is not None and option_files.switch(have) is not None:
        return on == option_files.switch(have)
    return _same_text(want, have)


def _same_number(number: int, now: int, variable: Variable) -> bool:
    if number < 0 <= now or (now == 0 and variable.name == "port"):
        return True  # "find out yourself"; without networking the port is 0
    if variable.least is not None:
        number = max(number, variable.least)
    if variable.most is not None:
        number = min(number, variable.most)
    if variable.block and variable.block > 1:
        number -= number % variable.block
    if variable.name == "innodb_buffer_pool_size" and now % _CHUNK == 0:
        return number <= now < max(2 * number, number + _CHUNK)  # made up to whole chunks
    return number == now


def _same_text(want: str, have: str) -> bool:
    want, have = want.rstrip("/").lower(), have.rstrip("/").lower()
    if want == have or (want or "off") == (have or "off"):
        return True
    if want == "utf8" or want.startswith("utf8_"):  # which of the two it means is the server's choice
        return have.replace("utf8mb3", "utf8", 1) == want or have.replace("utf8mb4", "utf8", 1) == want
    if "/" in want or "/" in have:
        # a relative path lies in the data directory; ./ and // mean nothing
        bare = os.path.normpath(want).removeprefix("./")
        return os.path.normpath(have) == bare or (
            not want.startswith("/") and os.path.normpath(have).endswith(f"/{bare}")
        )
    return False
