"""One HTML page of a run, or of several over each other.

./rlrobo report RUN [--out FILE]                  -> RUN/report.html
./rlrobo compare [NAME=]RUN … [--out FILE]        -> compare.html; runs of one NAME are averaged
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rlrobo_train.report.data import RunData, read_run
from rlrobo_train.report.page import compare_page, report_page, write_page


def report(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("rlrobo report", description="One HTML page of a run.")
    parser.add_argument("run", type=Path, help="the run directory, finished or not")
    parser.add_argument("--out", type=Path, help="the page; default: report.html in the run")
    arguments = parser.parse_args(argv)
    return _tell(lambda: _write_report(arguments.run, arguments.out))


def compare(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("rlrobo compare", description="Several runs on one page.")
    parser.add_argument(
        "runs", nargs="+", metavar="[NAME=]RUN", help="run directories; equal names are averaged"
    )
    parser.add_argument("--out", type=Path, default=Path("compare.html"), help="the page")
    arguments = parser.parse_args(argv)
    return _tell(lambda: write_page(arguments.out, compare_page(grouped(arguments.runs))))


def grouped(arguments: Sequence[str]) -> dict[str, list[RunData]]:
    """[NAME=]RUN by name; a run without one has that of its folder, or its path where another
    folder is called the same."""
    groups: dict[str, list[RunData]] = {}
    for argument in arguments:
        name, _, path = argument.rpartition("=")
        run = read_run(Path(path))
        groups.setdefault(name or (path if run.name in groups else run.name), []).append(run)
    return groups


def _write_report(path: Path, out: Path | None) -> Path:
    run = read_run(path)
    return write_page(out or path / "report.html", report_page(run))


def _tell(write: Callable[[], Path]) -> int:
    try:
        print(write())
        return 0
    except ValueError as error:
        print(f"rlrobo: {error}", file=sys.stderr)
        return 1


COMMANDS = {"report": report, "compare": compare}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
    sys.exit(f"name one of: {', '.join(COMMANDS)}")
