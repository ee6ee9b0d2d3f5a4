"""What rollouts are answered with where no model is needed."""

from __future__ import annotations

import numpy as np

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import Task
from rlrobo_core.types import ActionBatch, ObservationBatch


def random_actions(
    task: Task, batch: ObservationBatch, reach: float = 1.0, policy_version: int = 0
) -> ActionBatch:
    """Each a function of its ids, up to `reach` of a full step along each axis; of a probe all the
    same until its members part."""
    obs = batch.observations
    group_M, step_M = obs.group_N[obs.row_M], obs.step_N[obs.row_M]
    ids_M3 = np.stack([group_M, obs.rollout_M, step_M], -1)
    alike_M = [step < batch.request.first_parting(group) for group, _, step in ids_M3.tolist()]
    ids_M3[alike_M, 1] = 0
    drawn = [np.random.default_rng(it).uniform(-reach, reach, 3) for it in ids_M3.tolist()]
    action_M3 = np.array(drawn).reshape(-1, 3)
    return ActionBatch(
        sequence=batch.sequence,
        request_id=batch.request.request_id,
        policy_version=policy_version,
        group_M=group_M,
        rollout_M=obs.rollout_M,
        step_M=step_M,
        token_MT=np.zeros((len(group_M), 3), np.int32),
        logprob_MT=np.zeros((len(group_M), 3), np.float32),
        target_M=end_effector_target(task, obs.ee_pose_N[obs.row_M], action_M3),
    )
