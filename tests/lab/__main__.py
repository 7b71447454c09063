"""The scoreboard: `python -m tests.lab [NAME...]`."""

from __future__ import annotations

import argparse
import difflib
import shutil
import signal
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tests.lab import scenarios
from tests.lab.bench import Result, run
from tests.lab.scenario import Scenario


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scenarios asked for; 0 if every one that could run undisturbed passed, 1 if not, 130 after Ctrl-C."""
    options = _options(argv)
    chosen = _chosen(options)
    if options.list:
        for scenario in chosen:
            print(_listed(scenario))
        return 0
    # A bench that is told to stop takes its faults down like one that ends by itself.
    signal.signal(signal.SIGTERM, _stop)
    results: list[Result] = []
    width = max(len(scenario.name) for scenario in chosen)
    print(_header(width))
    try:
        for scenario in chosen:
            for number in range(options.repeat):
                result = run(scenario, patience=options.patience, strict=options.strict, dry=options.prove)
                results.append(result)
                print(_row(result, width), flush=True)
                if options.verbose:
                    print("".join(f"{'':{width}}    proven: {proof}\n" for proof in result.proofs), end="", flush=True)
                if options.save and result.answer:
                    options.save.mkdir(parents=True, exist_ok=True)
                    (options.save / f"{scenario.name}-{number + 1}.json").write_text(result.answer.stdout)
    except KeyboardInterrupt:
        print("interrupted; everything of the lab is taken down", file=sys.stderr)
        return 130
    finally:
        print(_totals(results))
    return 1 if any(result.state in ("missed", "not in effect") and not result.disturbed for result in results) else 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="Set real faults up and grade rbdiag.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios to run (all of them)")
    parser.add_argument("--fast", action="store_true", help="only the fast part")
    parser.add_argument("--list", action="store_true", help="list the scenarios and what each expects")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run each one N times")
    parser.add_argument("--strict", action="store_true", help="ask before and after each fault too: must be clean")
    parser.add_argument("--prove", action="store_true", help="only set up and prove; rbdiag is not run")
    parser.add_argument("--patience", type=float, default=20, metavar="SECONDS", help="wait for a quiet machine (20)")
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep each JSON report there")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the proofs")
    return parser.parse_args(argv)


def _chosen(options: argparse.Namespace) -> list[Scenario]:
    everything = scenarios()
    for name in options.names:
        if name not in everything:
            near = difflib.get_close_matches(name, everything, n=1)
            sys.exit(f"no scenario is named {name}" + (f"; did you mean {near[0]}?" if near else "; see --list"))
    names = options.names or list(everything)
    return [everything[name] for name in names if everything[name].fast or not options.fast]


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _listed(scenario: Scenario) -> str:
    expects = " or ".join(sorted(scenario.codes)) or "healthy"
    if scenario.allowed:
        expects += f" (allowed: {', '.join(sorted(scenario.allowed))})"
    fast = "fast" if scenario.fast else "    "
    return f"{scenario.name:26} {fast}  {expects:44}  {scenario.about}"


def _header(width: int) -> str:
    return f"{'scenario':{width}}  top-1  top-3  sure?  noise  secs   said"


def _row(result: Result, width: int) -> str:
    """One line of the scoreboard; `sure?` says whether something wrong was called certain."""
    name = f"{result.scenario.name:{width}}"
    if result.grade is None or result.answer is None:
        disturbed = f" (with {result.noise:.0%} of the machine busy with other things)" if result.disturbed else ""
        return f"{name}  {result.state}: {result.remark}{disturbed}"
    mark = result.grade
    first, three = ("ok", "ok") if mark.first else ("MISS", "ok" if mark.among_three else "MISS")
    if result.scenario.healthy:
        first, three = ("FALSE" if mark.false else "quiet"), ""
    sure = "WRONG" if mark.wrong_and_certain else "-"
    noise = f"{result.noise:.0%}" + ("!" if result.disturbed else "")
    said = mark.said
    if mark.false:
        said += f" | false: {', '.join(mark.false)}"
    if result.remark:
        said += f" | {result.remark}"
    line = f"{name}  {first:5}  {three:5}  {sure:5}  {noise:>5}  {result.answer.seconds:5.2f}  {_printable(said)}"
    return line if not sys.stdout.isatty() else line[: shutil.get_terminal_size().columns]


def _printable(text: str) -> str:
    """The text with everything made visible that a terminal would obey."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _totals(results: Sequence[Result]) -> str:
    """Counted over the undisturbed runs alone."""
    disturbed = sorted({result.scenario.name for result in results if result.disturbed})
    results = [result for result in results if not result.disturbed]
    graded = [(result, result.grade) for result in results if result.grade]
    faults = [mark for result, mark in graded if not result.scenario.healthy]
    twins = [mark for result, mark in graded if result.scenario.healthy]
    seconds = [result.answer.seconds for result in results if result.answer]
    lines = [""]
    grades = [
        f"faults named first (top-1)     {sum(m.first for m in faults)} of {len(faults)}",
        f"faults among the first three   {sum(m.among_three for m in faults)} of {len(faults)}",
        f"faults with a false root too   {sum(bool(m.false) for m in faults)} of {len(faults)}",
        f"false alarms on healthy hosts  {sum(bool(m.false) for m in twins)} of {len(twins)}",
        f"wrong and certain              {sum(m.wrong_and_certain for _, m in graded)} of {len(graded)}",
        f"passed                         {sum(r.state == 'passed' for r in results)} of {len(graded)}",
    ]
    lines += grades if graded else []
    if seconds:
        lines.append(f"seconds                        median {statistics.median(seconds):.2f}, most {max(seconds):.2f}")
    for state in ("not in effect", "skipped"):
        names = sorted({result.scenario.name for result in results if result.state == state})
        if names:
            lines.append(f"{state}: {', '.join(names)}")
    if disturbed:
        lines.append(f"disturbed by other work on this machine, not counted: {', '.join(disturbed)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
