"""Reach: bring the tool to a ball. Ranges and threshold of panda_gym 3.0.7's PandaReach-v3."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks.base import Array, InitialScene, SceneObject, SceneState

PANDA_GYM_ORIGIN = np.array([0.6, 0.0, 0.0])
"""panda_gym's world origin in the robot's base frame [m] (its base stands at x = -0.6)."""


@dataclass(frozen=True)
class Reach:
    """Goal uniform in a box of 0.3 m around panda_gym's origin; success within 5 cm. The default
    has 12 steps at 10 Hz, which an arm can follow, where panda_gym has 50 at 25 Hz."""

    name: str = "reach"
    objects: tuple[SceneObject, ...] = (
        SceneObject("target", "marker", (0.025,), (0.1, 0.75, 0.2, 1.0)),
    )
    action_dims: tuple[str, ...] = ("x", "y", "z")
    hold_width: float = 0.0
    way: tuple[str, ...] = ("target",)
    max_steps: int = 12
    control_hz: float = 10.0
    max_step: float = 0.05
    cameras: tuple[str, ...] = ("front",)
    proprioception: bool = False
    threshold: float = 0.05
    """[m]"""
    goal_low: tuple[float, float, float] = (-0.15, -0.15, 0.0)
    goal_high: tuple[float, float, float] = (0.15, 0.15, 0.3)
    reward_weights: dict[str, float] = field(
        default_factory=lambda: {"progress": 1.0, "success": 0.1}
    )
    instructions: tuple[str, ...] = ("reach the green ball",)

    @classmethod
    def panda_gym(cls) -> Self:
        return cls(max_steps=50, control_hz=25.0)

    def sample(self, rng: np.random.Generator) -> InitialScene:
        goal = PANDA_GYM_ORIGIN + rng.uniform(self.goal_low, self.goal_high)
        return InitialScene(
            object_pose={"target": np.concatenate([goal, [0.0, 0.0, 0.0, 1.0]])},
            instruction=str(rng.choice(self.instructions)),
        )

    def distance(self, state: SceneState) -> Array:
        """f64[N], tool to ball [m]."""
        return np.linalg.norm(state.ee_pose_N[:, :3] - state.object_pose["target"][:, :3], axis=-1)

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return {
            "progress": self.distance(before) - self.distance(after),
            "success": self.success(after).astype(np.float64),
        }

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        return self.distance(state) < self.threshold
