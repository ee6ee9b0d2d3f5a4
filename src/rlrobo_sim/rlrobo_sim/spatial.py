"""Images with the truth about where things are in them: what the seeing stage asks about.

Random frames show the tool anywhere over scenes as they start; expert frames show what happens
in a task: things held, lifted, pushed, half stacked. Both are functions of their seed alone,
not of the number of worlds they were made in.

Shape legend: _N frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.codec import TOOL_DOWN
from rlrobo_core.panda import MAX_WIDTH
from rlrobo_core.tasks import InitialScene, SceneState, Task
from rlrobo_core.tasks.grasping import is_held
from rlrobo_core.tasks.naming import call
from rlrobo_sim.demonstrations import expert_episodes
from rlrobo_sim.simulator import Simulator
from rlrobo_sim.states import initial_scene

TOOL_LOW = np.array([0.4, -0.22, 0.02])
TOOL_HIGH = np.array([0.8, 0.22, 0.36])
"""Where `random_frames` sends the tool [m], base frame: panda_gym's ranges and some more, no
further than the front camera sees."""
MOVING_STEPS = 2
"""Control steps from the neutral posture towards that place: as a rule it arrives."""


@dataclass(frozen=True, slots=True, eq=False)
class SpatialFrames:
    """N images with the truth about where things are in them."""

    image_NC: NDArray[np.uint8]
    """u8[N, C, H, W, 3], RGB."""
    ee_pose_N: NDArray[np.float32]
    """f32[N, 7], measured, base frame."""
    gripper_width_N: NDArray[np.float32]
    """f32[N] [m]."""
    name_N: dict[str, tuple[str, ...]]
    """object -> what it is called in each frame ("red cube")."""
    object_pose: dict[str, NDArray[np.float32]]
    """object -> f32[N, 7], base frame."""
    held: dict[str, NDArray[np.bool_]]
    """object -> bool[N], of those that the gripper can hold."""

    def __len__(self) -> int:
        return len(self.ee_pose_N)


def join(parts: Sequence[SpatialFrames]) -> SpatialFrames:
    """The frames of several parts of one task."""
    first = parts[0]
    return SpatialFrames(
        image_NC=np.concatenate([part.image_NC for part in parts]),
        ee_pose_N=np.concatenate([part.ee_pose_N for part in parts]),
        gripper_width_N=np.concatenate([part.gripper_width_N for part in parts]),
        name_N={it: tuple(n for part in parts for n in part.name_N[it]) for it in first.name_N},
        object_pose={
            it: np.concatenate([part.object_pose[it] for part in parts]) for it in first.object_pose
        },
        held={it: np.concatenate([part.held[it] for part in parts]) for it in first.held},
    )


def random_frames(simulator: Simulator, task: Task, n: int, seed: int) -> SpatialFrames:
    """`n` images of random scenes of the task, the tool on its way to a random place. Where the
    policy commands the gripper, it is open as wide as chance has it."""
    return join([_random_frames(simulator, task, ids, seed) for ids in _chunks(n, simulator)])


def expert_frames(
    simulator: Simulator, task: Task, episodes: int, seed: int, noise: float
) -> SpatialFrames:
    """What an expert's noisy episodes show, episode after episode."""
    parts, order = [], []
    for batch, state, _ in expert_episodes(simulator, task, episodes, seed, noise):
        asked = batch.observations
        if len(asked):
            scenes = [initial_scene(task, seed, int(group))[0] for group in asked.group_N]
            parts.append(_frames(task, asked.image_NC, state, scenes))
            order += zip(asked.group_N.tolist(), asked.step_N.tolist(), strict=True)
    return _rows(join(parts), sorted(range(len(order)), key=order.__getitem__))


def _random_frames(simulator: Simulator, task: Task, ids: range, seed: int) -> SpatialFrames:
    worlds = range(len(ids))
    scenes, seeds = zip(*(initial_scene(task, seed, frame) for frame in ids), strict=True)
    simulator.reset(worlds, scenes, seeds)
    target_N = np.stack([_random_target(task, seed, frame) for frame in ids])
    for _ in range(MOVING_STEPS):
        simulator.step(worlds, target_N)
    return _frames(task, simulator.render(worlds), simulator.state(worlds), scenes)


def _frames(
    task: Task, image_NC: NDArray[np.uint8], state: SceneState, scenes: Sequence[InitialScene]
) -> SpatialFrames:
    return SpatialFrames(
        image_NC=image_NC,
        ee_pose_N=state.ee_pose_N.astype(np.float32),
        gripper_width_N=state.gripper_width_N.astype(np.float32),
        name_N={it.name: tuple(call(it, scene) for scene in scenes) for it in task.objects},
        object_pose={it.name: state.object_pose[it.name].astype(np.float32) for it in task.objects},
        held={
            it.name: is_held(state, it.name, 2 * it.size[1])
            for it in task.objects
            if it.shape == "box"
        },
    )


def _rows(frames: SpatialFrames, rows: Sequence[int]) -> SpatialFrames:
    return SpatialFrames(
        image_NC=frames.image_NC[rows],
        ee_pose_N=frames.ee_pose_N[rows],
        gripper_width_N=frames.gripper_width_N[rows],
        name_N={it: tuple(names[row] for row in rows) for it, names in frames.name_N.items()},
        object_pose={it: pose_N[rows] for it, pose_N in frames.object_pose.items()},
        held={it: held_N[rows] for it, held_N in frames.held.items()},
    )


def _random_target(task: Task, seed: int, frame: int) -> NDArray[np.float64]:
    """f64[8], tool pose and gripper width."""
    rng = np.random.default_rng((seed, frame, 1))
    place = rng.uniform(TOOL_LOW, TOOL_HIGH)
    commanded = "gripper" in task.action_dims
    width = rng.uniform(0.0, MAX_WIDTH) if commanded else task.hold_width
    return np.concatenate([place, TOOL_DOWN, [width]])


def _chunks(n: int, simulator: Simulator) -> Iterator[range]:
    for first in range(0, n, simulator.num_worlds):
        yield range(first, min(first + simulator.num_worlds, n))
