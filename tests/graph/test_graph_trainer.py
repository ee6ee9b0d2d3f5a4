"""The trainer's edge: rollouts arrive whole, what was lost is counted and its group named."""

from __future__ import annotations

from graph_peers import Collector, LossyWire, RandomPolicy, request
from graph_rollouts import SCENE, without_ros

from rlrobo_core.types import ObservationBatch
from rlrobo_policy.node import PolicyNode
from rlrobo_sim.node import SimNode
from rlrobo_train.node import TrainNode


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
