"""Nodes as processes: killed in the middle of a request and started again, it goes on."""

from __future__ import annotations

import signal

from graph_peers import PATIENCE, RandomPolicy, request
from graph_rollouts import (
    SCENE,
    assert_same_rollouts,
    trainer_ear,
    without_ros,
)

from rlrobo_policy.node import PolicyNode

GROUPS = tuple(range(8))


def test_a_killed_simulation_begins_the_request_anew_and_finishes_it(graph):
    ear = trainer_ear(graph)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    first = graph.launch("rlrobo_sim", **SCENE)
    asked = request(group_ids=GROUPS)
    ear.publish(asked)
    for _ in range(4):
        assert not ear.hear_batch().last
    first.kill()
    first.wait(timeout=PATIENCE)
    graph.launch("rlrobo_sim", **SCENE)
    received = [ear.next()]
    while not received[-1].record.last:
        received.append(ear.next())
    assert sum(r.lost for r in received) == 0  # a restart is not a gap
    restart = [n for n, r in enumerate(received) if r.record.sequence == 0][-1]
    assert_same_rollouts([r.record for r in received[restart:]], without_ros(asked))


def test_sigint_ends_processes_in_the_middle_of_a_request(graph):
    ear = trainer_ear(graph)
    sim = graph.launch("rlrobo_sim", capture=True, **SCENE)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    ear.publish(request(group_ids=GROUPS))
    ear.hear_batch()
    sim.send_signal(signal.SIGINT)
    _out, err = sim.communicate(timeout=PATIENCE)
    assert sim.returncode == 0
    assert "Traceback" not in err
