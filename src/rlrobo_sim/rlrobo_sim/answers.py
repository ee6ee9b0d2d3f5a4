"""Whether an action batch answers what was asked, and what it says then."""

from __future__ import annotations

import numpy as np

from rlrobo_core.types import ActionBatch, ObservationBatch


def check_finite(actions: ActionBatch) -> None:
    """ValueError if a target is not a number: one such action spoils its world unseen."""
    bad_M = ~np.isfinite(actions.target_M).all(axis=-1)
    if bad_M.any():
        groups = sorted({int(group) for group in actions.group_M[bad_M]})
        raise ValueError(
            f"policy version {actions.policy_version} commands targets that are not finite in "
            f"groups {groups}; go back to an earlier checkpoint"
        )


def accepts(batch: ObservationBatch, actions: ActionBatch) -> bool:
    """Whether `actions` is a complete answer to `batch` by a policy that is new enough."""
    return (
        actions.answers(batch)
        and actions.policy_version >= batch.request.min_policy_version
        and actions.target_M.shape == (len(actions), 8)
    )


def preferred(asked: ObservationBatch, answer: ActionBatch) -> dict[int, int] | None:
    """group -> the member to go on with, where `answer` names one of each group that is shown;
    None for any other message."""
    obs, groups = asked.observations, answer.group_M.tolist()
    shown = zip(obs.group_N.tolist(), obs.rollout_N.tolist(), obs.step_N.tolist(), strict=True)
    named = zip(groups, answer.rollout_M.tolist(), answer.step_M.tolist(), strict=True)
    answers = (
        answer.request_id == asked.request.request_id
        and answer.policy_version >= asked.request.min_policy_version
        and answer.token_MT.shape[1] == 0
        and sorted(groups) == sorted(set(obs.group_N.tolist()))
        and set(named) <= set(shown)
    )
    return dict(zip(groups, answer.rollout_M.tolist(), strict=True)) if answers else None
