"""What is logged of an iteration's rollouts, over all learners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.learners import Learners


def rollout_metrics(
    buffer: RolloutBuffer,
    groups: Sequence[RolloutGroup],
    learners: Learners,
    *,
    several_tasks: bool,
) -> dict[str, float]:
    """`buffer`: this learner's; `groups`: those of all. With several tasks what is the task's is
    told by its name as well."""

    def mean(values: list[float]) -> float:
        return float(np.mean(values)) if values else 0.0

    oldest = min(learners.gather(min(buffer.versions, default=0)))
    of_task = {
        "rollout/success": mean([g.success for g in groups]),
        "rollout/length": mean([g.length for g in groups]),
        "reward/mean": mean([g.reward for g in groups]),
        **{f"reward/{n}": mean([g.terms[n] for g in groups]) for n in buffer.term_names},
    }
    if several_tasks:
        of_task |= {f"{key}/{buffer.request.task}": value for key, value in of_task.items()}
    return of_task | {
        "rollout/steps": float(sum(learners.gather(buffer.steps))),
        "rollout/policy_lag": float(buffer.request.iteration - oldest),
        "graph/groups_dropped": float(sum(learners.gather(len(buffer.dropped())))),
    }


def served(by_learner: list[tuple[float, dict[str, float]]]) -> dict[str, float]:
    """Of each learner the seconds that its rollouts took, and how its workers fared: with several
    learners, what part of the time each waited for the slowest, and workers' names with theirs."""
    if len(by_learner) == 1:
        return by_learner[0][1]
    slowest = max(seconds for seconds, _ in by_learner)
    told: dict[str, float] = {}
    for rank, (seconds, serving) in enumerate(by_learner):
        told[f"learners/{rank}/idle"] = 1.0 - seconds / max(slowest, 1e-9)
        told |= {f"learners/{rank}/{key}": value for key, value in serving.items()}
    return told
