"""A real MariaDB of one's own, ready in half a second: see `tests.servers.database` for what it can do.

with MariaDB(max_connections=20) as server:
    server.start()
    server.sql("SELECT 1")
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

from tests.servers.database import Database, Option, made_once, short_folder

PROGRAM = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/libexec")
INSTALL = shutil.which("mariadb-install-db", path=f"{os.environ.get('PATH', '')}:/usr/bin")


def missing() -> str | None:
    """Why there is no MariaDB here, or None."""
    if PROGRAM and INSTALL:
        return None
    return f"needs {'mariadb-install-db' if PROGRAM else 'mariadbd'} (apt install mariadb-server)"


class MariaDB(Database):
    """A MariaDB server that a test owns: root without a password, no other account, no schema of anybody."""

    program = "mariadbd"
    section = "mariadbd"
    defaults: dict[str, Option] = {  # noqa: RUF012
        "innodb-buffer-pool-size": "16M",
        "innodb-log-file-size": "4M",
        "performance-schema": "OFF",
    }

    def command(self) -> list[str]:
        assert PROGRAM is not None, missing()
        return [PROGRAM]

    @classmethod
    @cache
    def template(cls) -> Path:
        assert INSTALL is not None, missing()
        folder = short_folder("mariadb")
        data = folder / "data"
        make = [INSTALL, "--no-defaults", f"--datadir={data}", f"--tmpdir={folder}",
                "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
                "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M"]  # fmt: skip
        made_once([*make, "--user=root"] if os.geteuid() == 0 else make, folder)
        return data
