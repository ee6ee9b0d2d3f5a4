"""Push: move the cube that the words name to the green pad, with closed fingers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks.base import Array, InitialScene, SceneObject, SceneState
from rlrobo_core.tasks.colors import (
    HELD_OUT_PALETTE,
    PALETTE,
    TARGET_GREEN,
    check_palette,
    draw_colors,
)
from rlrobo_core.tasks.cubes import colored, cubes
from rlrobo_core.tasks.detour import way_to
from rlrobo_core.tasks.grasping import is_on_table, is_still
from rlrobo_core.tasks.instructions import check_templates, say
from rlrobo_core.tasks.panda_gym import PANDA_GYM_WEIGHTS, goal_reward
from rlrobo_core.tasks.placing import Range, place_apart, poses

BEHIND = 0.055
"""[m], middle of the cube to the tool that is about to push it: half a diagonal, half a closed
gripper, and 1 cm."""
TOUCHING = 0.03
"""[m], middle of the cube to the tool that touches its side."""


@dataclass(frozen=True)
class Push:
    """Ranges and threshold of panda_gym's PandaPush-v3, but for cubes and pad that lie apart and
    5 cm nearer to the base, so that the arm can reach behind them; among cubes of other colours,
    light enough for a real gripper. The cube counts once it is slow: not one that slides past."""

    name: str = "push"
    action_dims: tuple[str, ...] = ("x", "y", "z")
    hold_width: float = 0.0
    way: tuple[str, ...] = ("cube", "target")
    max_steps: int = 30
    control_hz: float = 10.0
    max_step: float = 0.05
    cameras: tuple[str, ...] = ("front", "wrist")
    proprioception: bool = True
    threshold: float = 0.05
    """[m], the pad's radius: the cube's middle is on it."""
    cube_size: float = 0.04
    """[m]"""
    cube_mass: float = 0.1
    """[kg]"""
    low: Range = (-0.15, -0.15)
    high: Range = (0.1, 0.15)
    """[m], around panda_gym's origin, of the cubes and of the pad."""
    apart: float = 0.12
    """[m], least distance of cubes and pad: closed fingers fit between."""
    distractors: int = 1
    """Cubes of other colours."""
    palette: tuple[str, ...] = PALETTE
    held_out_palette: tuple[str, ...] = HELD_OUT_PALETTE
    reward_weights: dict[str, float] = field(
        default_factory=lambda: {"approach": 1.0, "progress": 1.0, "success": 1.0}
    )
    instructions: tuple[str, ...] = (
        "push the {color} cube to the green pad",
        "push the {color} block onto the green disc",
        "move the {color} cube onto the green pad",
        "slide the {color} block to the green target",
    )
    held_out_instructions: tuple[str, ...] = (
        "the {color} cube goes on the green disc : push it there",
        "make the {color} block rest on the green pad",
    )

    def __post_init__(self) -> None:
        check_templates(self.instructions, "color")
        check_palette(self.palette, 1 + self.distractors)

    @classmethod
    def panda_gym(cls) -> Push:
        return PandaGymPush()

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        blocks = cubes(("cube",), self.distractors, self.cube_size, self.cube_mass)
        return (*blocks, SceneObject("target", "pad", (self.threshold,), TARGET_GREEN))

    def sample(self, rng: np.random.Generator) -> InitialScene:
        xy_n2 = place_apart(rng, len(self.objects), self.low, self.high, self.apart)
        z_n = np.full(len(xy_n2), self.cube_size / 2)
        z_n[-1] = 0.0
        colors = draw_colors(rng, self.palette, 1 + self.distractors)
        return InitialScene(
            object_pose=poses(self.objects, xy_n2, z_n),
            instruction=say(rng, self.instructions, color=colors[0]),
            object_rgba=colored(self.objects, colors),
        )

    def to_goal(self, state: SceneState) -> Array:
        """f64[N, 3], from the cube to its place in the middle of the pad [m]."""
        goal_N3 = state.object_pose["target"][:, :3] + [0.0, 0.0, self.cube_size / 2]
        return goal_N3 - state.object_pose["cube"][:, :3]

    def ahead(self, state: SceneState) -> Array:
        """f64[N, 3], horizontal unit vector from the cube to the pad; zero where it is there."""
        to_goal_N3 = self.to_goal(state) * [1.0, 1.0, 0.0]
        length_N1 = np.linalg.norm(to_goal_N3, axis=-1, keepdims=True)
        return to_goal_N3 / np.maximum(length_N1, 1e-6)

    def behind(self, state: SceneState) -> Array:
        """f64[N, 3], where a tool that pushes the cube straight to the pad sets on."""
        return state.object_pose["cube"][:, :3] - BEHIND * self.ahead(state)

    def distance(self, state: SceneState) -> Array:
        """f64[N], cube to its place on the pad [m]."""
        return np.linalg.norm(self.to_goal(state), axis=-1)

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        rests_N = is_still(state, "cube") & is_on_table(state, "cube", self.cube_size / 2)
        return (self.distance(state) < self.threshold) & rests_N

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return {
            "approach": self._to_behind(before) - self._to_behind(after),
            "progress": self.distance(before) - self.distance(after),
            "success": self.success(after).astype(np.float64),
        }

    def _to_behind(self, state: SceneState) -> Array:
        """f64[N] [m], the tool's way to where it can push: anywhere from `behind` to the cube, so
        that pushing neither earns nor costs anything here; none is left on the pad, over whose
        middle the side to push from changes."""
        tool_N3, cube_N3 = state.ee_pose_N[:, :3], state.object_pose["cube"][:, :3]
        ahead_N3 = self.ahead(state)
        along_N1 = np.sum((cube_N3 - tool_N3) * ahead_N3, axis=-1, keepdims=True)
        way_N = way_to(tool_N3, cube_N3 - np.clip(along_N1, TOUCHING, BEHIND) * ahead_N3)
        return np.where(self.distance(state) < self.threshold, 0.0, way_N)


@dataclass(frozen=True)
class PandaGymPush(Push):
    """The numbers of panda_gym 3.0.7's PandaPush-v3."""

    max_steps: int = 50
    control_hz: float = 25.0
    cube_mass: float = 1.0
    high: Range = (0.15, 0.15)
    apart: float = 0.0
    distractors: int = 0
    reward_weights: dict[str, float] = field(default_factory=PANDA_GYM_WEIGHTS.copy)

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        return self.distance(state) < self.threshold

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return goal_reward(self.distance(after), self.threshold)
