"""The process reward model as a node: its scores are paired by id, and a training takes them."""

from __future__ import annotations

import time

import numpy as np
from graph_peers import PATIENCE, Collector, LossyWire, RandomPolicy, request
from graph_rollouts import SCENE, without_ros

from rlrobo_core.tasks import make_task
from rlrobo_core.types import ObservationBatch, ScoreBatch
from rlrobo_policy.node import PolicyNode
from rlrobo_policy.policy import load_policy
from rlrobo_policy.process_reward import Card, ProcessReward, backbone_of
from rlrobo_sim.node import SimNode
from rlrobo_train.metrics import read_metrics
from rlrobo_train.node import TrainNode
from rlrobo_train.process_reward.node import ProcessNode


class RandomJudge:
    """Scores that depend on the ids alone."""

    def score(self, batch: ObservationBatch) -> ScoreBatch:
        obs = batch.observations
        ids = zip(obs.group_N.tolist(), obs.rollout_N.tolist(), obs.step_N.tolist(), strict=True)
        score_N = np.array([np.random.default_rng(it).random() for it in ids], np.float32)
        return ScoreBatch(
            0, batch.request.request_id, obs.group_N, obs.rollout_N, obs.step_N, score_N
        )


def test_every_observation_is_scored_and_a_lost_score_drops_its_groups_by_name(graph):
    asked = request(group_ids=(0, 1, 2, 3))
    graph.wire(lambda **k: LossyWire(ScoreBatch, "scores", "heard", {2}, **k))
    graph.add(SimNode, **SCENE)
    graph.add(lambda **k: PolicyNode(RandomPolicy(), **k))
    graph.add(lambda **k: ProcessNode(RandomJudge(), **k))
    graph.settle()
    collector = Collector(asked, scored=True)
    graph.run(lambda **k: TrainNode(collector, **k), remap={"scores": "heard"})
    assert collector.messages_lost == 1
    lost = without_ros(asked)[2]
    named = set(lost.observations.group_N.tolist())
    assert set(collector.buffer.dropped()) == named != set(asked.group_ids)
    assert all("the score of rollout" in it for it in collector.buffer.dropped().values())
    for group in collector.buffer.groups():
        assert group.score is not None
        wanted = np.random.default_rng((group.group_id, 0, 0)).random()
        np.testing.assert_allclose(group.score.seen_GL[:, 0], wanted, rtol=1e-6)


def test_a_training_takes_the_nodes_reward(graph, tmp_path):
    made, run = tmp_path / "made", tmp_path / "run"
    policy = load_policy("tiny", make_task("reach"), image_size=56)
    ProcessReward(policy).save(made, Card(("reach",), backbone_of(policy)))
    scene = {"num_envs": 4, "group_size": 2, "image_size": 56}
    judging = {"process_reward": str(made), "image_size": 56}
    graph.add(SimNode, **scene)
    graph.add(PolicyNode, checkpoint=str(made), image_size=56)
    judge = graph.add(ProcessNode, **judging)
    training = scene | judging | {
        "algorithm": "ppo",
        "checkpoint": str(made),
        "run_dir": str(run),
        "iterations": 2,
        "groups_per_iteration": 4,
        "critic_warmup": 0,
        "episodes": 2,
        "eval_every": 0,
    }  # fmt: skip
    train, deadline = graph.add(TrainNode, **training), time.monotonic() + 2 * PATIENCE
    while not train.done:
        assert time.monotonic() < deadline, train.last_error
        time.sleep(0.1)
    rows = [row for row in read_metrics(run) if "loss/policy" in row]
    assert [row["iteration"] for row in rows] == [1, 2]
    assert all(row["graph/groups_dropped"] == row["graph/messages_lost"] == 0 for row in rows)
    assert all(0.0 < row["process/mean"] < 1.0 for row in rows)
    # Of training alone, ends that were cut off included: evaluations are not judged.
    assert judge.facts["scored"] >= sum(row["rollout/steps"] for row in rows)
