"""Print the scoreboard. The exit status is 1 where a target is missed or could not be measured."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import cpu, db, logs, startup
from tests.benchmarks.measure import WrongAnswer
from tests.benchmarks.programs import CannotMeasure

AREAS = {"startup": startup, "cpu": cpu, "db": db, "logs": logs}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in AREAS]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(AREAS)}", file=sys.stderr)
        return 64
    good = True
    for name in names or AREAS:
        with TemporaryDirectory(prefix="rbdiag-bench-") as directory:
            try:
                for result in AREAS[name].measure(Path(directory)):
                    print(result, flush=True)
                    if not result.met:
                        good = False
                        print(AREAS[name].profile(Path(directory), result), flush=True)
            except (CannotMeasure, WrongAnswer) as error:
                good = False
                print(f"{name}: not measured: {error}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
