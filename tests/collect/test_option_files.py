"""The reader of option files, compared with the servers' own `my_print_defaults`, on files that a person would write
and on files that nobody would."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbdiag.collect import option_files as o

ORACLE = shutil.which("my_print_defaults")
needs_oracle = pytest.mark.skipif(ORACLE is None, reason="my_print_defaults is not installed (mariadb-client-core)")


def write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o644)
    return str(path)


def theirs(path: str, *groups: str) -> tuple[int, bytes]:
    done = subprocess.run([ORACLE, f"--defaults-file={path}", *groups], capture_output=True)
    return done.returncode, done.stdout


def ours(path: str, *groups: str) -> tuple[int, bytes]:
    with mock.patch.object(o, "canonical", lambda written, value: (written, value)):  # they print it as it is written
        files = o.read([path], required=True)
    if files.fatal:
        return 2, b""
    lines = [f"--{x.written}" + ("" if x.value is None else f"={x.value}") for x in files.of(groups)]
    return 0, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


WRITTEN = {
    "comments and blanks": "# c\n; c\n\n  [client]  \n  port = 3307 # note\n\tuser=x\t\n",
    "quotes": "[client]\na=\"x#y\"\nb='x y' \n"
    "c=\"x\\\"y\"\nd='\ne='\"'\nf=\"a\"b\"\ng=\"\"\nh=it's # ok\nk=\"a\\\"#b\"#c\n",
    "escapes": "[client]\na=a\\sb\\tc\\\\d\\qz\\\nb=\"\\\\\"\nc=\\x41\\'\n",
    "options without a value": "[client]\nskip-ssl\nname # c = 4\nx=\n=3\n- odd\nfoo bar = 3\n--dashed=4\n",
    "groups without case, some with a blank": "[CLIENT] junk\na=1\n[ client ]\nb=2\n[client ]\nc=3\n[client]#x\nd=4\n",
    "dos lines": "[client]\r\nport=3\r\nq=\"a b\"\r\nskip-x\r\n",
    "no line end": "[client]\nlast",
    "a byte order mark": b"\xef\xbb\xbf[client]\nport=3\n",
    "a group without a bracket": "[client]\na=1\n[client\nb=2\n",
    "an option before any group": "a=1\n[client]\nb=2\n",
    "odd directives": "[client]\n!foo x\n!includes y\n!include /nonexistent.cnf\na=1\n!include",
    "an include of nothing": "[client]\na=1\n!include \nb=2\n",
    "bytes that are no text": b"[client]\na=1\0b\nc=2\nx\xff=3\xa0 \nd=\xa0z\n",
    "a line longer than the buffer": "[client]\na=" + "x" * 5000 + "\nb=2\n#" + "y" * 4090 + "[mysql]\nc=1\n",
    "vertical blanks": "[client]\n\x0b#c\n\x0c[client\x0c]\nn=\x0b1\x0b\n",
}  # fmt: skip


@needs_oracle
@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_a_file_is_read_as_the_programs_read_it(text: str | bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "my.cnf", text)
    assert ours(path, "client", "mysql") == theirs(path, "client", "mysql")


@needs_oracle
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.one_of(
            st.sampled_from(["[client]", "[mysql]", "[Client]", "[server]", "# c", "!include other", "!includedir"]),
            st.builds(
                lambda name, sign, value: name + sign + value,
                st.sampled_from(["port", "a-b", " a_b ", "skip-x", "loose-y", "é"]),
                st.sampled_from(["=", " = ", "", "==", "=\t"]),
                st.text(alphabet="ab1é \t\\\"'#;=[]nstrb", max_size=12),
            ),
            # an option without a name behind a blank makes them read what lies before the line
            st.text(alphabet="[]!#;=ab \\\"'", max_size=8).filter(lambda line: not line.lstrip().startswith("=")),
        ),
        max_size=12,
    )
)
def test_any_file_is_read_as_the_programs_read_it(lines: list[str], tmp_path: Path) -> None:
    path = write(tmp_path / "my.cnf", "\n".join(["[client]", *lines]))
    assert ours(path, "client", "mysql") == theirs(path, "client", "mysql")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A file that includes a folder, a file that is broken further down, and one that is not there."""
    folder = tmp_path / "conf.d"
    folder.mkdir()
    for name, text in (("z", "from_z=1"), ("a", "from_a=1"), (".hidden", "hidden=1")):
        write(folder / f"{name}.cnf", f"[client]\n{text}\n")
    write(folder / "b.cnf.bak", "[client]\nbackup=1\n")
    write(folder / "w.cnf", "[client]\nworld=1\n")
    (folder / "w.cnf").chmod(0o666)
    write(tmp_path / "broken.cnf", "[client]\nbefore=1\n[client\nnever=1\n")
    write(
        tmp_path / "my.cnf",
        f"!includedir {folder}\n!include {tmp_path}/broken.cnf\n!include {tmp_path}/none.cnf\n[client]\nlast=1\n",
    )
    return tmp_path


@needs_oracle
def test_includes_are_followed_as_the_programs_do(tree: Path) -> None:
    assert ours(str(tree / "my.cnf"), "client") == theirs(str(tree / "my.cnf"), "client")


def test_every_value_knows_where_it_stands(tree: Path) -> None:
    files = o.read([str(tree / "my.cnf")])
    assert [(x.name, os.path.relpath(x.file, tree), x.line) for x in files.options] == [
        ("hidden", "conf.d/.hidden.cnf", 2), ("from_a", "conf.d/a.cnf", 2), ("from_z", "conf.d/z.cnf", 2),
        ("before", "broken.cnf", 2), ("last", "my.cnf", 5),
    ]  # fmt: skip
    assert [(p.word, os.path.relpath(p.file, tree), p.line, p.stops) for p in files.problems] == [
        ("ignored", "conf.d/w.cnf", None, False), ("bad-group", "broken.cnf", 3, False),
    ]  # fmt: skip
    assert files.skipped == ((f"{tree}/conf.d/w.cnf", "world-writable"),)
    assert not files.fatal


def test_what_the_programs_give_up_on_is_told_apart(tmp_path: Path) -> None:
    for text, word in (
        ("[mysqld\nport=1\n", "bad-group"),
        ("port=1\n", "no-group"),
        ("!includedir /nonexistent\n", "unreadable"),
    ):
        files = o.read([write(tmp_path / "my.cnf", text)])
        assert files.fatal
        assert [(p.word, p.line, p.stops) for p in files.problems] == [(word, 1, True)]


def test_after_a_broken_file_nothing_more_is_read(tmp_path: Path) -> None:
    broken, fine = write(tmp_path / "a.cnf", "[mysqld\n"), write(tmp_path / "b.cnf", "[mysqld]\nport=1\n")
    assert o.read([broken, fine]).options == ()
    assert [x.name for x in o.read([fine, broken]).options] == ["port"]


def test_a_file_that_includes_itself_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "my.cnf", f"[client]\na=1\n!include {tmp_path}/my.cnf\nb=2\n")
    files = o.read([path])
    assert [x.name for x in files.options] == ["a", "b"]
    assert [p.word for p in files.problems] == ["loop"]


def test_includes_end_at_a_depth(tmp_path: Path) -> None:
    for n in range(15):
        write(tmp_path / f"{n}.cnf", f"[client]\nx{n}=1\n!include {tmp_path}/{n + 1}.cnf\n")
    files = o.read([str(tmp_path / "0.cnf")])
    assert files.options[-1].name == "x10"
    assert [(p.word, p.line) for p in files.problems] == [("loop", 3)]
    if ORACLE:
        assert ours(str(tmp_path / "0.cnf"), "client") == theirs(str(tmp_path / "0.cnf"), "client")


def test_a_file_that_is_not_there_is_only_missed_where_it_was_asked_for(tmp_path: Path) -> None:
    assert o.read([str(tmp_path / "none.cnf")]) == o.Files()
    assert [p.word for p in o.read([str(tmp_path / "none.cnf")], required=True).problems] == ["unreadable"]


def test_a_pipe_is_no_option_file_and_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "my.cnf", 0o644)
    assert [p.text for p in o.read([str(tmp_path / "my.cnf")]).problems] == ["cannot be read: is no regular file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_only_we_may_not_read_says_so(tmp_path: Path) -> None:
    write(tmp_path / "my.cnf", "[client]\n")
    (tmp_path / "my.cnf").chmod(0)
    assert [(p.word, p.forbidden) for p in o.read([str(tmp_path / "my.cnf")]).problems] == [("unreadable", True)]


def test_a_containers_includes_are_looked_for_in_the_container() -> None:
    assert o._beside("/proc/12/root/etc/my.cnf", "/etc/my.cnf.d") == "/proc/12/root/etc/my.cnf.d"
    assert o._beside("/proc/12/root/etc/my.cnf", "/proc/12/root/etc/x") == "/proc/12/root/etc/x"
    assert o._beside("/etc/my.cnf", "/etc/my.cnf.d") == "/etc/my.cnf.d"


@pytest.mark.parametrize(
    ("written", "value", "name", "said"),
    [
        ("max-connections", "5", "max_connections", "5"),
        ("Max_Connections", "5", "max_connections", "5"),
        ("loose-foo_bar", None, "foo_bar", None),
        ("skip-innodb", None, "innodb", "0"),
        ("loose-skip-innodb", None, "innodb", "0"),
        ("skip-innodb", "0", "innodb", "1"),
        ("skip-networking", None, "skip_networking", None),
        ("skip-name-resolve", "0", "skip_name_resolve", "0"),
        ("enable-slow-query-log", None, "slow_query_log", "1"),
        ("disable-log-bin", None, "log_bin", "0"),
        ("maximum-sort-buffer-size", "1M", "maximum_sort_buffer_size", "1M"),
        ("skip-", None, "skip_", None),
    ],
)
def test_all_ways_to_write_an_option_are_one(written: str, value: str | None, name: str, said: str | None) -> None:
    assert o.canonical(written, value) == (name, said)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("16M", 16 << 20),
        ("1g", 1 << 30),
        ("2K", 2048),
        ("0", 0),
        ("-1", -1),
        ("1E", 1 << 60),
        ("3Q", None),
        ("", None),
        ("1.5M", None),
    ],
)
def test_sizes_have_suffixes(text: str, number: int | None) -> None:
    assert o.number(text) == number


def test_the_last_wins_and_the_suffix_adds_groups(tmp_path: Path) -> None:
    path = write(
        tmp_path / "my.cnf", "[mysqld]\nport=1\n[mysqld.two]\nport=2\n[mariadb-10.11]\nport=3\n[mariadb-11.4]\nport=4\n"
    )
    files = o.read([path])
    assert files.winners(o.server_groups())["port"].value == "1"
    assert files.winners(o.server_groups(), ".two")["port"].value == "2"
    assert files.winners(o.server_groups("MariaDB", "10.11.6"))["port"].value == "3"
    assert files.winners(o.server_groups("MySQL", "8.0.36"))["port"].value == "1"


def test_the_command_line_says_which_files_are_read() -> None:
    given = o.arguments_in
    assert o.of_server(given("mariadbd --no-defaults --port=1")) == ((), "")
    assert o.of_server(given("mariadbd '--defaults-file=/a b.cnf' --defaults-group-suffix .two")) == (
        ("/a b.cnf",),
        ".two",
    )
    files, _ = o.of_server(given("mariadbd --defaults-extra-file=/x.cnf"), {"MYSQL_HOME": "/opt/db", "HOME": "/root"})
    assert files[:2] == ("/etc/my.cnf", "/etc/mysql/my.cnf")
    assert files[-3:] == ("/opt/db/my.cnf", "/x.cnf", "/root/.my.cnf")
    assert o.arguments(["mariadbd", "--port", "3307", "--skip-networking", "--socket=/s"]) == {
        "port": "3307", "skip_networking": "1", "socket": "/s",
    }  # fmt: skip


def lock(text: bytes) -> bytes:
    """A ~/.mylogin.cnf as mysql_config_editor writes it."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    seed = bytes(range(20))
    key = bytearray(16)
    for at, byte in enumerate(seed):
        key[at % 16] ^= byte
    out = b"\0\0\0\0" + seed
    for line in text.splitlines(keepends=True):
        pad = 16 - len(line) % 16
        seal = Cipher(algorithms.AES(bytes(key)), modes.ECB()).encryptor()
        sealed = seal.update(line + bytes([pad]) * pad) + seal.finalize()
        out += len(sealed).to_bytes(4, "little") + sealed
    return out


def test_a_login_path_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / ".mylogin.cnf",
        lock(b'[client]\nuser = "app"\npassword = "pl#nted"\nhost = "db1"\n[other]\nuser = "x"\n'),
    )
    assert {x.name: x.value for x in o.login_path(path)} == {"user": "app", "password": "pl#nted", "host": "db1"}


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 23, lock(b"[client]\n")[:-1], b"\0" * 24 + b"\x05\0\0\0hello"],
    ids=["empty", "short", "cut", "odd"],
)
def test_what_is_no_login_path_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="login path"):
        o.login_path(write(tmp_path / ".mylogin.cnf", data))


@pytest.mark.parametrize("argv", [[], ["mariadbd"]], ids=["a process that has ended", "a program alone"])
def test_a_command_line_may_hold_no_options(argv: list[str]) -> None:
    assert o.arguments(argv) == {}
