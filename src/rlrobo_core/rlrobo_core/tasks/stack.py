"""Stack: put the cube that the words name onto the other one that they name, and let go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

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
from rlrobo_core.tasks.grasping import (
    SQUEEZE,
    is_gripped,
    is_let_go,
    is_still,
    way_to_grip,
    way_to_let_go,
)
from rlrobo_core.tasks.instructions import check_templates, say
from rlrobo_core.tasks.panda_gym import PANDA_GYM_WEIGHTS, goal_reward
from rlrobo_core.tasks.placing import Range, place_apart, poses


@dataclass(frozen=True)
class Stack:
    """Where panda_gym's PandaStack-v3 has two goals that both cubes are brought to, one cube
    goes onto the other here, wherever that lies: what a person would ask for. Cubes lie apart,
    among cubes of other colours, and are light enough for a real gripper."""

    name: str = "stack"
    action_dims: tuple[str, ...] = ("x", "y", "z", "gripper")
    hold_width: float = 0.0
    way: tuple[str, ...] = ("cube", "base")
    max_steps: int = 40
    control_hz: float = 10.0
    max_step: float = 0.05
    cameras: tuple[str, ...] = ("front", "wrist")
    proprioception: bool = True
    cube_size: float = 0.04
    """[m]"""
    cube_mass: float = 0.1
    """[kg]"""
    low: Range = (-0.15, -0.15)
    high: Range = (0.15, 0.15)
    """[m], around panda_gym's origin."""
    apart: float = 0.1
    """[m], least distance of cubes: an open hand fits between."""
    distractors: int = 1
    """Cubes of other colours."""
    max_distractors: ClassVar[int] = 2
    """The palette has no colours for more; a shift asks for no more."""
    palette: tuple[str, ...] = PALETTE
    held_out_palette: tuple[str, ...] = HELD_OUT_PALETTE
    reward_weights: dict[str, float] = field(
        default_factory=lambda: {
            "approach": 1.0,
            "carry": 1.0,
            "release": 1.0,
            "success": 1.0,
        }
    )
    instructions: tuple[str, ...] = (
        "put the {color} cube on the {other} cube",
        "stack the {color} cube on top of the {other} cube",
        "take the {color} block and put it onto the {other} block",
        "place the {color} cube on top of the {other} one",
    )
    held_out_instructions: tuple[str, ...] = (
        "make a tower : the {color} block above the {other} block",
        "the {color} cube goes on the {other} cube",
    )

    def __post_init__(self) -> None:
        check_templates(self.instructions, "color", "other")
        check_palette(self.palette, 2 + self.distractors)

    @classmethod
    def panda_gym(cls) -> Stack:
        return PandaGymStack()

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        return cubes(("cube", "base"), self.distractors, self.cube_size, self.cube_mass)

    def sample(self, rng: np.random.Generator) -> InitialScene:
        xy_n2 = place_apart(rng, len(self.objects), self.low, self.high, self.apart)
        colors = draw_colors(rng, self.palette, 2 + self.distractors)
        return InitialScene(
            object_pose=poses(self.objects, xy_n2, self._start_z()),
            instruction=say(rng, self.instructions, color=colors[0], other=colors[1]),
            object_rgba=colored(self.objects, colors),
        )

    def _start_z(self) -> Array:
        """f64[n], of the objects' middles [m]."""
        return np.full(len(self.objects), self.cube_size / 2)

    def goal(self, state: SceneState) -> Array:
        """f64[N, 3], the cube's place on top of the base."""
        return state.object_pose["base"][:, :3] + np.array([0.0, 0.0, self.cube_size])

    def gripped(self, state: SceneState) -> NDArray[np.bool_]:
        """bool[N], whether the cube is."""
        return is_gripped(state, "cube", self.cube_size)

    def placed(self, state: SceneState) -> NDArray[np.bool_]:
        """bool[N]: the cube is on the base or less than 1 cm above, and most of it over the
        base, held or not."""
        offset_N3 = state.object_pose["cube"][:, :3] - self.goal(state)
        over_N = np.abs(offset_N3[:, :2]).max(axis=-1) < self.cube_size / 2
        return over_N & (np.abs(offset_N3[:, 2]) < 0.01)

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        still_N = is_still(state, "cube") & is_still(state, "base")
        return self.placed(state) & still_N & is_let_go(state, "cube", self.cube_size)

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return {
            "approach": self._to_grip(before) - self._to_grip(after),
            "carry": self._to_goal(before) - self._to_goal(after),
            "release": self._to_release(before) - self._to_release(after),
            "success": self.success(after).astype(np.float64),
        }

    def _to_grip(self, state: SceneState) -> Array:
        return np.where(self.placed(state), 0.0, way_to_grip(state, "cube", self.cube_size))

    def _to_goal(self, state: SceneState) -> Array:
        """f64[N] [m], what the cube has to be carried."""
        way_N = way_to(state.object_pose["cube"][:, :3], self.goal(state))
        return np.where(self.gripped(state) | self.placed(state), way_N, FAR)

    def _to_release(self, state: SceneState) -> Array:
        """f64[N] [m], what the fingers have to open once the cube is on the base."""
        way_N = way_to_let_go(state, "cube", self.cube_size)
        return np.where(self.placed(state), way_N, SQUEEZE)


@dataclass(frozen=True)
class PandaGymStack(Stack):
    """The numbers of panda_gym 3.0.7's PandaStack-v3: the base (its object1) goes to the pad and
    the cube (its object2) 4 cm above it. As there, the cube starts 4 cm above the table, and the
    two may start at the same place."""

    max_steps: int = 100
    control_hz: float = 25.0
    threshold: float = 0.1
    """[m], of both cubes' offsets as one vector of six."""
    cube_mass: float = 1.0
    base_mass: float = 2.0
    apart: float = 0.0
    distractors: int = 0
    reward_weights: dict[str, float] = field(default_factory=PANDA_GYM_WEIGHTS.copy)
    instructions: tuple[str, ...] = (
        "put the {other} cube on the green pad and the {color} cube on top of it",
    )

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        cube, base = super().objects
        target = SceneObject("target", "pad", (self.cube_size / 2,), TARGET_GREEN)
        return cube, replace(base, mass=self.base_mass), target

    def _start_z(self) -> Array:
        return np.array([1.5 * self.cube_size, 0.5 * self.cube_size, 0.0])

    def distance(self, state: SceneState) -> Array:
        """f64[N], the norm of both cubes' offsets from their goals [m]."""
        target_N3 = state.object_pose["target"][:, :3]
        offset_N6 = [
            state.object_pose[name][:, :3] - target_N3 - [0.0, 0.0, z]
            for name, z in zip(("cube", "base"), self._start_z(), strict=False)
        ]
        return np.linalg.norm(np.concatenate(offset_N6, axis=-1), axis=-1)

    def success(self, state: SceneState) -> NDArray[np.bool_]:
        return self.distance(state) < self.threshold

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        return goal_reward(self.distance(after), self.threshold)
