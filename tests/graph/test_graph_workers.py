"""Simulation processes in the graph: one that stalls costs its groups and not the request."""

from __future__ import annotations

import signal
import time

from graph_peers import PATIENCE, Ear

from rlrobo_core.tasks import make_task
from rlrobo_core.types import ObservationBatch, RolloutRequest
from rlrobo_policy.node import PolicyNode
from rlrobo_policy.policy import load_policy
from rlrobo_sim.node import SimNode
from rlrobo_train.metrics import read_metrics
from rlrobo_train.node import TrainNode


def under_way(batch: ObservationBatch) -> bool:
    """Whether the rollouts of the second update are in the middle of their episodes."""
    request = batch.request
    return (
        request.phase == "train" and request.iteration == 1 and batch.observations.step_N.min() > 0
    )


def test_a_stalled_worker_is_replaced_before_the_trainer_asks_again(graph, tmp_path):
    load_policy("tiny", make_task("reach"), image_size=56).save(tmp_path)
    scene = {"num_envs": 4, "group_size": 2, "image_size": 56, "workers": 2}
    scene |= {"worker_deadline_s": 3.0}
    training = scene | {
        "algorithm": "grpo",
        "checkpoint": str(tmp_path),
        "run_dir": str(tmp_path / "run"),
        "iterations": 2,
        "groups_per_iteration": 4,
        "episodes": 4,
        "eval_every": 0,
        "stall_s": 1.0,
    }
    batches = graph.add(lambda **k: Ear(ObservationBatch, **k))
    requests = graph.add(lambda **k: Ear(RolloutRequest, **k))
    sim = graph.add(SimNode, **scene)
    graph.add(PolicyNode, checkpoint=str(tmp_path), image_size=56)
    train, deadline = graph.add(TrainNode, **training), time.monotonic() + 2 * PATIENCE
    while not under_way(batches.hear_batch()):
        pass
    stalled = sim.engine.workers[0].process
    stalled.send_signal(signal.SIGSTOP)
    while not train.done:
        assert time.monotonic() < deadline, train.last_error
        time.sleep(0.1)
    assert sim.engine.restarts == 1 and stalled.poll() is not None
    rows = [row for row in read_metrics(tmp_path / "run") if "loss/policy" in row]
    assert [row["graph/groups_dropped"] > 0 for row in rows] == [False, True]
    assert all(0.0 <= rows[-1][f"workers/{i}/idle"] <= 1.0 for i in (0, 1))
    heard = [requests.next().record.request_id for _ in range(requests.heard.qsize())]
    assert len(set(heard)) == 4  # two evaluations, two rollouts: none was asked for twice
