"""An evaluation that looks ahead, over ROS: the same episodes as without it."""

from __future__ import annotations

import json
import time

from graph_peers import PATIENCE

from rlrobo_core.tasks import make_task
from rlrobo_policy.critic import Critic
from rlrobo_policy.node import PolicyNode
from rlrobo_policy.policy import load_policy
from rlrobo_sim.node import SimNode
from rlrobo_train import local
from rlrobo_train.config import TrainConfig
from rlrobo_train.node import TrainNode

SCENE = {"num_envs": 4, "group_size": 1, "image_size": 56}
EPISODES = 3


def test_a_look_over_ros_is_that_without_it(graph, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    policy = load_policy("tiny", make_task("reach"), image_size=56)
    policy.save(checkpoint)
    Critic(policy, "shared").save(checkpoint)
    search = {"checkpoint": str(checkpoint), "best_of": 2}
    judge = {"mode": "eval", "episodes": EPISODES, **SCENE, **search}

    graph.add(SimNode, **SCENE)
    graph.add(PolicyNode, image_size=56, **search)
    train = graph.add(TrainNode, run_dir=str(tmp_path / "ros"), **judge)
    deadline = time.monotonic() + 2 * PATIENCE
    while not train.done:
        assert time.monotonic() < deadline, train.last_error
        time.sleep(0.1)
    local.run(TrainConfig(run_dir=str(tmp_path / "plain"), **judge))  # pyright: ignore[reportArgumentType]

    over_ros, plain = (
        json.loads((tmp_path / name / "eval.json").read_text()) for name in ("ros", "plain")
    )
    assert over_ros["per_seed"] == plain["per_seed"] and len(plain["per_seed"]) == EPISODES
    assert over_ros["search"] == plain["search"] != {}
