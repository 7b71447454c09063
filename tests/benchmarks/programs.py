"""The programs that are compared: rbdiag and a bare Click program as console scripts, and the sleeping processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What pip writes for an entry point.
SCRIPT = """#!{python}
import sys
from {module} import main
if __name__ == "__main__":
    sys.exit(main())
"""

HELLO = '''"""The smallest Click group with some commands."""
import click


@click.group()
@click.version_option("0.1", prog_name="hello")
def main():
    """Say hello."""
'''
COMMAND = '''

@main.command()
def {name}():
    """Say {name}."""
    click.echo("{name}")
'''


class CannotMeasure(Exception):
    """Something that a measurement needs is not here."""


def environment(place: Path) -> dict[str, str]:
    """The same surroundings for every side: the sources and the bare program on the path, nothing else of note."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(place),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(place)]),
    }


def console_script(place: Path, name: str, module: str) -> str:
    """A console script as an installer would write it."""
    script = place / name
    script.write_text(SCRIPT.format(python=sys.executable, module=module))
    script.chmod(0o755)
    return str(script)


def bare_click(place: Path, commands: int) -> str:
    """A bare Click program with so many commands, installed as a console script."""
    (place / "bare_click.py").write_text(HELLO + "".join(COMMAND.format(name=f"greet{i}") for i in range(commands)))
    return console_script(place, "hello", "bare_click")


@contextmanager
def sleeping(place: Path, count: int) -> Iterator[None]:
    """So many more processes on this host, all asleep."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise CannotMeasure("there is no C compiler")
    program = place / "sleepers"
    if not program.exists():
        subprocess.run([compiler, "-O2", "-o", program, Path(__file__).with_name("sleepers.c")], check=True)
    with subprocess.Popen([program, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if process.stdout.readline() != "ready\n":
                raise CannotMeasure(f"this host does not allow {count} more processes")
            time.sleep(1)  # the work of starting them is not to be measured
            yield
        finally:
            process.stdin.close()
            process.wait()
