"""Slide: push the puck that the words name so that it comes to rest on a pad out of reach."""

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
from rlrobo_core.tasks.grasping import is_on_table, is_still
from rlrobo_core.tasks.instructions import check_templates, say
from rlrobo_core.tasks.panda_gym import PANDA_GYM_WEIGHTS, goal_reward
from rlrobo_core.tasks.placing import TRIES, Range, poses

GRAVITY = 9.81
"""[m/s^2]"""
RADIUS = 0.03
HEIGHT = 0.03
"""Of a puck [m]."""
PUSH_HEIGHT = 0.02
"""Of the tool [m]: the fingers, whose tips end 9 mm below it, then stand all along the puck."""
PUSHING = 0.03
"""[m], from the puck's centre to the tool that pushes it."""
BEHIND = 0.06
"""[m], from the puck's centre to where the tool comes down: fingers of 2 cm that have the puck's
rim between them stand 3 cm behind its centre, so 3 cm of room."""


@dataclass(frozen=True)
class Slide:
    """A puck has to be let go with the right speed v, since the pad lies where the arm just ends:
    it stops after v^2 / (2 mu g). Success: it lies within `threshold` of the pad's centre and
    is slower than 5 cm/s, after which it moves 2 mm more.

    panda_gym's PandaSlide-v3 has goals up to 1.15 m from the base, which the front camera does
    not see. Here the puck starts nearer to the robot, so that there is room to push, and the pads
    lie within the picture, so near that a puck which is pushed at 0.3 m/s is let go only for the
    last 6 cm. The fingers are held 4 cm apart: the puck's rim lies between them and does not slip
    aside. The other puck lies off the path, since nothing but luck would move it out of the way."""

    name: str = "slide"
    action_dims: tuple[str, ...] = ("x", "y", "z")
    hold_width: float = 0.04
    way: tuple[str, ...] = ("puck", "target")
    max_steps: int = 36
    control_hz: float = 10.0
    max_step: float = 0.05
    cameras: tuple[str, ...] = ("front", "wrist")
    proprioception: bool = True
    threshold: float = 0.05
    """[m]"""
    puck_mass: float = 0.2
    """[kg]"""
    friction: float = 0.08
    """Coefficient mu. Twice panda_gym's, so that an error in the speed costs less."""
    low: Range = (-0.2, -0.12)
    high: Range = (-0.1, 0.04)
    """[m], around panda_gym's origin, of the puck."""
    goal_low: Range = (0.18, -0.14)
    goal_high: Range = (0.27, -0.02)
    """[m], likewise, of the pad."""
    other_low: Range = (-0.25, -0.25)
    other_high: Range = (0.15, 0.15)
    """[m], likewise, of the distractors."""
    apart: float = 0.1
    """[m], least distance of a distractor from the line through puck and pad, and from another:
    the fingers are 3.4 cm wide on either side, the pucks 3 cm."""
    distractors: int = 1
    """Pucks of other colours."""
    palette: tuple[str, ...] = PALETTE
    held_out_palette: tuple[str, ...] = HELD_OUT_PALETTE
    reward_weights: dict[str, float] = field(
        default_factory=lambda: {"approach": 1.0, "slide": 2.0, "success": 1.0}
    )
    instructions: tuple[str, ...] = (
        "slide the {color} puck onto the green spot",
        "push the {color} puck so that it stops on the green spot",
        "shoot the {color} disc to the green target",
        "make the {color} puck slide to the green spot",
    )
    held_out_instructions: tuple[str, ...] = (
        "let the {color} disc glide until it rests on the green spot",
        "the green spot is where the {color} puck should come to rest",
    )

    def __post_init__(self) -> None:
        check_templates(self.instructions, "color")
        check_palette(self.palette, 1 + self.distractors)

    @classmethod
    def panda_gym(cls) -> Slide:
        return PandaGymSlide()

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        return (*self._pucks, SceneObject("target", "pad", (self.threshold,), TARGET_GREEN))

    @property
    def _pucks(self) -> tuple[SceneObject, ...]:
        names = ("puck", *(f"distractor{i + 1}" for i in range(self.distractors)))
        size, red = (RADIUS, HEIGHT / 2), COLORS["red"]
        return tuple(
            SceneObject(name, "cylinder", size, red, self.puck_mass, self.friction)
            for name in names
        )

    def sample(self, rng: np.random.Generator) -> InitialScene:
        puck = rng.uniform(self.low, self.high)
        goal = rng.uniform(self.goal_low, self.goal_high)
        xy_n2 = np.stack([puck, *self._off_path(rng, puck, goal), goal])
        z_n = np.array([HEIGHT / 2] * (1 + self.distractors) + [0.0])
        colors = draw_colors(rng, self.palette, 1 + self.distractors)
        return InitialScene(
            object_pose=poses(self.objects, xy_n2, z_n),
            instruction=say(rng, self.instructions, color=colors[0]),
            object_rgba=colored(self._pucks, colors),
        )

    def _off_path(self, rng: np.random.Generator, puck: Array, goal: Array) -> list[Array]:
        """Places f64[2] of the distractors. ValueError if there is no room."""
        along = (goal - puck) / np.linalg.norm(goal - puck)
        places: list[Array] = []
        for _ in range(TRIES):
            if len(places) == self.distractors:
                return places
            place = rng.uniform(self.other_low, self.other_high)
            x, y = place - puck
            gaps = [abs(along[0] * y - along[1] * x)]
            gaps += [float(np.linalg.norm(place - other)) for other in places]
            if min(gaps) >= self.apart:
                places.append(place)
        raise ValueError(
            f"found no room for {self.distractors} pucks {self.apart} m off the path between "
            f"{self.other_low} and {self.other_high}; take fewer distractors, a larger range or a "
            "smaller distance"
        )

    def distance(self, state: SceneState) -> Array:
        """f64[N], puck to pad [m], horizontal."""
        offset_N3 = state.object_pose["puck"] - state.object_pose["target"]
        return np.linalg.norm(offset_N3[:, :2], axis=-1)

    def rest(self, state: SceneState) -> Array:
        """f64[N, 2] [m], where the puck will stop if nothing touches it: v |v| / (2 mu g) on."""
        velocity_N2 = state.object_velocity["puck"][:, :2]
        speed_N1 = np.linalg.norm(velocity_N2, axis=-1, keepdims=True)
        slide_N2 = velocity_N2 * speed_N1 / (2 * self.friction * GRAVITY)
        return state.object_pose["puck"][:, :2] + slide_N2

    def miss(self, state: SceneState) -> Array:
        """f64[N] [m], from where the puck will stop to the pad's centre."""
        return np.linalg.norm(self.rest(state) - state.object_pose["target"][:, :2], axis=-1)

    def left(self, state: SceneState) -> Array:
        """f64[N] [m], of the way to the pad, along x plus along y: as it is, or as it will be when
        the puck has stopped if that is more. So speed is paid while the puck travels and not in
        advance, or a hard hit would earn more at once than a gentle push that ends nearer; one
        that will go too far is charged at once; and an error aside weighs as much as one ahead."""
        place_2N2 = np.stack([state.object_pose["puck"][:, :2], self.rest(state)])
        return np.abs(place_2N2 - state.object_pose["target"][:, :2]).sum(-1).max(0)

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        rests_N = is_still(state, "puck") & is_on_table(state, "puck", HEIGHT / 2)
        return (self.distance(state) < self.threshold) & rests_N

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return {
            "approach": self._approach(before) - self._approach(after),
            "slide": self.left(before) - self.left(after),
            "success": self.success(after).astype(np.float64),
        }

    def _approach(self, state: SceneState) -> Array:
        """f64[N] [m], the tool's way to where it pushes or may start to; never more than the puck
        will miss the pad by, so that one that will stop there need not be followed."""
        tool_N3 = state.ee_pose_N[:, :3]
        gap_N = np.clip(np.abs(tool_N3[:, 0] - state.object_pose["puck"][:, 0]), PUSHING, BEHIND)
        way_N = way_to(tool_N3, behind(state, gap_N))
        return np.minimum(way_N, np.maximum(self.miss(state) - self.threshold, 0.0))


def behind(state: SceneState, gap_N: Array | float = BEHIND) -> Array:
    """f64[N, 3] [m], where the tool starts to push: on the side of the puck that is away from
    the pad, in x, along which the fingers are open; so far from its centre."""
    puck_N7, goal_N7 = state.object_pose["puck"], state.object_pose["target"]
    side_N = np.where(goal_N7[:, 0] >= puck_N7[:, 0], -1.0, 1.0)
    height_N = np.full(len(side_N), PUSH_HEIGHT)
    return np.column_stack([puck_N7[:, 0] + side_N * gap_N, puck_N7[:, 1], height_N])


@dataclass(frozen=True)
class PandaGymSlide(Slide):
    """The numbers of panda_gym 3.0.7's PandaSlide-v3; the gripper is closed. Its goals hang
    1.5 cm above the centre of a puck that lies on the table, and its pucks are dropped from
    there; ours lie from the start."""

    hold_width: float = 0.0
    max_steps: int = 50
    control_hz: float = 25.0
    puck_mass: float = 1.0
    friction: float = 0.04
    low: Range = (-0.15, -0.15)
    high: Range = (0.15, 0.15)
    goal_low: Range = (0.25, -0.15)
    goal_high: Range = (0.55, 0.15)
    distractors: int = 0
    goal_height: float = 0.03
    """[m], above the table."""
    reward_weights: dict[str, float] = field(default_factory=PANDA_GYM_WEIGHTS.copy)

    def distance(self, state: SceneState) -> Array:
        goal_N3 = state.object_pose["target"][:, :3] + [0.0, 0.0, self.goal_height]
        return np.linalg.norm(state.object_pose["puck"][:, :3] - goal_N3, axis=-1)

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        return self.distance(state) < self.threshold

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return goal_reward(self.distance(after), self.threshold)
