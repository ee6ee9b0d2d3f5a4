"""Bags of an arm's episodes to LeRobot data sets, and back: `rlrobo bag export`, `import`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from rlrobo_core.bag_reader import Bag, open_bag
from rlrobo_core.errors import spoken
from rlrobo_core.tasks import make_task
from rlrobo_sim import datasets
from rlrobo_sim.datasets import lerobot, rosbag
from rlrobo_sim.datasets.origin import Origin
from rlrobo_sim.datasets.rosbag.format import image_topic
from rlrobo_sim.datasets.rosbag.reader import Keep
from rlrobo_sim.demonstrations import Demonstrations

CAMERAS = ("front", "wrist")
"""Those of an arm."""


@dataclass(frozen=True, slots=True)
class Export:
    """Episodes that were recorded at an arm, or a bag of demonstrations, as a LeRobot data set."""

    bag: tyro.conf.Positional[Path]
    """The bag: its directory, or one of its files."""
    out: tyro.conf.Positional[Path]
    """Directory to make."""
    task: str = ""
    """Whose actions the commands were. A recording does not say; a bag of demonstrations does."""
    variant: str = "default"
    """`panda_gym`: with panda_gym's numbers."""
    cameras: tuple[str, ...] = ()
    """Cameras: front, wrist; those that are in the bag without."""
    image_size: int = 112
    """Of the policy that is to learn: height and width [px]."""
    keep: Keep = "all"
    """Which episodes: all (one that nobody judged counts as no success), judged, succeeded."""
    namespace: str = ""
    """Of the robot's graph."""

    def run(self) -> None:
        _must_be_new(self.out)
        bag = open_bag(self.bag)
        origin = self._origin(bag)
        shown = rosbag.read_recorded(bag, origin, self.keep, self.namespace)
        datasets.write(shown, origin, self.out, "lerobot")
        _tell(self.out, shown)

    def _origin(self, bag: Bag) -> Origin:
        """ValueError where the task is not known, or another one is asked for than the bag's."""
        told = rosbag.origin_of(bag)
        if told and self.task not in ("", told.task):
            raise ValueError(
                f"bag {bag.path} is of task {told.task}, not {self.task}: leave --task out"
            )
        if told:
            return told
        if not self.task:
            raise ValueError(
                f"bag {bag.path} does not say of which task it is: say whose actions the policy at "
                "the arm had, as in --task pick_and_place"
            )
        cameras = self.cameras or self._cameras_in(bag)
        task = make_task(self.task, self.variant)
        return Origin.of(task, self.variant, cameras, self.image_size, noise=0.0, seed=0)

    def _cameras_in(self, bag: Bag) -> tuple[str, ...]:
        prefix = f"/{self.namespace.strip('/')}".rstrip("/")
        found = tuple(it for it in CAMERAS if prefix + image_topic(it) in bag.channels)
        return found or CAMERAS[:1]  # which is missed then, by name


@dataclass(frozen=True, slots=True)
class Import:
    """A LeRobot data set of ours as a bag that looks as if an arm had been recorded: to be
    replayed and looked at."""

    dataset: tyro.conf.Positional[Path]
    """Directory of the data set."""
    bag: tyro.conf.Positional[Path]
    """Directory to make."""

    def run(self) -> None:
        _must_be_new(self.bag)
        if not (self.dataset / lerobot.MARK).is_file():
            raise ValueError(f"{self.dataset} is no LeRobot data set: it has no {lerobot.MARK}")
        shown, origin = lerobot.read(self.dataset)
        datasets.write(shown, origin, self.bag, "rosbag2")
        _tell(self.bag, shown)


def _must_be_new(path: Path) -> None:
    if path.exists():
        raise ValueError(f"{path} exists already and is not overwritten: name another")


def _tell(path: Path, shown: Demonstrations) -> None:
    episodes, succeeded = len(shown.success_E), int(np.sum(shown.success_E))
    print(f"{path}: {episodes} episodes, {succeeded} of them succeeded, {len(shown)} frames")


def main() -> None:
    commands = {"export": Export, "import": Import}
    with spoken():
        tyro.extras.subcommand_cli_from_dict(commands, prog="rlrobo bag", args=sys.argv[1:]).run()


if __name__ == "__main__":
    main()
