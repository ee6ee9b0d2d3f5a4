"""The small protocol behind which simulators stand: MuJoCo, Isaac Lab, LIBERO.

A simulator knows worlds, physics and cameras. It knows nothing of tasks' rewards, of groups
or of policies; those live in `rlrobo_core.tasks` and in `rollout.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import InitialScene, SceneState

WorldIds = NDArray[np.int64] | Sequence[int]


class UnstableWorlds(RuntimeError):
    """The physics of some worlds diverged. They were put back to where the step began and
    keep finite state; the other worlds of the call were stepped."""

    def __init__(self, worlds: NDArray[np.int64]) -> None:
        self.worlds = worlds
        super().__init__(
            f"the simulation became unstable in worlds {worlds.tolist()}; they are back in the "
            "state before the step: reset them, and check masses, sizes and targets of the task"
        )


class Simulator(Protocol):
    """`num_worlds` copies of one scene, stepped together. All poses in the base frame."""

    num_worlds: int
    cameras: tuple[str, ...]
    image_size: int

    def reset(self, worlds: WorldIds, scenes: Sequence[InitialScene], seeds: Sequence[int]) -> None:
        """Put each world into its initial scene: arm in its neutral posture, objects placed.
        `seeds` drives domain randomization only; worlds of equal scene and seed are equal."""
        ...

    def step(self, worlds: WorldIds, target_M: NDArray[np.floating[Any]]) -> None:
        """One control step (1 / control_hz) of those worlds towards `target_M`, f[M, 8]: tool
        pose and gripper width. Other worlds stand still. `UnstableWorlds` names those that
        diverged."""
        ...

    def state(self, worlds: WorldIds) -> SceneState: ...

    def render(self, worlds: WorldIds) -> NDArray[np.uint8]:
        """u8[len(worlds), C, H, W, 3], RGB."""
        ...

    def snapshot(self, worlds: WorldIds) -> NDArray[np.float64]:
        """f64[len(worlds), S]: all that `restore` needs to continue bit for bit, randomized
        model fields included."""
        ...

    def restore(self, worlds: WorldIds, snapshot: NDArray[np.float64]) -> None: ...

    def close(self) -> None:
        """End the rendering workers and free shared memory. Safe to call twice."""
        ...
