"""Flip: stand the block that the words name on its end."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks.base import Array, InitialScene, SceneObject, SceneState
from rlrobo_core.tasks.colors import (
    COLORS,
    HELD_OUT_PALETTE,
    PALETTE,
    TARGET_GREEN,
    check_palette,
    draw_colors,
)
from rlrobo_core.tasks.cubes import colored
from rlrobo_core.tasks.detour import way_to
from rlrobo_core.tasks.grasping import is_let_go, is_on_table, is_still
from rlrobo_core.tasks.instructions import check_templates, say
from rlrobo_core.tasks.panda_gym import PANDA_GYM_WEIGHTS, goal_reward
from rlrobo_core.tasks.placing import Range, place_apart, poses
from rlrobo_core.tasks.reach import PANDA_GYM_ORIGIN

GRIP = 0.03
"""[m], from the middle of the block towards its end, where it is best gripped: lifted there it
swings down about the axis between the fingers."""


@dataclass(frozen=True)
class Flip:
    """panda_gym's PandaFlip-v3 turns a cube with six differently painted faces to a random
    orientation. A gripper that only points down cannot do that, and our cubes have one colour;
    so here a flat block of 9 cm lies along x and is to stand: that can be seen and said. It has
    no scripted expert."""

    name: str = "flip"
    action_dims: tuple[str, ...] = ("x", "y", "z", "gripper")
    hold_width: float = 0.0
    way: tuple[str, ...] = ("block",)
    max_steps: int = 40
    control_hz: float = 10.0
    max_step: float = 0.05
    cameras: tuple[str, ...] = ("front", "wrist")
    proprioception: bool = True
    threshold: float = 0.2
    """[rad], between the block's length and the vertical."""
    block_size: tuple[float, float, float] = (0.09, 0.036, 0.03)
    """[m], length first."""
    block_mass: float = 0.1
    """[kg]"""
    low: Range = (-0.15, -0.15)
    high: Range = (0.15, 0.15)
    """[m], around panda_gym's origin."""
    apart: float = 0.12
    """[m], least distance of the blocks' middles."""
    distractors: int = 1
    """Blocks of other colours."""
    palette: tuple[str, ...] = PALETTE
    held_out_palette: tuple[str, ...] = HELD_OUT_PALETTE
    reward_weights: dict[str, float] = field(
        default_factory=lambda: {"approach": 1.0, "progress": 1.0, "success": 1.0}
    )
    instructions: tuple[str, ...] = (
        "stand the {color} block upright",
        "put the {color} block upright on the table",
        "turn the {color} block so that it stands",
    )
    held_out_instructions: tuple[str, ...] = ("make a tower of the {color} block",)

    def __post_init__(self) -> None:
        check_templates(self.instructions, "color")
        check_palette(self.palette, 1 + self.distractors)

    @classmethod
    def panda_gym(cls) -> Flip:
        return PandaGymFlip()

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        names = ("block", *(f"distractor{i + 1}" for i in range(self.distractors)))
        half = tuple(length / 2 for length in self.block_size)
        return tuple(
            SceneObject(name, "box", half, COLORS["red"], self.block_mass) for name in names
        )

    def sample(self, rng: np.random.Generator) -> InitialScene:
        blocks = self.objects[: 1 + self.distractors]
        xy_n2 = place_apart(rng, len(blocks), self.low, self.high, self.apart)
        colors = draw_colors(rng, self.palette, len(blocks))
        return InitialScene(
            object_pose=poses(blocks, xy_n2, np.full(len(blocks), self.block_size[2] / 2)),
            instruction=say(rng, self.instructions, color=colors[0]),
            object_rgba=colored(blocks, colors),
        )

    def tilt(self, state: SceneState) -> Array:
        """f64[N] [rad], from the block's length to the vertical, whichever end is up."""
        return np.arccos(np.minimum(np.abs(self._along(state)[:, 2]), 1.0))

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        stands_N = is_on_table(state, "block", self.block_size[0] / 2) & is_still(state, "block")
        let_go_N = is_let_go(state, "block", self.block_size[1])
        return (self.tilt(state) < self.threshold) & stands_N & let_go_N

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return {
            "approach": self._to_grip(before) - self._to_grip(after),
            "progress": self.tilt(before) - self.tilt(after),
            "success": self.success(after).astype(np.float64),
        }

    def _along(self, state: SceneState) -> Array:
        """f64[N, 3], unit vector along the block: the x axis turned by its quaternion."""
        x, y, z, w = state.object_pose["block"][:, 3:].T
        return np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], -1)

    def _to_grip(self, state: SceneState) -> Array:
        grip_N3 = state.object_pose["block"][:, :3] + GRIP * self._along(state)
        return way_to(state.ee_pose_N[:, :3], grip_N3)


@dataclass(frozen=True)
class PandaGymFlip(Flip):
    """The numbers of panda_gym 3.0.7's PandaFlip-v3, for policies that see the state: pictures
    show neither how the cube is turned nor how it should be, whose goal is the pose of a ball."""

    max_steps: int = 50
    control_hz: float = 25.0
    threshold: float = 0.2
    """Of `distance`: a turn by 0.93 rad."""
    block_size: tuple[float, float, float] = (0.04, 0.04, 0.04)
    block_mass: float = 1.0
    apart: float = 0.0
    distractors: int = 0
    reward_weights: dict[str, float] = field(default_factory=PANDA_GYM_WEIGHTS.copy)
    instructions: tuple[str, ...] = ("turn the {color} cube as the green ball is turned",)

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        return (*super().objects, SceneObject("target", "marker", (0.02,), TARGET_GREEN))

    def sample(self, rng: np.random.Generator) -> InitialScene:
        scene = super().sample(rng)
        quat = rng.normal(size=4)  # uniform on the sphere once normalised
        place = PANDA_GYM_ORIGIN + np.array([0.0, 0.0, 1.5 * self.block_size[2]])
        scene.object_pose["target"] = np.concatenate([place, quat / np.linalg.norm(quat)])
        return scene

    def distance(self, state: SceneState) -> Array:
        """f64[N], 1 - <a, b>^2 of the unit quaternions, which is sin^2 of half the angle."""
        block_N4, goal_N4 = (state.object_pose[name][:, 3:] for name in ("block", "target"))
        return 1.0 - np.sum(block_N4 * goal_N4, axis=-1) ** 2

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        return self.distance(state) < self.threshold

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return goal_reward(self.distance(after), self.threshold)
