"""`rbdiag logs --follow`: what is told as it comes, what is not, and how it ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from tests.cli.program import Program
from tests.cli.terminal import Terminal
from tests.cli.test_logs import HEALTHY, HOSTILE, REFUSED, SECRET, line, log

TRACE = (
    'ERROR order failed\nTraceback (most recent call last):\n  File "/srv/shop.py", line 7, in total\nValueError: no'
)


class Following:
    """A running `rbdiag logs --follow`, once it has learnt what is usual."""

    def __init__(self, rbdiag: Program, *arguments: str, **how: object) -> None:
        argv = rbdiag.argv("logs", "--follow", "-o", "jsonl", *arguments)
        self.process = subprocess.Popen(argv, env=rbdiag.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)  # type: ignore[call-overload]
        self._rest = b""

    def __enter__(self) -> Following:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()

    def events(self, *, until: str, seconds: float = 20) -> list[dict[str, object]]:
        """The events up to the first whose text, title or event holds this."""
        found: list[dict[str, object]] = []
        for event in self._events(time.monotonic() + seconds):
            found.append(event)
            if any(until in str(event.get(key, "")) for key in ("event", "text", "title", "detail")):
                return found
        raise AssertionError(f"{until!r} never came; instead: {found}")

    def _events(self, end: float) -> Iterator[dict[str, object]]:
        assert self.process.stdout
        number = self.process.stdout.fileno()
        while time.monotonic() < end:
            *lines, self._rest = self._rest.split(b"\n")
            yield from map(json.loads, lines)
            if select.select([number], [], [], 0.1)[0]:
                if not (data := os.read(number, 65536)):
                    return
                self._rest += data


def append(path: str, *texts: str) -> None:
    with open(path, "a") as file:
        file.write("".join(line(0, text) for text in texts))


@pytest.fixture
def app(tmp_path: Path) -> str:
    return log(tmp_path / "app.log", (900, "INFO stock of item 7 is low"))


def test_what_is_known_new_or_thrown_is_told_as_it_comes(rbdiag: Program, app: str) -> None:
    with Following(rbdiag, app) as following:
        (begun,) = following.events(until="follow")
        assert begun["log"] == app
        assert 119 <= int(str(begun["lines"])) <= 121, "an hour of it"
        append(app, HEALTHY.format(n=1), REFUSED.format(n=1))
        known = following.events(until="refuse")[-1]
        append(app, TRACE, "INFO the cache is warm")
        thrown, new = following.events(until="the cache is warm")
    assert (known["event"], known["count"], known["log"]) == ("known", 1, app)
    assert known["codes"] == ["api.upstream-refused"]
    assert (thrown["event"], thrown["title"]) == ("exception", "ValueError at /srv/shop.py:7 in total: no")
    assert (new["event"], new["level"], new["count"]) == ("new", "info", 1)
    assert set(known) == set(new) == set(thrown)


def test_what_the_log_held_is_no_news_but_a_failure_is(rbdiag: Program, tmp_path: Path) -> None:
    path = log(tmp_path / "a.log", (60, REFUSED.format(n=1)), (50, "INFO stock of item 7 is low"))
    with Following(rbdiag, path) as following:
        following.events(until="follow")
        append(path, HEALTHY.format(n=1), "INFO stock of item 9 is low", REFUSED.format(n=2), "INFO the end")
        assert [event["event"] for event in following.events(until="the end")] == ["known", "new"]


def test_what_goes_on_is_told_at_ten_and_a_hundred(rbdiag: Program, app: str) -> None:
    with Following(rbdiag, app) as following:
        following.events(until="follow")
        append(app, *(f"WARN disk {n} is slow" for n in range(105)), "INFO the end")
        assert [event["count"] for event in following.events(until="the end")] == [1, 10, 100, 1]


def test_a_storm_of_one_kind_with_many_names_is_told_a_few_times(rbdiag: Program, app: str) -> None:
    with Following(rbdiag, app) as following:
        following.events(until="follow")
        append(app, *(REFUSED.format(n=1).replace("9001", str(9000 + n)) for n in range(90)), "INFO the end")
        names = [event["name"] for event in following.events(until="the end")]
    assert names[:20] == [f"127.0.0.1:{9000 + n}" for n in range(20)]
    assert len(names) == 20 + 2 + 1, "the others are one, told at 1 and at 10"


@pytest.mark.parametrize("way", ["renamed", "copied and truncated"])
def test_rotation_loses_nothing(rbdiag: Program, app: str, way: str) -> None:
    with Following(rbdiag, app) as following:
        following.events(until="follow")
        append(app, "WARN before it")
        if way == "renamed":
            os.rename(app, f"{app}.1")
            append(f"{app}.1", "WARN into the old file")
        else:
            Path(f"{app}.1").write_bytes(Path(app).read_bytes())
            os.truncate(app, 0)
        append(app, "WARN into the newer one")
        texts = [str(event["text"]) for event in following.events(until="into the newer one")]
        while way == "renamed" and not any("into the old file" in text for text in texts):
            texts += [str(event["text"]) for event in following.events(until="into the old file")]
    assert any("before it" in text for text in texts)


def test_a_writer_that_goes_on_where_it_was_in_an_emptied_file_is_heard(rbdiag: Program, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    with path.open("wb", buffering=0) as file:
        file.write(b"".join(line(1, HEALTHY.format(n=n)).encode() for n in range(9000)))
        with Following(rbdiag, str(path)) as following:
            following.events(until="follow")
            Path(f"{path}.1").write_bytes(path.read_bytes())
            os.truncate(path, 0)
            file.write(line(0, "WARN behind the hole").encode())
            (event,) = following.events(until="behind the hole")
    assert "\0" not in str(event["text"])


def test_standard_input_is_followed_to_its_end(rbdiag: Program) -> None:
    done = rbdiag("logs", "-f", "-", input=line(0, REFUSED.format(n=1)) + line(0, TRACE))
    assert (done.returncode, done.stderr) == (0, "rbdiag: following standard input; Ctrl-C ends it\n")
    assert [row.split()[1] for row in done.stdout.splitlines()] == ["known", "exception"]


def test_a_person_gets_a_line_an_event(rbdiag: Program, app: str) -> None:
    with Terminal(rbdiag.argv("logs", "-f", app), rbdiag.env(TERM="dumb")) as terminal:
        begun = terminal.read_until("ends it\r\n")
        append(app, f"ERROR {HOSTILE} went wrong at " + "x" * 100)
        shown = terminal.read_until("…")
    assert f"following {app}" in begun.replace("\r\n", "")
    assert "new        error: \\x1b[2J\\x1b]0;owned" in shown
    assert len(shown.strip()) <= 80


@pytest.mark.parametrize(
    ("errors", "says"),
    [
        pytest.param(0, "learnt its last {lines} lines; Ctrl-C ends it", id="none"),
        pytest.param(1, "with an error in them: rbdiag logs '{path}' tells of it; Ctrl-C ends it", id="one"),
        pytest.param(70, "with 70 errors in them: rbdiag logs '{path}' tells of them; Ctrl-C ends it", id="many"),
    ],
)
def test_a_person_is_told_what_was_learnt_wherever_that_goes(
    rbdiag: Program, tmp_path: Path, errors: int, says: str
) -> None:
    path = log(tmp_path / "the app.log", *((60 + n, "ERROR [worker] cannot sign the request") for n in range(errors)))
    done = rbdiag("logs", "-f", "-t", "1", path)
    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.partition("its last ")[2].partition(" ")[0]
    assert 119 + errors <= int(lines) <= 121 + errors
    assert done.stderr.startswith(f"rbdiag: following {path}: ")
    assert done.stderr.endswith(says.format(path=path, lines=lines) + "\n")
    asked = rbdiag("logs", "-f", "-t", "1", "-o", "jsonl", path)
    assert asked.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "SIGHUP"])
def test_what_follows_the_journal_ends_with_it(rbdiag: Program, tmp_path: Path, number: int) -> None:
    program = tmp_path / "journalctl"
    program.write_text(f'#!/bin/sh\ncase "$*" in *--follow*) echo $$ > {tmp_path}/pid; exec sleep 600;; esac\n')
    program.chmod(0o755)
    argv = rbdiag.argv("logs", "-f", "-s", "web.service")
    there = f"\nimport rbdiag.collect.log_streams as streams\nstreams._RUNS = {str(tmp_path)!r}\n"
    env = rbdiag.env(there) | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 20
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert time.monotonic() < end
            time.sleep(0.05)
        pid = int((tmp_path / "pid").read_text())
        process.send_signal(number)
        process.communicate(timeout=20)
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")


def test_logs_are_named_where_there_are_several(rbdiag: Program, app: str, tmp_path: Path) -> None:
    other = log(tmp_path / "other.log")
    with subprocess.Popen(
        rbdiag.argv("logs", "-f", "-t", "4", app, other), env=rbdiag.env(), stdout=subprocess.PIPE, text=True
    ) as process:
        time.sleep(2)
        append(other, "WARN no more cheese")
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "other.log: warning: no more cheese" in out


def test_no_secret_comes_out(rbdiag: Program, app: str) -> None:
    with Following(rbdiag, app) as following:
        following.events(until="follow")
        append(
            app,
            f"ERROR login with password={SECRET} failed",
            TRACE.replace(": no", f": token={SECRET}"),
            "INFO the end",
        )
        events = following.events(until="the end")
    assert len(events) == 3
    assert SECRET not in json.dumps(events)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_it(rbdiag: Program, app: str, number: int) -> None:
    with Following(rbdiag, app) as following:
        following.events(until="follow")
        following.process.send_signal(number)
        _, told = following.process.communicate(timeout=20)
        assert following.process.returncode == (130 if number == signal.SIGINT else -number)
    assert told == (b"rbdiag: interrupted\n" if number == signal.SIGINT else b"")


def test_a_closed_pipe_ends_it_quietly(rbdiag: Program, app: str) -> None:
    with Following(rbdiag, app) as following:
        following.events(until="follow")
        assert following.process.stdout
        following.process.stdout.close()
        append(app, "ERROR nobody listens")
        assert following.process.wait(20) == 0
        assert following.process.stderr
        assert following.process.stderr.read() == b""
        following.process.stdout = None


def test_it_ends_when_the_time_is_up(rbdiag: Program, app: str) -> None:
    assert rbdiag("logs", "-f", "-t", "1", app).returncode == 0


def test_a_log_that_is_still_empty_is_followed(rbdiag: Program) -> None:
    path = rbdiag.place / "empty.log"
    path.touch()
    with subprocess.Popen(
        rbdiag.argv("logs", "-f", "-t", "4", str(path)),
        env=rbdiag.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        time.sleep(2)
        append(str(path), "WARN no more cheese")
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err.decode()) == (0, f"rbdiag: following {path}; Ctrl-C ends it\n")
    assert b"warning: no more cheese" in out


def test_what_another_program_writes_is_followed_to_its_end(rbdiag: Program) -> None:
    done = rbdiag.shell("rbdiag logs -f <(echo ERROR the first; sleep 1; echo ERROR the last)")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert [row.rpartition(" ")[2] for row in done.stdout.splitlines()] == ["first", "last"]


def test_where_there_is_nothing_to_follow_it_is_said(rbdiag: Program) -> None:
    done = rbdiag("logs", "-f", "-t", "1", str(rbdiag.place / "none.log"))
    assert (done.returncode, done.stdout) == (3, "")
    assert "none.log is not there yet" in done.stderr


@pytest.mark.parametrize(
    "option", ["-o=json", "--json", "-o=nagios", "--new-only", "--only=logs.known", "--save=x", "-q", "--top=3"]
)
def test_what_makes_no_sense_without_a_report_is_wrong_usage(rbdiag: Program, app: str, option: str) -> None:
    done = rbdiag("logs", "-f", app, *option.split("="))
    assert (done.returncode, done.stdout) == (64 if "nagios" not in option else 3, done.stdout)
    assert "--follow" in done.stderr + done.stdout
