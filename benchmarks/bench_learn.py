"""What a launch learns: several training seeds of each form, judged on held-out episodes.

    ./rlrobo bench learn                                # Reach, both forms, three seeds, 10 minutes
    ./rlrobo bench learn --task stack --minutes 60 --json stack.json

Every run is a plain `./rlrobo launch sim_train.launch.py`, one after the other; success is the
final checkpoint's, before and after, on the same held-out episodes for all. A run that is
already finished in the output folder is not repeated, one that was interrupted is continued.
Prints a table, draws the curves with their spread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from rlrobo_train.plots import plot_groups

ROOT = Path(__file__).resolve().parents[1]
SUMMARY = "summary.json"


class Run(NamedTuple):
    algorithm: str
    seed: int
    path: Path

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.path / SUMMARY).read_text())


def train(run: Run, arguments: list[str]) -> None:
    """One launch, unless the run is finished."""
    if (run.path / SUMMARY).exists():
        return
    if (run.path / "config.yaml").exists():
        arguments = [f"resume:={run.path}", *arguments]
    else:
        arguments = [f"run_dir:={run.path}", *arguments]
    command = [str(ROOT / "rlrobo"), "launch", "sim_train.launch.py", *arguments]
    print(" ".join(["./rlrobo", *command[1:]]), flush=True)
    with (run.path.parent / f"{run.path.name}.log").open("a") as log:
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        sys.exit(f"the run {run.path} ended with exit code {code}: see {log.name}")


def percent(values: list[float]) -> str:
    """Mean and spread."""
    mean, low, high = statistics.mean(values), min(values), max(values)
    return f"{mean:.1%} ({low:.1%}-{high:.1%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="reach")
    parser.add_argument("--algorithms", nargs="+", default=["branch_grpo", "grpo"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("runs/learn"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("extra", nargs="*", help="more launch arguments, name:=value")
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    runs = [
        Run(algorithm, seed, out / f"{options.task}_{algorithm}_{seed}")
        for seed in options.seeds
        for algorithm in options.algorithms
    ]
    for run in runs:
        fixed = [f"task:={options.task}", f"algorithm:={run.algorithm}", f"seed:={run.seed}"]
        train(run, [*fixed, f"minutes:={options.minutes}", *options.extra])
    groups = {
        algorithm: [run for run in runs if run.algorithm == algorithm]
        for algorithm in options.algorithms
    }
    for algorithm, members in groups.items():
        summaries = [run.summary for run in members]
        before, after = (
            percent([it[when]["success"] for it in summaries]) for when in ("before", "after")
        )
        minutes = max(it["wall_s"] for it in summaries) / 60
        print(
            f"{options.task} {algorithm}: {before} -> {after}, {len(members)} seeds, "
            f"at most {minutes:.1f} minutes"
        )
    figure = plot_groups(
        {name: [run.path for run in members] for name, members in groups.items()},
        out / f"{options.task}_curves.png",
    )
    print(f"curves: {figure}")
    if options.json:
        results = [{"algorithm": run.algorithm, "seed": run.seed, **run.summary} for run in runs]
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
