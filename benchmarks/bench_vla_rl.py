"""VLA-RL's ablations on our tasks: what each part of the method adds, over training seeds.

    ./rlrobo bench vla_rl --task pick_and_place --process-reward judge --minutes 30 --jobs 2
    ./rlrobo bench vla_rl --process-reward judge --variants full no_curriculum --seeds 0 1 2 3 4
    ./rlrobo bench vla_rl --variants ppo --add my_variant process_reward= value_coef=0.1

Every run is a plain `python -m rlrobo_train.local` within the same limits, judged on the same
held-out episodes; `--jobs` of them at a time share the cores. The variants are compared at equal
environment steps (branches included) and at equal wall clock, each by what a run had reached when
the first of all runs was at its end: between two evaluations a straight line is drawn. A run that
is finished in the output folder is not repeated, one that was interrupted is continued. Means over
seeds have 95% intervals of Student's t over the seeds, and so has the difference from the first
variant, seed by seed; those of a single seed are Wilson's over its episodes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from rich.console import Console
from rich.table import Table

from rlrobo_core.intervals import SuccessRate, mean_interval
from rlrobo_train.metrics import Row, read_metrics

JUDGE = "--process-reward"
"""Stands for the process reward model."""
HELP = {"curriculum_starts": "frontier", "curriculum": "frontier", "process_reward": JUDGE}
"""What VLA-RL adds to a sparse reward."""
FULL = {"algorithm": "ppo"} | HELP
TRAJECTORIES = {"algorithm": "grpo", "gamma": "0.98"}
BRANCHES = {"algorithm": "branch_grpo", "branch_steps": "3", "gamma": "0.9"}
VARIANTS: dict[str, dict[str, str]] = {
    "ppo": {"algorithm": "ppo"},
    "full": FULL,
    "no_process_reward": FULL | {"process_reward": ""},
    "no_curriculum": FULL | {"curriculum_starts": "none", "curriculum": "none"},
    "paper_curriculum": FULL | {"curriculum_starts": "paper", "curriculum": "paper"},
    "no_warmup": FULL | {"critic_warmup": "0"},
    "separate_critic": FULL | {"critic": "separate"},
    "temperature_1.0": FULL | {"temperature": "1.0"},
    "temperature_1.5": FULL | {"temperature": "1.5"},
    "grpo": TRAJECTORIES,
    "grpo_full": TRAJECTORIES | HELP,
    "branch_grpo": BRANCHES,
    "branch_grpo_process_reward": BRANCHES | {"process_reward": JUDGE},
    "branch_grpo_curriculum": BRANCHES | HELP | {"process_reward": ""},
    "branch_grpo_full": BRANCHES | HELP,
}


Axis = Literal["steps", "wall_s"]


class Judged(NamedTuple):
    """An evaluation in the course of a run."""

    steps: float
    """Environment steps until then."""
    wall_s: float
    success: float


@dataclass(frozen=True)
class Run:
    variant: str
    seed: int
    path: Path

    @property
    def finished(self) -> bool:
        return (self.path / "summary.json").exists()

    @property
    def course(self) -> list[Judged]:
        return course_of(read_metrics(self.path))

    def train(self, words: list[str], threads: int) -> None:
        """One run, unless it is finished. RuntimeError where it fails."""
        if self.finished:
            return
        begun = (self.path / "config.yaml").exists()
        where = ["--resume" if begun else "--run-dir", str(self.path)]
        command = [sys.executable, "-m", "rlrobo_train.local", *where, *words]
        print(" ".join(command[1:]) + "\n", end="", flush=True)  # in one piece, of many threads
        with (self.path.parent / f"{self.path.name}.log").open("a") as log:
            environ = os.environ | {"OMP_NUM_THREADS": str(threads)}
            code = subprocess.run(command, stdout=log, stderr=log, env=environ).returncode
        if code:
            raise RuntimeError(f"the run {self.path} ended with exit code {code}: see {log.name}")


def course_of(rows: list[Row]) -> list[Judged]:
    steps, course = 0.0, []
    for row in rows:
        steps += row.get("rollout/steps", 0.0)
        if "eval/success" in row:
            course.append(Judged(steps, row["wall_s"], row["eval/success"]))
    return course


def success_at(course: list[Judged], axis: Axis, limit: float) -> float:
    """After so many environment steps, or seconds, on a line between two evaluations."""
    places = [getattr(it, axis) for it in course]
    return float(np.interp(limit, places, [it.success for it in course]))


def interval(successes: list[float], episodes: int) -> tuple[float, float]:
    """95%, of the mean over seeds; of one seed that of its episodes."""
    if len(successes) == 1:
        return SuccessRate(round(successes[0] * episodes), episodes).ci95
    _, low, high = mean_interval(successes)
    return max(0.0, low), min(1.0, high)


def compared(runs: list[Run], episodes: int) -> list[dict[str, Any]]:
    """A row a variant, the first of which the others are compared with."""
    limits: dict[Axis, float] = {
        axis: min(getattr(run.course[-1], axis) for run in runs) for axis in get_args(Axis)
    }
    rows: list[dict[str, Any]] = []
    for variant in dict.fromkeys(run.variant for run in runs):
        courses = [run.course for run in runs if run.variant == variant]
        figures = {
            "before": [course[0].success for course in courses],
            "equal_steps": [success_at(course, "steps", limits["steps"]) for course in courses],
            "equal_wall_clock": [
                success_at(course, "wall_s", limits["wall_s"]) for course in courses
            ],
            "last": [course[-1].success for course in courses],
        }
        row = {"variant": variant, "seeds": len(courses), "limits": limits}
        row |= {"steps": [course[-1].steps for course in courses]}
        row |= {"wall_s": [course[-1].wall_s for course in courses]}
        row |= {name: told(values, episodes) for name, values in figures.items()}
        first = (rows or [row])[0]
        row["gain"] = difference(row["equal_steps"]["each"], first["equal_steps"]["each"])
        rows.append(row)
    return rows


def told(successes: list[float], episodes: int) -> dict[str, Any]:
    low, high = interval(successes, episodes)
    return {"mean": statistics.mean(successes), "ci95": [low, high], "each": successes}


def difference(successes: list[float], others: list[float]) -> dict[str, Any]:
    """From the other's, seed by seed; the interval is over the seeds, and needs two."""
    each = [a - b for a, b in zip(successes, others, strict=True)]
    mean, low, high = mean_interval(each) if len(each) > 1 else (each[0], None, None)
    return {"mean": mean, "ci95": [low, high], "each": each}


def shown(figure: dict[str, Any], sign: str = "") -> str:
    low, high = figure["ci95"]
    of_seeds = "" if low is None else f" [{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"
    return f"{100 * figure['mean']:{sign}.1f}{of_seeds}"


def table(rows: list[dict[str, Any]]) -> Table:
    """Success [%]."""
    limits = rows[0]["limits"]
    made = Table(
        "success [%]",
        "before",
        f"after {limits['steps']:,.0f} steps",
        f"against {rows[0]['variant']}",
        f"after {limits['wall_s'] / 60:.1f} min",
        "at the end",
        "steps",
        "minutes",
    )
    for row in rows:
        steps, minutes = statistics.mean(row["steps"]), statistics.mean(row["wall_s"]) / 60
        made.add_row(
            row["variant"],
            shown(row["before"]),
            shown(row["equal_steps"]),
            shown(row["gain"], "+"),
            shown(row["equal_wall_clock"]),
            shown(row["last"]),
            f"{steps:,.0f}",
            f"{minutes:.1f}",
        )
    return made


def words(options: argparse.Namespace, settings: dict[str, str], seed: int) -> list[str]:
    """The command line of a run."""
    said = {
        "task": options.task,
        "reward": options.reward,
        "minutes": options.minutes,
        "iterations": options.iterations,
        "episodes": options.episodes,
        "eval_every": options.eval_every,
        "seed": seed,
    }
    said |= dict(item.split("=", 1) for item in options.extra)
    said |= {k: options.process_reward if v == JUDGE else v for k, v in settings.items()}
    if "," not in options.task:
        said.pop("curriculum", None)
    given = {k.replace("_", "-"): str(v) for k, v in said.items() if v != ""}
    flags = {"true": "--{}", "false": "--no-{}"}
    return [
        word
        for k, v in given.items()
        for word in ([flags[v].format(k)] if v in flags else [f"--{k}", v])
    ]


def train_all(runs: list[Run], variants: dict[str, dict[str, str]], options: Any) -> None:
    """A run that fails ends the benchmark when those beside it have ended."""
    threads = max(1, (os.cpu_count() or 1) // options.jobs)

    def train(run: Run) -> None:
        run.train(words(options, variants[run.variant], run.seed), threads)

    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            list(pool.map(train, runs))
        except RuntimeError as error:
            pool.shutdown(cancel_futures=True)
            sys.exit(str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="pick_and_place", help="or several, with commas")
    parser.add_argument("--reward", default="sparse", choices=("sparse", "dense"))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument(
        "--add", nargs="+", action="append", default=[], metavar="NAME KEY=VALUE", help="a variant"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=30.0, help="of each run")
    parser.add_argument(
        "--iterations", type=int, default=0, help="of each run at most; 0: no limit"
    )
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--eval-every", type=int, default=10, help="updates between evaluations")
    parser.add_argument("--process-reward", default="", help="directory of a process reward model")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("runs/vla_rl"))
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--extra",
        nargs="*",
        default=[],
        help="of every run whose variant says nothing else, name=value",
    )
    options = parser.parse_args()
    added = {name: dict(item.split("=", 1) for item in items) for name, *items in options.add}
    variants = VARIANTS | {name: FULL | settings for name, settings in added.items()}
    names = [*options.variants, *added]
    if unknown := set(names) - set(variants):
        parser.error(f"unknown variants {sorted(unknown)}; choose from: {', '.join(variants)}")
    judged = [name for name in names if JUDGE in variants[name].values()]
    if judged and not options.process_reward:
        parser.error(
            f"{', '.join(judged)} need a process reward model: name one with --process-reward "
            f"(`./rlrobo run rlrobo_train process_reward --task {options.task}` makes it), or "
            "choose other --variants"
        )
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    label = f"{options.task.replace(',', '-')}_{options.reward}"
    runs = [
        Run(name, seed, out / f"{label}_{name}_{seed}") for seed in options.seeds for name in names
    ]
    train_all(runs, variants, options)
    rows = compared(runs, options.episodes)
    Console(width=None if sys.stdout.isatty() else 200).print(table(rows))
    if options.json:
        found = {"command": sys.argv, "task": options.task, "reward": options.reward, "rows": rows}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
