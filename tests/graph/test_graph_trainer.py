"""The trainer's edge: rollouts arrive whole, what was lost is counted and its group named."""

from __future__ import annotations

from graph_peers import LossyWire, RandomPolicy, request
from graph_rollouts import SCENE, without_ros

from rlrobo_core.types import ActionBatch, ObservationBatch, PolicyUpdate, RolloutRequest
from rlrobo_policy.node import PolicyNode
from rlrobo_sim.node import SimNode
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.node import TrainNode


class Collector:
    """Conducts one request and keeps what came of it."""

    def __init__(self, asked: RolloutRequest) -> None:
        self.buffer = RolloutBuffer(asked)
        self.messages_lost = 0
        self.ticks_after_the_end = 0
        self.closed = False
        self.metrics: dict[str, float] = {}

    @property
    def done(self) -> bool:
        """Whole, or with nothing more to come."""
        return self.buffer.complete or self.ticks_after_the_end > 1

    def start(self) -> list[RolloutRequest | PolicyUpdate]:
        return [self.buffer.request]

    def observe(self, batch: ObservationBatch) -> list[RolloutRequest | PolicyUpdate]:
        self.buffer.add_observations(batch)
        return []

    def act(self, batch: ActionBatch) -> list[RolloutRequest | PolicyUpdate]:
        self.buffer.add_actions(batch)
        return []

    def lost(self, count: int) -> None:
        self.messages_lost += count

    def tick(self, now: float) -> list[RolloutRequest | PolicyUpdate]:
        self.ticks_after_the_end += self.buffer.closed
        return []

    def close(self) -> None:
        self.closed = True


def test_a_request_arrives_whole_and_ends_the_trainer(graph):
    graph.add(SimNode, **SCENE)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    collector = Collector(request())
    graph.run(lambda **k: TrainNode(collector, **k))
    assert collector.closed and collector.messages_lost == 0
    groups = collector.buffer.groups()
    assert [group.group_id for group in groups] == list(request().group_ids)
    assert all(len(group.reward_GL) == request().group_size for group in groups)


def test_the_group_of_a_lost_message_is_named_and_the_others_are_kept(graph):
    asked = request(group_ids=(0, 1, 2, 3))
    graph.wire(lambda **k: LossyWire(ObservationBatch, "observations", "heard", {2}, **k))
    graph.add(SimNode, **SCENE)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    graph.settle()
    collector = Collector(asked)
    graph.run(lambda **k: TrainNode(collector, **k), remap={"observations": "heard"})
    assert collector.messages_lost == 1
    lost = without_ros(asked)[2]
    named = {*lost.observations.group_N.tolist(), *lost.outcomes.group_M.tolist()}
    assert set(collector.buffer.dropped()) == named != set(asked.group_ids)
    whole = {group.group_id for group in collector.buffer.groups()}
    assert whole == set(asked.group_ids) - named
