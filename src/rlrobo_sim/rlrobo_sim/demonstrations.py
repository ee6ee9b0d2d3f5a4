"""An expert's episodes, to be imitated: a function of their seed alone, not of the number of
worlds they were made in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import SceneState, Task
from rlrobo_core.types import ActionBatch, ObservationBatch, Observations, RolloutRequest
from rlrobo_sim.experts import expert_action
from rlrobo_sim.otherwise import other_action, other_instruction, other_roles
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_sim.simulator import Simulator
from rlrobo_sim.states import initial_scene


@dataclass(frozen=True, slots=True, eq=False)
class Otherwise:
    """An instruction that names another object of the same scene, and what the expert would do."""

    instruction_N: tuple[str, ...]
    action_ND: NDArray[np.float32]


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
    otherwise: Otherwise | None = None
    """What would be right under other words; None where a recording does not tell, or where the
    scene has no two things to be told apart."""

    def __len__(self) -> int:
        return len(self.episode_N)

    def in_order(self) -> Demonstrations:
        """Episode after episode, step after step, which is how data sets are written."""
        order = np.lexsort((self.step_N, self.episode_N))
        other = self.otherwise
        return replace(
            self,
            otherwise=other
            and Otherwise(tuple(other.instruction_N[row] for row in order), other.action_ND[order]),
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


class Moment(NamedTuple):
    """One control step of an expert's episodes, for all that wait for an action."""

    batch: ObservationBatch
    state: SceneState
    """True state, in the order of the batch's rows."""
    action_ND: NDArray[np.float64]
    """f64[N, D], what the expert would do."""


def collect(
    simulator: Simulator, task: Task, episodes: int, seed: int, noise: float = 0.5
) -> Demonstrations:
    """Episodes 0 … `episodes` - 1 of `seed`, driven by the task's expert. Gaussian noise of
    standard deviation `noise` (in units of a full step) is added to what is executed, so that
    the frames show how to recover; the labels stay the expert's."""
    asked, labels, others = [], [], []
    success_E = np.zeros(episodes, dtype=bool)
    for batch, state, action_ND in expert_episodes(simulator, task, episodes, seed, noise):
        success_E[batch.outcomes.group_M[batch.outcomes.success_M]] = True
        if not batch.last:
            asked.append(batch.observations)
            labels.append(action_ND.astype(np.float32))
            others.append(_otherwise(task, seed, batch.observations, state))
    return Demonstrations(
        image_NC=np.concatenate([o.image_NC for o in asked]),
        ee_pose_N=np.concatenate([o.ee_pose_N for o in asked]),
        gripper_width_N=np.concatenate([o.gripper_width_N for o in asked]),
        instruction_N=tuple(words for o in asked for words in o.instruction_N),
        action_ND=np.concatenate(labels),
        episode_N=np.concatenate([o.group_N for o in asked]),
        step_N=np.concatenate([o.step_N for o in asked]),
        success_E=success_E,
        otherwise=_joined([other for other in others if other]),
    )


def _otherwise(task: Task, seed: int, asked: Observations, state: SceneState) -> Otherwise | None:
    """Under one of the other casts, in turn over steps and episodes."""
    casts = other_roles(task)
    if not casts:
        return None
    scenes = [initial_scene(task, seed, int(group))[0] for group in asked.group_N]
    which_N = (asked.group_N + asked.step_N) % len(casts)
    action_CND = np.stack([other_action(task, state, roles) for roles in casts])
    return Otherwise(
        instruction_N=tuple(
            other_instruction(scene, casts[which])
            for scene, which in zip(scenes, which_N, strict=True)
        ),
        action_ND=action_CND[which_N, np.arange(len(scenes))].astype(np.float32),
    )


def _joined(parts: list[Otherwise]) -> Otherwise | None:
    if not parts:
        return None
    return Otherwise(
        instruction_N=tuple(words for part in parts for words in part.instruction_N),
        action_ND=np.concatenate([part.action_ND for part in parts]),
    )


def expert_episodes(
    simulator: Simulator, task: Task, episodes: int, seed: int, noise: float
) -> Iterator[Moment]:
    """Step after step of such episodes, the last batch, which asks for nothing, included."""
    engine = RolloutEngine(simulator, task, group_size=1)
    batch = engine.start(_request(task, episodes, seed))
    while True:
        state = engine.state
        action_ND = expert_action(task, state)
        yield Moment(batch, state, action_ND)
        if batch.last:
            return
        executed_ND = action_ND + noise * _gaussian(batch, action_ND.shape[1])
        answered = engine.act(_answer(batch, task, executed_ND))
        assert answered is not None, "the answer repeats the question's ids"
        batch = answered


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
