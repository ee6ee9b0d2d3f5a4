"""Data for the warm start: frames whose truth the simulator knows, and an expert's episodes.

Both are functions of their seed alone, not of the number of worlds they were made in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.codec import TOOL_DOWN, end_effector_target
from rlrobo_core.tasks import Task
from rlrobo_core.types import ActionBatch, ObservationBatch, RolloutRequest
from rlrobo_sim.experts import expert_action
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_sim.simulator import Simulator
from rlrobo_sim.states import initial_scene

TOOL_LOW = np.array([0.4, -0.22, 0.02])
TOOL_HIGH = np.array([0.8, 0.22, 0.36])
"""Where `spatial_frames` sends the tool [m], base frame: panda_gym's ranges and some more, no
further than the front camera sees."""
MOVING_STEPS = 2
"""Control steps from the neutral posture towards that place: as a rule it arrives."""


@dataclass(frozen=True, slots=True, eq=False)
class Demonstrations:
    """N observations of an expert's episodes with what the expert would do there."""

    image_NC: NDArray[np.uint8]
    """u8[N, C, H, W, 3], RGB."""
    ee_pose_N: NDArray[np.float32]
    """f32[N, 7], measured, base frame."""
    gripper_width_N: NDArray[np.float32]
    """f32[N] [m]."""
    instruction_N: tuple[str, ...]
    action_ND: NDArray[np.float32]
    """f32[N, D] in [-1, 1], the expert's normalised action, as `ActionCodec.encode` takes it
    (x, y, z: times the task's `max_step` is metres from the measured tool position)."""
    episode_N: NDArray[np.int64]
    step_N: NDArray[np.int32]
    success_E: NDArray[np.bool_]
    """bool[E], whether each episode succeeded in spite of the noise."""

    def __len__(self) -> int:
        return len(self.episode_N)

    def in_order(self) -> Demonstrations:
        """Episode after episode, step after step, which is how data sets are written."""
        order = np.lexsort((self.step_N, self.episode_N))
        return replace(
            self,
            image_NC=self.image_NC[order],
            ee_pose_N=self.ee_pose_N[order],
            gripper_width_N=self.gripper_width_N[order],
            instruction_N=tuple(self.instruction_N[row] for row in order),
            action_ND=self.action_ND[order],
            episode_N=self.episode_N[order],
            step_N=self.step_N[order],
        )

    def seen_by(self, cameras: list[int]) -> Demonstrations:
        """With these of its cameras, by number, in this order."""
        return replace(self, image_NC=self.image_NC[:, cameras])


@dataclass(frozen=True, slots=True, eq=False)
class SpatialFrames:
    """N unrelated images with the truth about where things are in them."""

    image_NC: NDArray[np.uint8]
    """u8[N, C, H, W, 3], RGB."""
    ee_pose_N: NDArray[np.float32]
    """f32[N, 7], measured, base frame."""
    object_pose: dict[str, NDArray[np.float32]]
    """name -> f32[N, 7], base frame."""

    def __len__(self) -> int:
        return len(self.ee_pose_N)


def collect(
    simulator: Simulator, task: Task, episodes: int, seed: int, noise: float = 0.5
) -> Demonstrations:
    """Episodes 0 … `episodes` - 1 of `seed`, driven by the task's expert. Gaussian noise of
    standard deviation `noise` (in units of a full step) is added to what is executed, so that
    the frames show how to recover; the labels stay the expert's."""
    engine = RolloutEngine(simulator, task, group_size=1)
    batch = engine.start(_request(task, episodes, seed))
    asked, labels = [], []
    success_E = np.zeros(episodes, dtype=bool)
    while not batch.last:
        action_ND = expert_action(task, engine.state)
        asked.append(batch.observations)
        labels.append(action_ND.astype(np.float32))
        executed_ND = action_ND + noise * _gaussian(batch, action_ND.shape[1])
        answered = engine.act(_answer(batch, task, executed_ND))
        assert answered is not None, "the answer repeats the question's ids"
        batch = answered
        success_E[batch.outcomes.group_M[batch.outcomes.success_M]] = True
    return Demonstrations(
        image_NC=np.concatenate([o.image_NC for o in asked]),
        ee_pose_N=np.concatenate([o.ee_pose_N for o in asked]),
        gripper_width_N=np.concatenate([o.gripper_width_N for o in asked]),
        instruction_N=tuple(words for o in asked for words in o.instruction_N),
        action_ND=np.concatenate(labels),
        episode_N=np.concatenate([o.group_N for o in asked]),
        step_N=np.concatenate([o.step_N for o in asked]),
        success_E=success_E,
    )


def spatial_frames(simulator: Simulator, task: Task, n: int, seed: int) -> SpatialFrames:
    """`n` images of random scenes of the task, the tool on its way to a random place."""
    parts = [_random_frames(simulator, task, ids, seed) for ids in _chunks(n, simulator)]
    return SpatialFrames(
        image_NC=np.concatenate([part.image_NC for part in parts]),
        ee_pose_N=np.concatenate([part.ee_pose_N for part in parts]),
        object_pose={
            spec.name: np.concatenate([part.object_pose[spec.name] for part in parts])
            for spec in task.objects
        },
    )


def _random_frames(simulator: Simulator, task: Task, ids: range, seed: int) -> SpatialFrames:
    worlds = range(len(ids))
    scenes, seeds = zip(*(initial_scene(task, seed, frame) for frame in ids), strict=True)
    simulator.reset(worlds, scenes, seeds)
    target_N = np.stack([_random_target(seed, frame) for frame in ids])
    for _ in range(MOVING_STEPS):
        simulator.step(worlds, target_N)
    state = simulator.state(worlds)
    return SpatialFrames(
        image_NC=simulator.render(worlds),
        ee_pose_N=state.ee_pose_N.astype(np.float32),
        object_pose={name: p_N.astype(np.float32) for name, p_N in state.object_pose.items()},
    )


def _random_target(seed: int, frame: int) -> NDArray[np.float64]:
    """f64[8], tool pose and gripper width."""
    rng = np.random.default_rng((seed, frame, 1))
    return np.concatenate([rng.uniform(TOOL_LOW, TOOL_HIGH), TOOL_DOWN, [0.0]])


def _chunks(n: int, simulator: Simulator) -> Iterator[range]:
    for first in range(0, n, simulator.num_worlds):
        yield range(first, min(first + simulator.num_worlds, n))


def _request(task: Task, episodes: int, seed: int) -> RolloutRequest:
    return RolloutRequest(
        request_id=0,
        iteration=0,
        phase="train",
        form="trajectory",
        task=task.name,
        seed=seed,
        group_ids=tuple(range(episodes)),
        group_size=1,
        min_policy_version=0,
        temperature=0.0,
    )


def _gaussian(batch: ObservationBatch, dims: int) -> NDArray[np.float64]:
    """f64[N, D], each row a function of the request's seed, the episode and the step."""
    asked, seed = batch.observations, batch.request.seed
    ids = zip(asked.group_N.tolist(), asked.step_N.tolist(), strict=True)
    # The step counts from 1, see `rollout.draw_branch`.
    return np.stack([np.random.default_rng((seed, g, t + 1)).normal(size=dims) for g, t in ids])


def _answer(batch: ObservationBatch, task: Task, action_ND: NDArray[np.float64]) -> ActionBatch:
    """Commands without tokens, for an expert has none."""
    asked = batch.observations
    return ActionBatch(
        sequence=batch.sequence,
        request_id=batch.request.request_id,
        policy_version=0,
        group_M=asked.group_N,
        rollout_M=asked.rollout_N,
        step_M=asked.step_N,
        token_MT=np.zeros((len(asked), 0), dtype=np.int32),
        logprob_MT=np.zeros((len(asked), 0), dtype=np.float32),
        target_M=end_effector_target(task, asked.ee_pose_N, action_ND),
    )
