"""Rollouts of a real policy, as the trainer hears them."""

from __future__ import annotations

from rlrobo_core.tasks import Task
from rlrobo_core.types import RolloutRequest
from rlrobo_policy.policy import Policy
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_sim.simulator import Simulator
from rlrobo_train.buffer import RolloutBuffer


def played(
    policy: Policy, simulator: Simulator, task: Task, request: RolloutRequest
) -> RolloutBuffer:
    """All of the request."""
    engine, buffer = RolloutEngine(simulator, task, request.group_size), RolloutBuffer(request)
    batch = engine.start(request)
    while not batch.last:
        actions = policy.act(batch)
        buffer.add_observations(batch)
        buffer.add_actions(actions)
        following = engine.act(actions)
        assert following is not None
        batch = following
    buffer.add_observations(batch)
    return buffer
