"""How well a process reward model tells, on rollouts of held-out seeds.

Shape legend: E trajectories, L steps of one, M steps of all, G branches that part from one state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import Task
from rlrobo_core.types import ActionBatch, ObservationBatch, RolloutRequest
from rlrobo_policy.policy import Policy
from rlrobo_policy.process_reward import ProcessReward
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_sim.simulator import Simulator
from rlrobo_train.advantages import returns_to_go
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.process_reward.auc import auc, auc_within, redrawn
from rlrobo_train.process_reward.labels import LabelConfig, progress
from rlrobo_train.process_reward.shaping import process_reward
from rlrobo_train.process_reward.watched import Watched, converse

EPISODES, BRANCHES, BRANCH_STEPS, TEMPERATURE, GAMMA = 24, 8, 3, 0.5, 0.9
"""Of the branches that scores are compared on: as Pick and Place and Stack are trained."""
TOLD_APART = 0.01
"""Branches whose returns by the task's own reward vary less are as good as each other."""

Turns = list[tuple[ObservationBatch, ActionBatch]]
"""What simulation and policy said, in turn."""


class HeldOut(NamedTuple):
    """Of one task."""

    watched: list[Watched]
    turns: Turns
    """Of episodes that branch."""


def measure(
    model: ProcessReward, task: Task, held_out: HeldOut, config: LabelConfig
) -> dict[str, Any]:
    """With the 95% of a bootstrap that draws trajectories. What needs trajectories of both kinds,
    or branches, is None where there are none."""
    watched = held_out.watched
    score = [judged(model, it) for it in watched]
    success_E = np.array([it.success for it in watched])
    drawn = [areas([score[e] for e in rows], success_E[rows]) for rows in redrawn(success_E)]
    measured: dict[str, Any] = {
        "trajectories": len(watched),
        "successful": int(success_E.sum()),
        "explained": explained(task, score, watched, config),
        "branch_order": branch_order(model, held_out.turns),
    }
    said = [
        f"explains {measured['explained']:.0%} of progress",
        f"orders branches as the task's own reward at {measured['branch_order']:.2f}",
    ]
    for name, area in areas(score, success_E).items():
        low, high = np.quantile([it[name] for it in drawn], [0.025, 0.975]).tolist()
        measured |= {f"auc_{name}": area, f"auc_{name}_ci95": [low, high]}
        said.append(f"AUC of {name.replace('_', ' ')} {area:.3f} [{low:.3f}, {high:.3f}]")
    print(
        f"{task.name}: {', '.join(said)}, on {len(watched)} held-out trajectories, "
        f"{measured['successful']} of them successful",
        flush=True,
    )
    return {name: None if np.isnan(value).any() else value for name, value in measured.items()}


def areas(score: Sequence[NDArray[np.float32]], success_E: NDArray[np.bool_]) -> dict[str, float]:
    """AUC of trajectories that succeed over those that fail, by how fast the score has risen from
    their first to their last step: what makes progress; and, of steps that are equally old, of
    those whose trajectory will succeed over the others: what it knows that no clock does."""
    length_E = [len(score_L) for score_L in score]
    rise_E = np.array([(score_L[-1] - score_L[0]) / len(score_L) for score_L in score])
    return {
        "trajectories": auc(rise_E, success_E),
        "equally_old_steps": auc_within(
            np.concatenate(score),
            np.repeat(success_E, length_E),
            np.concatenate([np.arange(length) for length in length_E]),
        ),
    }


def explained(
    task: Task,
    score: Sequence[NDArray[np.float32]],
    watched: Sequence[Watched],
    config: LabelConfig,
) -> float:
    """The part of the progress' variance, over the steps of trajectories that succeeded."""
    pairs = [
        (score_L, labelled(task, it, config))
        for score_L, it in zip(score, watched, strict=True)
        if it.success
    ]
    if not pairs:
        return float("nan")
    score_M, progress_M = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return float(1.0 - np.square(score_M - progress_M).mean() / progress_M.var())


def labelled(task: Task, it: Watched, config: LabelConfig) -> NDArray[np.float64]:
    """f64[L], of one that succeeded."""
    return progress(it.ee_pose_L[:, :3], it.gripper_width_L, task.control_hz, config)


def judged(model: ProcessReward, it: Watched) -> NDArray[np.float32]:
    """f32[L], the scores of a trajectory's steps."""
    return model.judge(it.image_LC, [it.instruction] * len(it), it.ee_pose_L, it.gripper_width_L)


# ------------------------------------------------------------------ branches


def branches(simulator: Simulator, task: Task, policy: Policy, seed: int) -> Turns:
    """Episodes of the seed that branch, with what every branch led to."""
    request = RolloutRequest(
        request_id=0,
        iteration=0,
        phase="train",
        form="branch_ends",
        task=task.name,
        seed=seed,
        group_ids=tuple(range(EPISODES)),
        group_size=BRANCHES,
        min_policy_version=policy.version,
        temperature=TEMPERATURE,
        branch_steps=BRANCH_STEPS,
    )
    return list(converse(RolloutEngine(simulator, task, BRANCHES), request, policy))


def branch_order(model: ProcessReward, turns: Turns) -> float:
    """Whether it knows which of several ways is better: the correlation of what the process reward
    pays branches that part from one state with what the task's own reward pays them, the mean over
    the states. Branches that end the episode are left out: of them success tells."""
    buffer = RolloutBuffer(turns[0][0].request, scored=True)
    for batch, actions in turns:
        buffer.add_observations(batch)
        buffer.add_actions(actions)
        buffer.add_scores(model.score(batch))
    orders = [order for group in buffer.groups() for order in _orders(group)]
    return float(np.mean(orders)) if orders else float("nan")


def _orders(group: RolloutGroup) -> Iterator[float]:
    assert group.score is not None
    own_GL = returns_to_go(group.reward_GL.astype(np.float64), GAMMA, group.partings)
    paid_GL = returns_to_go(process_reward(group, GAMMA, "potential"), GAMMA, group.partings)
    steps = group.reward_GL.shape[1]
    for first, until in zip(group.partings, [*group.partings[1:], steps], strict=True):
        went_on_G = group.alive_GL[:, first:until].all(1) & (
            group.score.reached_GL[:, until - 1] > 0
        )
        own_G, paid_G = own_GL[went_on_G, first], paid_GL[went_on_G, first]
        if len(own_G) > BRANCHES // 2 and own_G.std() > TOLD_APART and paid_G.std() > 0:
            yield float(np.corrcoef(own_G, paid_G)[0, 1])
