"""Two learners, two processes over gloo: the update of one process, and whole runs."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learner_peer import TASK, updates
from played import played

from rlrobo_core.types import RolloutRequest
from rlrobo_policy.policy import load_policy, shipped_checkpoint
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_train.assemble import make_conductor
from rlrobo_train.batches import Weighed, minibatches, units
from rlrobo_train.checkpoint import latest_checkpoint
from rlrobo_train.config import TrainConfig
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.learners import ALONE, Learners, own_device
from rlrobo_train.metrics import read_metrics

PEER = Path(__file__).parent / "learner_peer.py"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def torchrun(*command: object, processes: int = 2) -> None:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words = [*run, f"--nproc-per-node={processes}", *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr


def rollouts(groups: int, members: int) -> list[RolloutGroup]:
    """Episodes with their ends, groups of different lengths."""
    policy = load_policy(str(shipped_checkpoint(["reach"])), TASK)
    policy.version = 0
    ids = tuple(range(groups))
    request = RolloutRequest(1, 0, "train", "episode", TASK.name, 0, ids, members, 0, 1.0)
    simulator = MujocoSimulator(TASK, groups * members, 112, num_render_workers=0, num_threads=1)
    try:
        return played(policy, simulator, TASK, request).groups()
    finally:
        simulator.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two learners have updated on five groups, three of them the second one's."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("learners")
    (folder / "groups.pkl").write_bytes(pickle.dumps(rollouts(groups=5, members=3)))
    torchrun(PEER, folder)
    return folder


def test_two_learners_make_the_update_of_one_process(folder: Path) -> None:
    """Weights to 1e-5, and every metric: token weights, advantages and clipping are of all."""
    groups = pickle.loads((folder / "groups.pkl").read_bytes())
    two = torch.load(folder / "learner_0.pt")
    before = load_policy(str(shipped_checkpoint(["reach"])), TASK).vlm.model.state_dict()
    for algorithm, weights, stats in updates(groups, ALONE, folder):
        found, said = two[algorithm]
        assert found.keys() == weights.keys()
        for name, weight in weights.items():
            torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=0.0)
        moved = max(float((w - before[n]).abs().max()) for n, w in weights.items() if n in before)
        assert moved > 2e-4  # twenty times what they may differ by
        assert (stats["optim/steps"] < 6) == (algorithm == "ppo")
        assert said.keys() == stats.keys()
        for key, value in stats.items():
            # What lies on the edge of being clipped falls to either side by rounding.
            near = 0.05 if key.endswith("clip_fraction") else 2e-4
            assert said[key] == pytest.approx(value, abs=near), key


def test_learners_stay_alike_bit_for_bit(folder: Path) -> None:
    one, other = (torch.load(folder / f"learner_{rank}.pt") for rank in (0, 1))
    for algorithm, (weights, stats) in one.items():
        assert all(torch.equal(weights[name], w) for name, w in other[algorithm][0].items())
        assert stats == other[algorithm][1]


def test_conversations_are_units_that_learners_share(folder: Path) -> None:
    """A group's turns stay in one AdamW step and in order, whoever has rolled it out."""
    groups = pickle.loads((folder / "groups.pkl").read_bytes())
    weighed = [[Weighed(d, np.ones(len(d.rollout_S))) for d in g.decisions] for g in groups]

    class Two(Learners):
        """Both have said how large their units are."""

        def gather(self, thing: Any) -> list[Any]:
            return [sizes[:2], sizes[2:]]

    def drawn(mine: list[list[Weighed]], who: Learners) -> list[list[int]]:
        parts = minibatches(mine, 20, np.random.default_rng(0), who)
        return [[id(row.decision) for row in part] for part in parts]

    whole = units(weighed, history=2)
    sizes = [sum(len(row.decision.rollout_S) for row in unit) for unit in whole]
    alone = drawn(whole, ALONE)
    shares = drawn(whole[:2], Two(0, 2)), drawn(whole[2:], Two(1, 2))
    assert len(alone) > 1 and len(shares[0]) == len(shares[1]) == len(alone)
    for part, one, other in zip(alone, *shares, strict=True):
        assert sorted(part) == sorted(one + other)
    unit_of = {id(row.decision): u for u, unit in enumerate(whole) for row in unit}
    for part in (*alone, *shares[0], *shares[1]):
        order = [unit_of[row] for row in part]
        assert all(order.count(u) == len(whole[u]) for u in order)
        assert len(list(groupby(order))) == len(set(order))


def test_shares_are_equal_and_whole() -> None:
    for size in (1, 2, 3, 7):
        shares = [Learners(rank, size).share(range(20)) for rank in range(size)]
        assert [item for share in shares for item in share] == list(range(20))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


# ---------------------------------------------------------------- whole runs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two learners train for one update, and go on for another."""
    path = tmp_path_factory.mktemp("runs") / "two"
    settings = {
        "algorithm": "ppo",
        "num-envs": 4,
        "group-size": 1,
        "groups-per-iteration": 6,
        "critic-warmup": 0,
        "episodes": 3,
        "eval-every": 0,
        "run-dir": path,
    }
    words = [word for key, value in settings.items() for word in (f"--{key}", value)]
    local = ("-m", "rlrobo_train.local", "--minutes", 0)
    torchrun(*local, "--iterations", 1, *words)
    torchrun(*local, "--iterations", 2, "--resume", path)
    return path


def test_a_run_of_two_learners_is_one_run(run: Path) -> None:
    rows: list[dict[str, Any]] = read_metrics(run)
    updates = [row for row in rows if "loss/policy" in row]
    assert [row["iteration"] for row in updates] == [1, 2]
    for row in updates:
        assert row["policy/ratio_first"] == pytest.approx(1.0, abs=1e-4)
        assert row["groups/decisions"] == row["rollout/steps"] > 6
        assert row["rollout/length"] == pytest.approx(row["rollout/steps"] / 6)
        assert row["rollout/success"] * 6 == pytest.approx(round(row["rollout/success"] * 6))
    assert json.loads((run / "summary.json").read_text())["iterations"] == 2
    assert latest_checkpoint(run / "checkpoints") is not None


def test_an_evaluation_is_shared_out(run: Path) -> None:
    judged = json.loads((run / "eval_000002.json").read_text())
    assert [it["group"] for it in judged["per_seed"]] == [0, 1, 2]
    assert judged["success"] == np.mean([it["success"] for it in judged["per_seed"]])


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 6}, r"num_envs:=6 .* among 4 learners in groups of 1; take num_envs:=4"),
        ({"groups_per_iteration": 6}, r"6 groups .* take groups_per_iteration:=4"),
        ({"episodes": 3}, r"episodes:=3 are fewer than 4 learners.*episodes:=4"),
        ({"train_from": "topics"}, r"train_from:=topics is read by one learner, and 4"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(options: dict[str, Any], message: str) -> None:
    fitting = {"algorithm": "ppo", "num_envs": 4, "group_size": 1, "groups_per_iteration": 4}
    with pytest.raises(ValueError, match=message):
        make_conductor(TrainConfig(**fitting | options), Learners(rank=1, size=4))


def test_each_learner_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device("cuda") == "cuda" and own_device("cpu") == "cpu"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device("cuda") == "cuda:3" and own_device("cpu") == "cpu"
    assert own_device("cuda:1") == "cuda:1"
