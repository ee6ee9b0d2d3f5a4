"""Open the drawer: the first task with a thing that has a joint. panda_gym has none like it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks.base import Array, InitialScene, SceneObject, SceneState, closed
from rlrobo_core.tasks.colors import COLORS, HELD_OUT_PALETTE, PALETTE, check_palette, draw_colors
from rlrobo_core.tasks.cubes import colored
from rlrobo_core.tasks.instructions import check_templates, say
from rlrobo_core.tasks.placing import Range

CABINET_HALF = (0.10, 0.07, 0.05)
"""Half extents of a cabinet [m]: along its drawer, across, up."""
CUBE_SIZE = 0.04
CUBE_DEPTH = 0.15
"""Of a cube on a cabinet, behind the handle [m]: the hand passes over it."""
OPENS_TO = -np.pi / 2
"""Yaw [rad] at which a drawer, which slides along its -x, comes out to the robot's left: so the
front camera sees its coloured front and how far it is open, and the fingers, which close along
y, can take the handle's bar between them."""
GRASP = np.array([0.0, 0.0, 0.02])
"""From the handle's foot to where the tool takes it [m]: both fingers beside the bar, their tips
above the cabinet's top."""


@dataclass(frozen=True)
class Drawer:
    """A cabinet on the table with a drawer, and beside it, as a distractor, another with a
    drawer of another colour, on either side; more distractors are cubes that lie on the
    cabinets. Success: the drawer that the instruction names is open by `threshold` of its
    travel; what became of the other does not matter."""

    name: str = "drawer"
    action_dims: tuple[str, ...] = ("x", "y", "z", "gripper")
    hold_width: float = 0.08
    way: tuple[str, ...] = ("drawer",)
    max_steps: int = 15
    control_hz: float = 10.0
    max_step: float = 0.05
    cameras: tuple[str, ...] = ("front", "wrist")
    proprioception: bool = True
    travel: float = 0.16
    """How far a drawer comes out [m]."""
    threshold: float = 0.8
    """Of the travel."""
    distractors: int = 1
    """At most 3."""
    low: Range = (0.51, -0.10)
    high: Range = (0.61, 0.0)
    """Of the closed handle, or of the middle between the two."""
    max_yaw: float = 0.15
    """Of the cabinets to either side [rad]."""
    palette: tuple[str, ...] = PALETTE
    held_out_palette: tuple[str, ...] = HELD_OUT_PALETTE
    instructions: tuple[str, ...] = (
        "open the {color} drawer",
        "pull the {color} drawer open",
        "pull the handle of the {color} drawer",
        "take the handle of the {color} drawer and pull",
    )
    held_out_instructions: tuple[str, ...] = (
        "please slide the {color} drawer open",
        "grasp the {color} handle and open the drawer",
    )
    reward_weights: dict[str, float] = field(
        default_factory=lambda: {"approach": 1.0, "opening": 3.0, "success": 0.5}
    )

    def __post_init__(self) -> None:
        if not 0 <= self.distractors <= 3:
            raise ValueError(f"distractors is {self.distractors}; choose 0 to 3 beside a drawer")
        check_templates(self.instructions, "color")
        check_palette(self.palette, 1 + self.distractors)

    @classmethod
    def panda_gym(cls) -> NoReturn:
        raise ValueError("panda_gym has no drawer; choose the variant 'default'")

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        names = ("drawer", "distractor1", "distractor2", "distractor3")[: 1 + self.distractors]
        size, half = (*CABINET_HALF, self.travel), (CUBE_SIZE / 2,) * 3
        drawers = [SceneObject(name, "drawer", size, COLORS["red"]) for name in names[:2]]
        cubes = [SceneObject(name, "box", half, COLORS["red"], mass=0.1) for name in names[2:]]
        return (*drawers, *cubes)

    def sample(self, rng: np.random.Generator) -> InitialScene:
        middle = rng.uniform(self.low, self.high)
        yaw = OPENS_TO + rng.uniform(-self.max_yaw, self.max_yaw)
        inwards, across = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
        aside = rng.choice((-1.0, 1.0)) * CABINET_HALF[1] * across * min(self.distractors, 1)
        handles, top = (middle + aside, middle - aside), 2 * CABINET_HALF[2]
        pose_4 = [
            *(_pose(xy, top, yaw) for xy in handles),
            *(_pose(xy + CUBE_DEPTH * inwards, top + CUBE_SIZE / 2, yaw) for xy in handles),
        ]
        colors = draw_colors(rng, self.palette, 1 + self.distractors)
        names = [thing.name for thing in self.objects]
        return InitialScene(
            object_pose=dict(zip(names, pose_4, strict=False)),
            instruction=say(rng, self.instructions, color=colors[0]),
            object_rgba=colored(self.objects, colors),
        )

    def opening(self, state: SceneState, drawer: str = "drawer") -> Array:
        """f64[N] [m], 0 when closed."""
        closed_N7 = state.object_pose[closed(drawer)]
        moved_N3 = state.object_pose[drawer][:, :3] - closed_N7[:, :3]
        return np.sum(moved_N3 * pull_direction(closed_N7), axis=-1)

    def distance(self, state: SceneState) -> Array:
        """f64[N], from the tool to where it takes the handle [m]."""
        return np.linalg.norm(grasp_offset(state), axis=-1)

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return {
            "approach": self.distance(before) - self.distance(after),
            "opening": self.opening(after) - self.opening(before),
            "success": self.success(after).astype(np.float64),
        }

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        return self.opening(state) >= self.threshold * self.travel


def grasp_offset(state: SceneState) -> Array:
    """f64[N, 3], from the tool to where it takes the handle of the drawer that is meant [m]."""
    offset_N3 = state.object_pose["drawer"][:, :3] - state.ee_pose_N[:, :3]
    return offset_N3 + GRASP


def pull_direction(pose_N: Array) -> Array:
    """f64[N, 3], unit: -x of those poses, whose z is up."""
    z_N, w_N = pose_N[:, 5], pose_N[:, 6]
    return np.stack([z_N * z_N - w_N * w_N, -2.0 * w_N * z_N, np.zeros_like(w_N)], axis=-1)


def _pose(place: Array, height: float, yaw: float) -> Array:
    return np.array([*place, height, 0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])
