"""What became of a batch of actions: reward terms, success and the end of episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import SceneState, Task
from rlrobo_core.types import Observations, Outcomes

REWARDS = ("dense", "sparse")


def reward_weights(task: Task, reward: str) -> dict[str, float]:
    """`dense`: the task's own weights; `sparse`: 1 for success, 0 for everything else.
    ValueError names the choices, or says that the task has no success to reward."""
    if reward not in REWARDS:
        raise ValueError(f"unknown reward {reward!r}; choose one of: {', '.join(REWARDS)}")
    if reward == "dense":
        return dict(task.reward_weights)
    none = dict.fromkeys(task.reward_weights, 0.0)
    return merge_weights(task, none | {"success": 1.0})


def merge_weights(task: Task, replaced: Mapping[str, float]) -> dict[str, float]:
    """The task's reward weights with some replaced; ValueError names the terms there are."""
    unknown = replaced.keys() - task.reward_weights.keys()
    if unknown:
        raise ValueError(
            f"unknown reward terms {sorted(unknown)} for task {task.name!r}; choose from: "
            f"{', '.join(task.reward_weights)}"
        )
    return task.reward_weights | dict(replaced)


def weigh(
    task: Task, weights: Mapping[str, float], before: SceneState, after: SceneState
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reward f64[M] of the step from `before` to `after`, and its unweighted terms f64[M, K]
    in the order of `weights`."""
    terms = task.reward_terms(before, after)
    assert terms.keys() == weights.keys(), "a task weighs each of its reward terms"
    term_MK = np.stack([terms[name] for name in weights], axis=-1)
    # Not a matrix product: BLAS may round a row differently in batches of another size.
    return (term_MK * np.array(list(weights.values()))).sum(axis=-1), term_MK


def judge(
    task: Task,
    weights: Mapping[str, float],
    before: SceneState,
    after: SceneState,
    asked: Observations,
) -> Outcomes:
    """The outcomes of the step from `before` to `after` (M scenes each) that answered
    `asked`. Success terminates; the last allowed step without it truncates."""
    reward_M, term_MK = weigh(task, weights, before, after)
    step_M = asked.step_N[asked.row_M]
    success_M = task.success(after)
    return Outcomes(
        group_M=asked.group_N[asked.row_M],
        rollout_M=asked.rollout_M,
        step_M=step_M,
        reward_M=reward_M.astype(np.float32),
        reward_term_names=tuple(weights),
        reward_term_MK=term_MK.astype(np.float32),
        terminated_M=success_M,
        truncated_M=~success_M & (step_M + 1 >= task.max_steps),
        success_M=success_M,
        chosen_M=np.ones(len(step_M), dtype=bool),
    )


def select(outcomes: Outcomes, keep_M: NDArray[np.bool_]) -> Outcomes:
    """Those of the actions where `keep_M` is true."""
    rows = {f.name for f in fields(Outcomes)} - {"reward_term_names"}
    return replace(outcomes, **{name: getattr(outcomes, name)[keep_M] for name in rows})


def no_outcomes(weights: Mapping[str, float]) -> Outcomes:
    """Those of a request's first batch, which answers no actions."""
    none = np.zeros(0, dtype=bool)
    return Outcomes(
        group_M=none.astype(np.int64),
        rollout_M=none.astype(np.int32),
        step_M=none.astype(np.int32),
        reward_M=none.astype(np.float32),
        reward_term_names=tuple(weights),
        reward_term_MK=np.zeros((0, len(weights)), dtype=np.float32),
        terminated_M=none,
        truncated_M=none,
        success_M=none,
        chosen_M=none,
    )
