"""Pick and Place: take the cube that the words name to the green ball, and hold it there."""

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
from rlrobo_core.tasks.detour import FAR, way_to
from rlrobo_core.tasks.grasping import is_gripped, is_held, is_on_table, is_still, way_to_grip
from rlrobo_core.tasks.instructions import check_templates, say
from rlrobo_core.tasks.panda_gym import PANDA_GYM_WEIGHTS, goal_reward
from rlrobo_core.tasks.placing import Range, place_apart, poses


@dataclass(frozen=True)
class PickAndPlace:
    """Cubes and the goal lie as in panda_gym's PandaPickAndPlace-v3, but apart from each other,
    among cubes of other colours, and light enough for a real gripper. The cube counts only
    where it is held or has come to rest: one that is thrown through the goal does not."""

    name: str = "pick_and_place"
    action_dims: tuple[str, ...] = ("x", "y", "z", "gripper")
    hold_width: float = 0.0
    way: tuple[str, ...] = ("cube", "target")
    max_steps: int = 25
    control_hz: float = 10.0
    max_step: float = 0.05
    cameras: tuple[str, ...] = ("front", "wrist")
    proprioception: bool = True
    threshold: float = 0.05
    """[m]"""
    cube_size: float = 0.04
    """[m]"""
    cube_mass: float = 0.1
    """[kg]"""
    low: Range = (-0.15, -0.15)
    high: Range = (0.15, 0.15)
    """[m], around panda_gym's origin, of the cubes and of the goal."""
    goal_rise: float = 0.2
    """[m], the goal's greatest height above a cube that lies on the table."""
    on_table: float = 0.3
    """Share of the goals that lie on the table."""
    apart: float = 0.1
    """[m], least horizontal distance of cubes and goal: an open hand fits between."""
    distractors: int = 1
    """Cubes of other colours."""
    palette: tuple[str, ...] = PALETTE
    held_out_palette: tuple[str, ...] = HELD_OUT_PALETTE
    reward_weights: dict[str, float] = field(
        default_factory=lambda: {"approach": 1.0, "carry": 1.0, "success": 1.0}
    )
    instructions: tuple[str, ...] = (
        "take the {color} cube to the green ball",
        "pick up the {color} cube and put it at the green ball",
        "bring the {color} block to the green ball",
        "move the {color} cube to the green target",
    )
    held_out_instructions: tuple[str, ...] = (
        "grasp the {color} block and lift it to the green ball",
        "the green ball is where the {color} cube goes",
    )

    def __post_init__(self) -> None:
        check_templates(self.instructions, "color")
        check_palette(self.palette, 1 + self.distractors)

    @classmethod
    def panda_gym(cls) -> PickAndPlace:
        return PandaGymPickAndPlace()

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        blocks = cubes(("cube",), self.distractors, self.cube_size, self.cube_mass)
        return (*blocks, SceneObject("target", "marker", (0.025,), TARGET_GREEN))

    def sample(self, rng: np.random.Generator) -> InitialScene:
        xy_n2 = place_apart(rng, len(self.objects), self.low, self.high, self.apart)
        rise = rng.uniform(0.0, self.goal_rise)
        z_n = np.full(len(xy_n2), self.cube_size / 2)
        z_n[-1] += 0.0 if rng.random() < self.on_table else rise
        colors = draw_colors(rng, self.palette, 1 + self.distractors)
        return InitialScene(
            object_pose=poses(self.objects, xy_n2, z_n),
            instruction=say(rng, self.instructions, color=colors[0]),
            object_rgba=colored(self.objects, colors),
        )

    def held(self, state: SceneState) -> NDArray[np.bool_]:
        """bool[N], whether the cube is."""
        return is_held(state, "cube", self.cube_size)

    def distance(self, state: SceneState) -> Array:
        """f64[N], cube to goal [m]."""
        offset_N3 = (state.object_pose["cube"] - state.object_pose["target"])[:, :3]
        return np.linalg.norm(offset_N3, axis=-1)

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        rests_N = is_still(state, "cube") & is_on_table(state, "cube", self.cube_size / 2)
        return (self.distance(state) < self.threshold) & (self.held(state) | rests_N)

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        to_grip_N = [way_to_grip(state, "cube", self.cube_size) for state in (before, after)]
        return {
            "approach": to_grip_N[0] - to_grip_N[1],
            "carry": self._to_goal(before) - self._to_goal(after),
            "success": self.success(after).astype(np.float64),
        }

    def _to_goal(self, state: SceneState) -> Array:
        """f64[N] [m], what the cube has to be carried."""
        cube_N, goal_N = state.object_pose["cube"][:, :3], state.object_pose["target"][:, :3]
        gripped_N = is_gripped(state, "cube", self.cube_size)
        return np.where(gripped_N, way_to(cube_N, goal_N), FAR)


@dataclass(frozen=True)
class PandaGymPickAndPlace(PickAndPlace):
    """The numbers of panda_gym 3.0.7's PandaPickAndPlace-v3."""

    max_steps: int = 50
    control_hz: float = 25.0
    cube_mass: float = 1.0
    apart: float = 0.0
    distractors: int = 0
    reward_weights: dict[str, float] = field(default_factory=PANDA_GYM_WEIGHTS.copy)

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        return self.distance(state) < self.threshold

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return goal_reward(self.distance(after), self.threshold)
