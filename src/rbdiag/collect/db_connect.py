"""The one connection of a run: opened by ourselves, greeted, logged in with PyMySQL, and then asked.

Each step is a check of its own, so that the exact layer that fails is seen. What is opened here is what the login uses:
a second connection would count against a server that has none left, and a port knocked on and left counts towards
`max_connect_errors`. Only a login that was turned away is tried again, once with TLS and once as this host's
administrator: three connections at the most.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import stat
import threading
import time
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from rbdiag.collect import db_words as words
from rbdiag.deadline import Deadline, OutOfTime
from rbdiag.facts.db import Attempt, Flavour, Greeting, Login, LoginWord, ServerProcess, TlsWish
from rbdiag.facts.dns import NameAnswer
from rbdiag.facts.net import SocketAnswer, SocketWord, TcpAnswer, TcpWord, endpoint
from rbdiag.facts.tls import TlsAnswer, TlsWord
from rbdiag.model import CannotLook, Fact, Facts, Gap
from rbdiag.redact import redact

if TYPE_CHECKING:
    import pymysql

    from rbdiag.collect.db_target import Found
    from rbdiag.collect.tls import Context

# How long one address may stay silent. The kernel repeats a lost SYN after 1 s and after 3 s (tcp_syn_retries), so that
# this lives through one lost packet. A second try, where there is time, is over after the first repetition.
_ADDRESS, _SECOND_TRY = 3.0, 1.3
_ADDRESSES = 4
# A server greets within milliseconds; one that resolves the client's name first may take seconds. What stays silent is
# asked as a web server would be, which brings those to speak that wait for their client's word.
_GREETING, _PROBE = 4.0, 0.5
_QUESTION = b"HEAD / HTTP/1.0\r\n\r\n"
# What a login waits for one answer of the server; less where nobody greeted and only the other door is tried.
_ANSWER, _OTHER_DOOR = 4.0, 1.0
# How often an administrator knocks at a full server, and the seconds in between.
_KNOCKS, _BETWEEN_KNOCKS = 4, 0.15
# A Unix socket's queue of clients is full for a moment under any burst; a client would wait.
_QUEUE = 1.0
_QUIT = 0.1
# What we leave to those who come after us.
_ROOM = 0.3
_NUMERIC = re.compile(r"[\d.]+|[\da-fA-F:.]*:[\da-fA-F:.]*(?:%\S+)?")

Door = tuple[int, Any]  # a family of addresses, and the address to connect to


class NotHere(CannotLook):
    """This version of the server has no such table, column, variable or statement."""


class _Turned(Exception):
    """A login that did not work, as a word; raised to leave the driver's depths."""

    def __init__(self, word: LoginWord, code: int | None, text: str) -> None:
        super().__init__(text)
        self.word: LoginWord = word
        self.code, self.text = code, redact(text)


class _NotInTheClear:
    """In place of a way to log in that sends the password as it is: the driver would, for any server that asks."""

    def __init__(self, driver: object) -> None:
        self._driver = driver

    def authenticate(self, packet: object) -> NoReturn:
        raise RuntimeError("the server asks for the password in clear text, and others could read or be it")


def _drained(attempt: Generator[Fact, None, Login]) -> tuple[list[Fact], Login]:
    """All that an attempt yields, and what it comes to."""
    seen: list[Fact] = []
    while True:
        try:
            seen.append(next(attempt))
        except StopIteration as end:
            return seen, end.value


class Line:
    """The connection of one run. Its methods are checks, used one after the other, each perhaps in another thread."""

    def __init__(self, found: Found) -> None:
        self.target = found.target
        self._found = found
        self._socket: socket.socket | None = None
        self._door: Door | None = None
        self._greeting: Greeting | None = None
        self._driver: pymysql.connections.Connection[Any] | None = None
        self._gone = ""
        self._connections = self._queries = 0
        self._turn = threading.Lock()
        # Who we are once logged in: the account that the server chose, and the number of our own session.
        self.user = ""
        self.own_id: int | None = None
        self.flavour: Flavour = ""
        self.version = ""
        # How far a long check is, for whoever watches.
        self.doing = ""

    # The way to the server

    def open(self, facts: Facts, deadline: Deadline) -> Iterator[Fact]:
        """Connect to the socket, or to one address after the other until one opens, as clients do."""
        if self.target.socket:
            yield self._open_socket(deadline)
            return
        addresses, silent = self._addresses(facts), []
        for number, address in enumerate(addresses):
            share = (deadline.waits() - _ROOM) * 0.6 / (len(addresses) - number)
            answer = self._knock(address, max(0.2, min(_ADDRESS, share)))
            if answer.word == "silent":
                silent.append(answer)
                continue
            yield answer
            if self._socket is not None:
                break
        for answer in silent:
            # A path that loses packets lets the second through; one that swallows all of them does not.
            again = self._socket is None and deadline.waits() > _SECOND_TRY + 1.0
            yield self._knock(answer.address, _SECOND_TRY, answer) if again else answer

    def _addresses(self, facts: Facts) -> list[str]:
        addresses = list(dict.fromkeys(a for answer in facts.of(NameAnswer) for a in answer.addresses))
        if not addresses and _NUMERIC.fullmatch(self.target.host):
            addresses = [self.target.host]
        if not addresses:
            raise CannotLook(Gap("skipped", f"no address is known for {self.target.host}"))
        return addresses[:_ADDRESSES]

    def _knock(self, address: str, most: float, before: TcpAnswer | None = None) -> TcpAnswer:
        family, _, _, _, where = socket.getaddrinfo(
            address, self.target.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )[0]
        begin = time.monotonic()
        opened, code = _connect((family, where), most)
        took = time.monotonic() - begin
        if opened is not None:
            self._keep(opened, (family, where))
        word: TcpWord = "open" if opened is not None else "silent" if code is None else words.TCP.get(code, "failed")
        return TcpAnswer(
            subject=endpoint(address, self.target.port), host=self.target.host, address=address, port=self.target.port,
            family="IPv6" if family == socket.AF_INET6 else "IPv4", word=word, errno=code,
            seconds=took + (before.seconds if before is not None and word == "silent" else 0.0),
            tries=1 if before is None else before.tries + 1, open_tries=int(opened is not None),
        )  # fmt: skip

    def _open_socket(self, deadline: Deadline) -> SocketAnswer:
        path, begin = self.target.socket, time.monotonic()
        while True:
            opened, code = _connect((socket.AF_UNIX, path), _QUEUE)
            took = time.monotonic() - begin
            if code != errno.EAGAIN or took > _QUEUE or deadline.waits() < _QUEUE:
                break
            time.sleep(0.05)
        if opened is not None:
            self._keep(opened, (socket.AF_UNIX, path))
        word: SocketWord = "open" if opened is not None else words.SOCKET.get(code or 0, "failed")
        if word == "stale" and not _is_socket(path):
            word = "no-socket"
        return SocketAnswer(subject=path, word=word, errno=code, seconds=took)

    def _keep(self, opened: socket.socket, door: Door) -> None:
        self._socket, self._door = opened, door
        self._connections += 1

    # The first word

    def greet(self, facts: Facts, deadline: Deadline) -> Iterator[Fact]:
        """What the server says first. The bytes stay where they are: the login reads them again."""
        if self._socket is None:
            raise CannotLook(Gap("skipped", f"no connection to {self.target.subject} opened"))
        begin = time.monotonic()
        until = begin + max(0.2, min(_GREETING, deadline.waits() - _PROBE - 2 * _ROOM))
        said = self._first_word(self._socket, begin, until)
        if said.word == "silent" and deadline.waits() > _PROBE + _ROOM:
            try:
                self._socket.sendall(_QUESTION)
                late = self._first_word(self._socket, begin, time.monotonic() + _PROBE)
            except ConnectionError:
                late = said
            # Whoever then hangs up has said nothing all the same.
            said = late if late.word in ("mysql", "error", "other") else said
            self._hang_up()  # whatever it was, we have spoken out of turn: a login needs a new connection
        self._greeting, self.flavour, self.version = said, said.flavour, said.version
        if said.word != "mysql":
            self._hang_up()
        yield said

    def _first_word(self, opened: socket.socket, begin: float, until: float) -> Greeting:
        subject, first, data = self.target.subject, 0.0, b""
        while (left := until - time.monotonic()) > 0 and _readable(opened, left):
            try:
                seen = opened.recv(65536, socket.MSG_PEEK)
            except ConnectionError:
                return Greeting(subject=subject, word="reset", seconds=time.monotonic() - begin)
            if not seen and not data:
                return Greeting(subject=subject, word="closed", seconds=time.monotonic() - begin)
            first = first or time.monotonic() - begin
            whole = len(seen) >= 4 + int.from_bytes(seen[:3], "little")
            grew, data = len(seen) > len(data), seen or data
            if whole or not grew:
                break
            time.sleep(max(0.0, min(0.1, until - time.monotonic())))  # the rest of the packet is on its way
        if not data:
            return Greeting(subject=subject, word="silent", seconds=time.monotonic() - begin)
        return Greeting(subject=subject, seconds=first, **words.parse_greeting(data))

    # The login

    def login(self, facts: Facts, deadline: Deadline) -> Iterator[Fact]:
        """Log in as asked; where that is turned away, with TLS, and as this host's administrator.

        Where nobody greets us over TCP, the administrator's door tells a server that hangs from one that only takes
        long over us.
        """
        target, greeting = self.target, self._greeting
        if greeting is None or greeting.word not in ("mysql", "error"):
            if greeting is not None and greeting.word == "silent" and not target.socket:
                yield from self._as_admin(facts, deadline, _OTHER_DOOR)
            raise CannotLook(Gap("skipped", f"{target.subject} has not greeted us as a MySQL server"))
        if greeting.word == "error":
            word = words.LOGIN.get(greeting.code or 0, "failed")
            last = self._told("asked", word, 0.0, tls=False, code=greeting.code, text=greeting.text)
            yield last
        else:
            opened = self._socket or self._again(deadline)
            if opened is None:
                raise CannotLook(Gap("failed", f"{target.subject} greets late, and does not open again"))
            # Clients speak TLS over a Unix socket only where they are told to.
            wish: TlsWish = "off" if target.socket and target.tls == "preferred" else target.tls
            last = yield from self._attempt("asked", opened, wish, deadline)
        if last.word in ("denied", "tls-required") and not last.tls and greeting.tls:
            opened = self._again(deadline)
            if opened is not None:
                last = yield from self._attempt("with-tls", opened, "required", deadline)
        if last.word == "ok":
            return
        if last.word not in words.TURNED_AWAY:
            # Neither let in nor turned away: that must not pass for a login that works.
            raise CannotLook(Gap("failed", f"the login came to no end: {last.text or last.word}", "try again"))
        admin = yield from self._as_admin(facts, deadline, _ANSWER, full=last.word == "too-many-connections")
        if admin is not None and admin.word == "ok":
            return
        give = "give one: --user NAME --password-file FILE, or a [client] section in ~/.my.cnf"
        if not target.account_given:
            raise CannotLook(
                Gap("forbidden", f"no account was given, and {target.user or 'nobody'} may not log in", give)
            )
        if last.word == "plugin" and (last.code is None or 2000 <= last.code < 3000):
            # Not the server but our own driver gave up: other clients may log in.
            another = (
                f"pip install 'rbdiag[mariadb]' where it is ed25519; else {give.replace('one', 'another account')}"
            )
            raise CannotLook(Gap("failed", f"our driver cannot log in as this account does: {last.text}", another))

    def _again(self, deadline: Deadline, door: Door | None = None) -> socket.socket | None:
        opened, _ = _connect(door or self._door or (socket.AF_UNIX, self.target.socket), deadline.left(1.0))
        self._connections += opened is not None
        return opened

    def _as_admin(
        self, facts: Facts, deadline: Deadline, answer: float, *, full: bool = False
    ) -> Generator[Fact, None, Login | None]:
        """Through the socket of the server behind the target, where we are root and have not tried just that.

        A `full` server keeps one more connection for administrators, which clients that try again and again hold for
        moments: so do we then, a few times.
        """
        server = next((s for s in facts.of(ServerProcess) if s.role == "target"), None)
        if os.geteuid() != 0 or server is None or not server.sockets:
            return None
        path, target = server.sockets[0], self.target
        if target.socket == path and target.user == "root" and not target.password and not full:
            return None
        for left in reversed(range(_KNOCKS if full else 1)):
            opened = self._again(deadline, (socket.AF_UNIX, path))
            if opened is None:
                return None
            seen, login = _drained(self._attempt("admin", opened, "off", deadline, answer))
            if login.word != "too-many-connections" or not left:
                yield from seen
                return login
            deadline.sleep(_BETWEEN_KNOCKS)
        return None

    def _told(self, attempt: Attempt, word: LoginWord, seconds: float, **more: Any) -> Login:
        admin, text = attempt == "admin", more.get("text", "")
        account = "@".join(seen.groups()) if (seen := re.search(r"for user '([^']*)'@'([^']*)'", text)) else ""
        if seen := re.match(r"Host '([^']+)' is (?:not allowed|blocked)", text):
            account = f"{self.target.user}@{seen[1]}"
        return Login(
            subject=self.target.subject, attempt=attempt, word=word, user="root" if admin else self.target.user,
            tls_offered=bool(self._greeting and self._greeting.tls), seconds=seconds,
            password=self.target.password and not admin, database="" if admin else self.target.database,
            **({"account": account} | more),
        )  # fmt: skip

    def _attempt(
        self, attempt: Attempt, opened: socket.socket, wish: TlsWish, deadline: Deadline, answer: float = _ANSWER
    ) -> Generator[Fact, None, Login]:
        """One login on an open connection: how TLS went, where it was spoken, and how the login ended."""
        from rbdiag.collect import tls

        begin, verify = time.monotonic(), wish.startswith("verify")
        offered = bool(self._greeting and self._greeting.tls)
        context: Context | None = None
        failed: _Turned | None = None
        if wish not in ("off", "preferred") and not offered:
            yield self._no_tls("unavailable", verify, 0.0, "the server offers no TLS")
            failed = _Turned("tls-failed", None, "the server offers no TLS")
        elif wish != "off" and offered:
            try:
                context = tls.context(verify=verify, names=wish == "verify-identity", ca=self._found.ssl_ca)
            except OSError as error:
                detail = f"{self._found.ssl_ca}: {tls.detail_of(error)}"
                yield self._no_tls("ca-file", verify, 0.0, detail)
                failed = _Turned("tls-failed", None, f"our own CA file cannot be used: {detail}")
        if failed is None:
            try:
                self._log_in(attempt, opened, context, deadline, answer)
            except _Turned as turned:
                failed = turned
        if self._driver is None:
            opened.close()
            self._socket = None
        took, encrypted = time.monotonic() - begin, context is not None and context.done
        if context is not None:
            yield from self._tls_facts(context, verify)
        if failed is None:
            more = self._schemas(deadline) if attempt == "admin" and self.target.database else {}
            told = self._told(attempt, "ok", took, tls=encrypted, account=self.user, **more)
        else:
            told = self._told(attempt, failed.word, took, tls=encrypted, code=failed.code, text=failed.text)
        yield told
        return told

    def _no_tls(self, word: TlsWord, verify: bool, seconds: float, detail: str) -> TlsAnswer:
        return TlsAnswer(
            subject=self.target.subject, word=word, verified=verify, version="", cipher="", detail=detail,
            seconds=seconds,
        )  # fmt: skip

    def _tls_facts(self, context: Context, verify: bool) -> Iterator[Fact]:
        from rbdiag.collect import tls

        seen = tls.certificate(context.shown, self.target.subject)
        if context.error is not None:
            word = tls.word_for(context.error, context.shown, context.get_ca_certs())
            yield self._no_tls(word, verify, context.seconds, tls.detail_of(context.error))
        elif context.done:
            yield TlsAnswer(
                subject=self.target.subject, word="ok", verified=verify, version=context.version, detail="",
                cipher=context.cipher, seconds=context.seconds,
                would="" if verify or seen is None else tls.would_say(seen, self.target.host, time.time()),
            )  # fmt: skip
        if seen is not None:
            yield seen

    def _log_in(
        self, attempt: Attempt, opened: socket.socket, context: Context | None, deadline: Deadline, answer: float
    ) -> None:
        """Let PyMySQL log in on this socket, and become the line. Raises _Turned where it could not."""
        import pymysql

        target, admin = self.target, attempt == "admin"
        wait = max(0.2, min(answer, deadline.waits() - _ROOM))
        more: dict[str, Any] = {"ssl_disabled": True} if context is None else {"ssl": context}
        if opened.family != socket.AF_UNIX and (context is None or not context.verify_mode):
            more["auth_plugin_map"] = {"mysql_clear_password": _NotInTheClear, "dialog": _NotInTheClear}
        driver: pymysql.connections.Connection[Any] = pymysql.connections.Connection(
            user="root" if admin else target.user, host=target.host or "localhost", port=target.port or 3306,
            # As bytes: the driver would write a str in latin-1.
            password=b"" if admin else (self._found.secret.reveal() or "").encode(errors="surrogateescape"),
            database=None if admin else target.database or None, charset="utf8mb4", autocommit=None,
            local_infile=False, defer_connect=True, program_name="rbdiag",
            connect_timeout=wait, read_timeout=wait, write_timeout=wait, **more,
        )  # fmt: skip
        driver._secure = opened.family == socket.AF_UNIX  # type: ignore[attr-defined]
        try:
            driver.connect(opened)
        except pymysql.MySQLError as error:
            raise self._turned(error, context) from error
        except Exception as error:
            # The driver trips over odd bytes, and over libraries that are not there, in many ways.
            word: LoginWord = "plugin" if isinstance(error, RuntimeError) else "failed"
            raise _Turned(word, None, f"{type(error).__name__}: {error}") from error
        self._socket, self._driver = None, driver
        self._queries += 1  # the driver's SET NAMES
        # Bytes that are no UTF-8 must not break a whole answer: what comes is decoded by ourselves (see _text).
        driver.encoding = "latin-1"
        said: str = driver.get_server_info()  # type: ignore[no-untyped-call]
        self.flavour, self.version = words.flavour_of(said), words.plain_version(said)
        self.user = driver.user.decode() if isinstance(driver.user, bytes) else str(driver.user)
        try:
            self._settle_in(deadline)
        except CannotLook as error:
            self._quit()
            cause = error.__cause__
            code, text = _said(cause) if isinstance(cause, pymysql.MySQLError) else (None, str(error))
            raise _Turned(words.LOGIN.get(code or 0, "failed"), code, text) from error
        except OutOfTime as error:
            raise _Turned("silent", None, "no answer to the first question within the time") from error

    def _turned(self, error: pymysql.MySQLError, context: Context | None) -> _Turned:
        """What the driver's error means for the login."""
        import ssl

        from rbdiag.collect import tls

        code, text = _said(error)
        cause = getattr(error, "original_exception", None) or error.__context__
        if context is not None and context.error is not None:
            if isinstance(context.error, TimeoutError):
                return _Turned("silent", None, "no answer within the time in the TLS handshake")
            return _Turned("tls-failed", 2026, tls.detail_of(context.error))
        if isinstance(cause, TimeoutError):
            return _Turned("silent", code, "no answer within the time")
        if context is not None and isinstance(cause, ssl.SSLError) and tls.word_for(cause) == "client-certificate":
            context.error = cause  # in TLS 1.3 what the server thinks of us arrives after the handshake
            return _Turned("tls-failed", 2026, tls.detail_of(cause))
        if code is None:
            # The driver's own complaints bear no number: about a way to log in that it does not know, or odd bytes.
            return _Turned("plugin" if "auth" in text else "failed", None, text)
        return _Turned(words.LOGIN.get(code, "failed"), code, text)

    def _settle_in(self, deadline: Deadline) -> None:
        """Let nothing that we ask run or wait for long, whatever becomes of us, and learn who we are."""
        limit = "max_statement_time=2" if self.flavour == "MariaDB" else "max_execution_time=2000"
        for limits in (f"{limit}, lock_wait_timeout=1, innodb_lock_wait_timeout=1", "lock_wait_timeout=1"):
            try:
                self._query(f"SET SESSION {limits}", deadline)
                break
            except NotHere:
                continue  # an older version, or a proxy: our own timeouts bound each question all the same
        row = self._query("SELECT CURRENT_USER() AS account, CONNECTION_ID() AS id", deadline)[0]
        self.user, self.own_id = str(row["account"]), int(row["id"])

    def _schemas(self, deadline: Deadline) -> dict[str, Any]:
        """Whether the database asked for exists, and which names are like it."""
        from difflib import get_close_matches

        wanted = self.target.database
        try:
            rows = self._query("SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA LIMIT 2000", deadline)
        except (CannotLook, OutOfTime):
            return {}  # the login itself has worked; the next question will tell what is wrong
        names = {str(row["name"]).lower(): str(row["name"]) for row in rows}
        like = get_close_matches(wanted.lower(), names, n=3, cutoff=0.6)
        exists = wanted in names.values()
        return {"database_exists": exists, "databases_like": tuple(names[n] for n in like if names[n] != wanted)}

    # Asking

    def ask(self, sql: str, deadline: Deadline, args: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        """The rows that a statement gives, each by its columns' names; texts are str, whatever their bytes.

        Raises NotHere where this version knows no such thing, CannotLook where we may not or where the connection is
        gone, and OutOfTime where the answer did not come; then the connection is closed.
        """
        with self._turn:
            return self._query(sql, deadline, args)

    def _query(self, sql: str, deadline: Deadline, args: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        import pymysql
        from pymysql.cursors import DictCursor

        driver = self._driver
        if driver is None:
            raise CannotLook(Gap("skipped", self._gone or "nobody is logged in to the server"))
        # Bounds each wait of the driver: for the statement to leave, and for its answer.
        driver._read_timeout = driver._write_timeout = deadline.left()  # type: ignore[attr-defined]
        cursor = driver.cursor(DictCursor)
        statement: Any = cursor.mogrify(sql, args or None).encode()  # the driver sends bytes as they are
        self._queries += 1
        try:
            cursor.execute(statement)
            rows = cursor.fetchall()
        except pymysql.MySQLError as error:
            self._refused(error, sql)
        except Exception as error:  # an answer that is no answer: a proxy's, or cut off
            self._gone = "the connection was given up after an answer that makes no sense"
            self._quit()
            raise CannotLook(Gap("failed", f"the answer makes no sense: {type(error).__name__}: {error}")) from error
        return [{name: _text(value) for name, value in row.items()} for row in rows]

    def _refused(self, error: pymysql.MySQLError, sql: str) -> NoReturn:
        """Turn the error of a statement into what it means for the check."""
        code, text = _said(error)
        what = f"{code} {redact(text)}" if code else redact(text)
        if code is None or code in words.LOST:
            late = isinstance(error.__context__, TimeoutError)
            self._gone = "a question was not answered in time" if late else "the connection to the server was lost"
            self._quit()
            if late:
                raise OutOfTime from error
            raise CannotLook(Gap("failed", f"{self._gone}: {what}")) from error
        if code in words.FORBIDDEN:
            unlock = words.grant(text, self.user, sql)
            raise CannotLook(Gap("forbidden", f"{self.user} may not look: {what}", unlock)) from error
        if code in words.NOT_HERE:
            raise NotHere(Gap("missing", f"this version has no such thing: {what}")) from error
        short = "the server cut our question short" if code in words.CUT_SHORT else "the server refused our question"
        raise CannotLook(Gap("failed", f"{short}: {what}")) from error

    # The end

    def count(self) -> tuple[int, int]:
        """How many connections were opened, and how many statements were sent."""
        return self._connections, self._queries

    def close(self) -> None:
        """Say goodbye; never waits longer than a moment, not even for a check that still uses the line."""
        if self._turn.acquire(timeout=_QUIT):
            try:
                self._quit()
            finally:
                self._turn.release()
        self._hang_up()

    def _quit(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None and driver.open:
            driver._write_timeout = _QUIT  # type: ignore[attr-defined]
            driver.close()

    def _hang_up(self) -> None:
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()


def _connect(door: Door, most: float) -> tuple[socket.socket | None, int | None]:
    """Connect within that time: the open socket, or the kernel's errno (None where nothing came)."""
    opened = socket.socket(door[0], socket.SOCK_STREAM)
    opened.setblocking(False)
    try:
        code: int | None = opened.connect_ex(door[1])
    except OSError as error:  # a path that is too long for a socket's address
        code = error.errno or errno.ENAMETOOLONG
    if code == errno.EINPROGRESS:
        code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if _ready(opened, select.POLLOUT, most) else None
    if code == 0:
        opened.setblocking(True)
        return opened, None
    opened.close()
    return None, code


def _ready(opened: socket.socket, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(opened, event)
    return bool(poll.poll(seconds * 1000))


def _readable(opened: socket.socket, seconds: float) -> bool:
    return _ready(opened, select.POLLIN, seconds)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True  # it cannot be told: what the kernel said stands


def _said(error: pymysql.MySQLError) -> tuple[int | None, str]:
    """The number and the text of the driver's error; it has errors without a number."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None
    return code, str(error.args[1] if code is not None and len(error.args) > 1 else error)


def _text(value: Any) -> Any:
    """A value as it came, its text decoded: the driver was told latin-1, which loses no byte."""
    if isinstance(value, str):
        return value.encode("latin-1", "replace").decode("utf-8", "replace")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
