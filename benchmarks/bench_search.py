"""What a search at test time gains: success against N, and against a run's updates.

    ./rlrobo bench search --checkpoints runs/a/checkpoints/*      # of a run with algorithm:=ppo
    ./rlrobo bench search --checkpoints DIR --scorers likelihood --best-of 1 4 16

A run keeps its first checkpoint and the last three: with checkpoint_every a third of its updates
they spread over all of it.

Every point is a whole evaluation without ROS on the same held-out episodes; N = 1 is the plain
one. A point that is already in the output folder is not made again. Prints a table, draws success
against N, a curve a checkpoint, and against updates, a curve an N, with 95% intervals.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from rlrobo_core.errors import spoken
from rlrobo_core.run_files import CHECKPOINTS, SPEC_FILE, SUMMARY_FILE
from rlrobo_core.tasks import VARIANTS
from rlrobo_policy.spec import PolicySpec
from rlrobo_train import local
from rlrobo_train.config import TrainConfig
from rlrobo_train.plots import COLORS


class Point(NamedTuple):
    task: str
    checkpoint: Path
    scorer: str
    best_of: int
    run: Path

    @property
    def curve(self) -> str:
        """Against N."""
        return f"{self.task}, {self.scorer}, {self.trained} {self.checkpoint.name}"

    @property
    def course(self) -> str:
        """Against updates."""
        return f"{self.task}, {self.scorer}, {self.trained} N = {self.best_of}"

    @property
    def trained(self) -> str:
        """The folder of its run, or the one that the checkpoint lies in."""
        folder = self.checkpoint.resolve().parent
        return folder.parent.name if folder.name == CHECKPOINTS else folder.name

    @property
    def updates(self) -> int:
        """Of training, by the checkpoint's name; 0 where that is not a number."""
        return int(self.checkpoint.name) if self.checkpoint.name.isdigit() else 0

    @property
    def result(self) -> dict[str, Any]:
        return json.loads((self.run / "eval.json").read_text())


def measure(point: Point, options: argparse.Namespace) -> None:
    """One evaluation, unless it has been made; of one that was interrupted nothing is kept."""
    if (point.run / SUMMARY_FILE).exists():
        return
    shutil.rmtree(point.run, ignore_errors=True)
    spec = PolicySpec.load(point.checkpoint)
    if spec is None:
        sys.exit(f"{point.checkpoint} holds no {SPEC_FILE}: name a checkpoint of a run")
    beside = max(1, options.num_envs // point.best_of) * point.best_of
    config = TrainConfig(
        mode="eval",
        task=point.task,
        reward=options.reward,
        checkpoint=str(point.checkpoint),
        best_of=point.best_of,
        scorer=point.scorer,  # pyright: ignore[reportArgumentType]
        search_temperature=options.temperature,
        critic_from=options.critic_from,
        process_reward=options.process_reward,
        num_envs=beside,
        group_size=1,
        episodes=options.episodes,
        cameras=spec.cameras,
        proprioception="true" if spec.proprioception else "false",
        image_size=spec.image_size,
        codec=spec.codec,
        history=spec.history,
        variant=options.variant,
        run_dir=str(point.run),
    )
    with spoken():
        local.run(config)


def folder(task: str, checkpoint: Path, scorer: str, n: int, options: argparse.Namespace) -> str:
    """Of a point: another one for whatever makes its result another."""
    settings = [
        options.variant,
        options.reward,
        options.temperature,
        options.episodes,
        options.num_envs,
    ]
    settings += [options.critic_from, options.process_reward, str(checkpoint.resolve())]
    mark = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]
    return f"{task}_{checkpoint.name}_{scorer}_{n}_{mark}"


def table(points: list[Point]) -> Table:
    """A row a curve, a column an N."""
    columns = sorted({point.best_of for point in points})
    shown = Table("", *(f"N = {n}" for n in columns))
    for curve in dict.fromkeys(point.curve for point in points):
        cells = {p.best_of: p.result for p in points if p.curve == curve}
        shown.add_row(curve, *(told(cells[n]) for n in columns))
    return shown


def told(result: dict[str, Any]) -> str:
    low, high = result["ci95"]
    return f"{result['success']:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


def draw(points: list[Point], out: Path) -> Path:
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    against_n, against_updates = figure.subplots(1, 2, sharey=True)
    curves(against_n, points, lambda it: it.curve, lambda it: it.best_of)
    against_n.set(xscale="log", xlabel="N, actions that are weighed", ylabel="success")
    curves(against_updates, points, lambda it: it.course, lambda it: it.updates)
    against_updates.set(xlabel="updates of training", ylim=(-0.02, 1.02))
    figure.savefig(out, dpi=110)
    return out


def curves(
    axes: Axes, points: list[Point], name: Callable[[Point], str], x: Callable[[Point], int]
) -> None:
    for i, label in enumerate(dict.fromkeys(map(name, points))):
        mine = sorted((point for point in points if name(point) == label), key=x)
        rate = np.array([point.result["success"] for point in mine])
        low, high = np.array([point.result["ci95"] for point in mine]).T
        color = COLORS[i % len(COLORS)]
        off = (rate - low, high - rate)
        axes.errorbar([x(it) for it in mine], rate, off, label=label, color=color, capsize=3)
    axes.legend(fontsize="small")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", default=["reach"])
    parser.add_argument("--checkpoints", nargs="+", type=Path, required=True)
    parser.add_argument("--variant", default="default", choices=VARIANTS)
    parser.add_argument(
        "--reward",
        default="sparse",
        choices=("sparse", "dense"),
        help="that a look sees; the dense one tells the way",
    )
    parser.add_argument("--best-of", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--scorers", nargs="+", default=["critic"])
    parser.add_argument("--critic-from", default="", help="empty: each checkpoint's own")
    parser.add_argument("--process-reward", default="", help="the model of the scorer process")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    grid = product(options.tasks, options.checkpoints, options.scorers, sorted(options.best_of))
    points = [Point(*it, options.out / folder(*it, options)) for it in grid]
    for point in points:
        measure(point, options)
    Console().print(table(points))
    print(f"curves: {draw(points, options.out / 'search.png')}")
    if options.json:
        rows = [p.result | {"best_of": p.best_of, "scorer": p.scorer} for p in points]
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
