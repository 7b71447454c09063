"""`rbdiag db`: the options of the database runbook."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rbdiag.cli import options
from rbdiag.cli.configured import service_of, settings_of, target_of
from rbdiag.cli.main import Command
from rbdiag.cli.options import DEADLINE, RunOptions, ShowOptions
from rbdiag.cli.streams import say
from rbdiag.cli.values import TargetName

if TYPE_CHECKING:
    from rbdiag.settings import Settings, Target

# CHECK TABLE reads every page of every table: minutes on a large server, and the rest of the report waits for it.
CHECKING = 600.0


class Where(NamedTuple):
    """What chooses the database and the account, each by the name of its option; empty where nobody said."""

    target: str = ""
    host: str = ""
    port: int | None = None
    socket: str = ""
    user: str = ""
    database: str = ""
    defaults_file: str = ""
    password_file: str = ""
    ask_password: bool = False
    ssl_ca: str = ""
    require_tls: bool = False


@click.command(cls=Command)
@click.argument("target", required=False, type=TargetName("db"))
@click.option("-H", "--host", metavar="HOST", help="The name or address of its host; localhost means the socket.")
@click.option("-P", "--port", metavar="PORT", type=click.IntRange(1, 65535), help="Its port.")
@click.option("-S", "--socket", metavar="PATH", type=click.Path(), help="Its socket, in place of host and port.")
@click.option("-u", "--user", metavar="NAME", help="As whom to log in.")
@click.option("-D", "--database", metavar="NAME", help="The schema to use.")
@click.option(
    "--defaults-file",
    metavar="FILE",
    type=click.Path(),
    help="Read this client option file, and none of the usual ones.",
)
@click.option(
    "--password-file",
    metavar="FILE",
    type=click.Path(),
    help="The first line of this file is the password. Without it: option files, $RBDIAG_DB_PASSWORD, $MYSQL_PWD.",
)
@click.option("--ask-password", is_flag=True, help="Ask for the password on the terminal.")
@click.option(
    "--ssl-ca", metavar="FILE", type=click.Path(), help="Demand TLS with a certificate that one of these has issued."
)
@click.option("--require-tls", is_flag=True, help="Never log in without TLS.")
@click.option(
    "--check-tables",
    metavar="[SCHEMA]",
    is_flag=False,
    flag_value="",
    help="Run CHECK TABLE on this schema, or on all. Reads every table to its end, which nothing else here does.",
)
@options.of_files
@options.of_runbook("db", longer=f"{CHECKING:g} with --check-tables")
@click.pass_obj
def db(
    file: str | None,
    /,
    run: RunOptions,
    show: ShowOptions,
    logs: tuple[str, ...],
    config: tuple[str, ...],
    check_tables: str | None,
    **given: Any,
) -> int:
    """Database connection failures (MySQL, MariaDB): the exact layer that fails, and why.

    TARGET is host[:port], [v6]:port, mysql://user@host:port/database, the path of a socket, or a target of the
    settings file. Without one: what the client option files and the server that runs on this host say.

    Follows a connection by name, route, port, greeting, TLS and login to the first query; looks at the server from
    within where it lets us in, and at its process, files and logs where it runs on this host. Reads only.
    """
    configured = settings_of(file)
    # An empty variable in somebody's script must not end at another database.
    if empty := next((name for name, value in given.items() if isinstance(value, str) and not value.strip()), None):
        option = "TARGET" if empty == "target" else f"--{empty.replace('_', '-')}"
        raise click.UsageError(f"the value of {option} is empty")
    asked = Where(**{name: value for name, value in given.items() if value is not None})
    entry = target_of(asked.target, "db", configured)
    refuse_contradictions(asked, entry, check_tables, configured)
    command = again(file, asked, run.service, logs, config)
    meant = filled_in(asked, entry) if entry else asked
    service = service_of(run.service, configured) or (entry.service if entry else "")
    logs = logs or (entry.log if entry else ())
    config = config or (entry.config if entry else ())

    from rbdiag.cli.report import carry_out
    from rbdiag.runbooks.db import find, plan

    if meant.password_file and not show.quiet:
        warn_if_others_may_read(meant.password_file)
    password = ask_password() if meant.ask_password else None
    try:
        found = find(
            meant.target,
            host=meant.host,
            port=meant.port,
            socket=meant.socket,
            user=meant.user,
            database=meant.database,
            defaults_file=meant.defaults_file,
            password_file=meant.password_file,
            password=password,
            ssl_ca=meant.ssl_ca,
            require_tls=meant.require_tls,
            environ=os.environ,
            again=command,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    planned = plan(found=found, service=service, logs=logs, config=config, check_tables=check_tables, since=run.since)
    seconds = run.deadline or (DEADLINE if check_tables is None else CHECKING)
    return carry_out(planned, seconds, configured, run, show, concerned=(service, entry.name if entry else ""))


def refuse_contradictions(asked: Where, entry: Target | None, check_tables: str | None, settings: Settings) -> None:
    """Raise UsageError, with a sentence, for what cannot all be meant."""
    places = {"--host": asked.host, "--port": asked.port, "--socket": asked.socket}
    given = [option for option, value in places.items() if value]
    if given and (entry.target if entry else asked.target):
        which = f"{asked.target} of the settings file" if entry else "TARGET"
        raise click.UsageError(f"{which} says where the database is, and so does {given[0]}: give one of them")
    if asked.socket and len(given) > 1:
        raise click.UsageError(f"{given[0]} means TCP, and --socket does not: give one of them")
    if asked.ask_password and asked.password_file:
        raise click.UsageError("--ask-password and --password-file exclude each other")
    if check_tables and not asked.target and (set(check_tables) & set(":/") or check_tables in settings.targets):
        raise click.UsageError(f"--check-tables takes a schema, and {check_tables} is none: put TARGET before it")


def filled_in(asked: Where, entry: Target) -> Where:
    """What was asked for, with what the target of the settings file says where nothing was."""
    return asked._replace(
        target=entry.target,
        user=asked.user or entry.user,
        database=asked.database or entry.database,
        defaults_file=asked.defaults_file or entry.defaults_file,
        password_file=asked.password_file or ("" if asked.ask_password else entry.password_file),
        ssl_ca=asked.ssl_ca or entry.ssl_ca,
    )


def warn_if_others_may_read(file: str) -> None:
    """Say so where everybody on this host can read the password. It is used all the same: that is not today's worry."""
    try:
        mode = os.stat(os.path.expanduser(file)).st_mode
    except OSError:
        return  # whoever reads it says what is wrong with it
    if stat.S_ISREG(mode) and mode & stat.S_IROTH:
        say(f"everybody on this host may read the password: chmod 600 {file}")


def ask_password() -> str:
    """The password that somebody types unseen. Raises UsageError where there is nobody to ask."""
    if not os.isatty(0):
        raise click.UsageError("--ask-password needs a terminal; without one there is --password-file")
    password: str = click.prompt("Password", default="", hide_input=True, show_default=False, err=True)
    return password


def again(file: str | None, asked: Where, service: str, logs: tuple[str, ...], config: tuple[str, ...]) -> str:
    """The command line that looks at the same once more. No option of ours takes a secret, so there is none in it."""
    from shlex import join

    chosen = [
        ("-H", asked.host), ("-P", asked.port), ("-S", asked.socket), ("-u", asked.user), ("-D", asked.database),
        ("--defaults-file", asked.defaults_file), ("--password-file", asked.password_file), ("--ssl-ca", asked.ssl_ca),
        ("-s", service), *(("-l", log) for log in logs), *(("-c", path) for path in config),
    ]  # fmt: skip
    words = ["rbdiag", *(["--settings", file] if file else []), "db"]
    words += [asked.target] if asked.target else []
    words += [word for option, value in chosen if value for word in (option, str(value))]
    words += ["--ask-password"] if asked.ask_password else []
    words += ["--require-tls"] if asked.require_tls else []
    return join(words)
