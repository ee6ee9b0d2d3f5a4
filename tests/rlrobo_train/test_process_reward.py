"""The process reward model with the real tiny VLM on real MuJoCo: it learns from a handful of
trajectories, is the same when it is loaded again, and a run takes its reward."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rlrobo_core.task_set import Senses
from rlrobo_core.tasks import Reach
from rlrobo_core.types import RolloutRequest
from rlrobo_policy.policy import VlmPolicy, load_policy, shipped_checkpoint
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.assemble import make_conductor
from rlrobo_train.config import TrainConfig
from rlrobo_train.local import run_local
from rlrobo_train.metrics import read_metrics
from rlrobo_train.process_reward.head import FILE as HEAD
from rlrobo_train.process_reward.head import Head
from rlrobo_train.process_reward.labels import LabelConfig
from rlrobo_train.process_reward.make import Shown, judged, learn, lesson, measure, shown
from rlrobo_train.process_reward.model import (
    MEMORY,
    Card,
    ProcessReward,
    backbone_of,
    check_fits,
    earlier,
    load_process_reward,
)
from rlrobo_train.process_reward.watched import Watched, of_expert, of_policy, watch

TASK = Reach(max_steps=10)
SENSES = Senses(("front",), False)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def make_policy() -> VlmPolicy:
    policy = load_policy(str(shipped_checkpoint(["reach"])), TASK)
    policy.version = 0
    return policy


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, 4, image_size=112, num_render_workers=0)
    yield simulator
    simulator.close()


@pytest.fixture(scope="module")
def watched(simulator: MujocoSimulator) -> list[Watched]:
    """The expert's, which succeed, and those of a policy that moves at random."""
    good = of_expert(simulator, TASK, 8, seed=0, noise=0.2)
    return good + of_policy(simulator, TASK, make_policy(), 8, seed=1, temperature=10.0)


@pytest.fixture(scope="module")
def seen(watched: list[Watched]) -> list[Shown]:
    torch.set_num_threads(1)
    return shown(ProcessReward(make_policy()), TASK, watched, LabelConfig())


@pytest.fixture(scope="module")
def learned(seen: list[Shown]) -> ProcessReward:
    torch.set_num_threads(1)
    model = ProcessReward(make_policy())
    learn(model, {"reach": seen}, weight_decay=0.03)
    return model


@pytest.fixture(scope="module")
def made(learned: ProcessReward, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    learned.save(directory, Card(("reach",), backbone_of(learned.policy)))
    return directory


def test_it_learns_from_a_handful_of_trajectories_and_leaves_what_sees_as_it_is(
    learned, watched, seen
) -> None:
    assert {it.success for it in watched} == {True, False}
    before = measure(ProcessReward(make_policy()), "reach", seen)
    assert before["auc_steps"] == before["auc_trajectories"] == 0.5  # it says the same of all
    after = measure(learned, "reach", seen)
    assert after["auc_steps"] > 0.95 and after["auc_trajectories"] > 0.95
    assert after["successful"] == sum(it.success for it in watched)
    ours, theirs = learned.policy.vlm.model, make_policy().vlm.model
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_head_gives_both_answers_and_all_tasks_an_equal_share() -> None:
    """Of numbers that say nothing: with a yes a hundred times as frequent the score stays 0.5, and
    of two tasks that say the contrary the larger one does not prevail."""
    torch.manual_seed(0)
    number_MF = torch.zeros(101, 2)
    head, yes_M = Head(2), torch.ones(101)
    yes_M[0] = 0
    head.learn([(number_MF, yes_M)], weight_decay=0.03)
    np.testing.assert_allclose(torch.sigmoid(head(number_MF)).detach(), 0.5, atol=1e-3)
    two, yes_2 = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.tensor([0.0, 1.0])
    head.learn([(two.repeat(9, 1), yes_2.repeat(9)), (two, 1 - yes_2)], weight_decay=0.03)
    np.testing.assert_allclose(torch.sigmoid(head(two)).detach(), 0.5, atol=1e-3)


def test_a_score_is_a_probability_that_its_neighbours_do_not_move(learned, watched, seen) -> None:
    score_L = judged(learned, seen[0])
    assert score_L.dtype == np.float32 and ((score_L > 0) & (score_L < 1)).all()
    it, last = watched[0], slice(len(watched[0]) - 1, None)
    alone_1P = learned.moments(
        it.image_LC[last], [it.instruction], it.ee_pose_L[last], it.gripper_width_L[last]
    )
    then_1P = earlier(seen[0].moment_LP)[last]
    np.testing.assert_allclose(learned.judge(alone_1P, then_1P), score_L[last], atol=1e-5)


def test_as_it_runs_a_rollout_has_the_scores_that_it_has_as_a_whole(learned, simulator) -> None:
    """And where a batch never came, what needs it has no score."""
    policy = make_policy()
    request = RolloutRequest(1, 0, "train", "trajectory", "reach", 3, (0, 1), 2, 0, 5.0)
    engine, batches = RolloutEngine(simulator, TASK, 2), []
    batch = engine.start(request)
    while not batch.last:
        batches.append(batch)
        following = engine.act(policy.act(batch))
        assert following is not None
        batch = following
    together: dict[tuple[int, ...], float] = {}
    for said in map(learned.score, batches):
        ids = zip(said.group_N.tolist(), said.rollout_N.tolist(), said.step_N.tolist(), strict=True)
        together |= dict(zip(ids, said.score_N.tolist(), strict=True))
    trajectories = list(watch([*batches, batch]))
    whole = [judged(learned, it) for it in shown(learned, TASK, trajectories, LabelConfig())]
    last = {key[:2]: max(k[2] for k in together if k[:2] == key[:2]) for key in together if key[2]}
    for (group, rollout), step in last.items():
        assert any(abs(it[-1] - together[group, rollout, step]) < 1e-5 for it in whole)
    again = ProcessReward(learned.policy)
    assert not len(again.score(batch))  # nobody acts any more: nothing to score
    for late in batches[1:]:
        assert (again.score(late).step_N > MEMORY).all()


def test_it_is_the_same_when_it_is_loaded_again(learned, made, watched, seen) -> None:
    again = load_process_reward(made, {"reach": TASK}, "tokens", SENSES, 112)
    (there,) = shown(again, TASK, watched[:1], LabelConfig())
    np.testing.assert_allclose(judged(again, there), judged(learned, seen[0]), atol=1e-6)


def test_no_labels_of_one_kind_are_refused_with_the_cure(seen) -> None:
    with pytest.raises(ValueError, match=r"none of the .* reach succeeded.*--experts 50"):
        lesson("reach", [it for it in seen if not it.success])
    with pytest.raises(ValueError, match=r"all of the .* succeeded.*--temperature"):
        lesson("reach", [it for it in seen if it.success])


# ---------------------------------------------------------------- what does not fit


def test_a_model_of_another_kind_is_refused_with_the_cure(made: Path, tmp_path: Path) -> None:
    policy = make_policy()
    check_fits(made, ["reach"], policy.spec, backbone_of(policy))
    check_fits(made, ["reach"], replace(policy.spec, history=2))
    with pytest.raises(ValueError, match=r"another backbone than the policy, 2 layers.* --model"):
        check_fits(made, ["reach"], policy.spec, "36 layers of width 2048, vision 32 of width 1280")
    with pytest.raises(ValueError, match=r"made for reach, not for push: .* --task reach,push"):
        check_fits(made, ["reach", "push"], policy.spec)
    with pytest.raises(ValueError, match=r"image_size is 112 there and 56 here"):
        load_process_reward(made, {"reach": TASK}, "tokens", SENSES, 56)
    with pytest.raises(ValueError, match=r"cameras is \('front',\) there"):
        load_process_reward(made, {"reach": TASK}, "tokens", Senses(("wrist",), False), 112)
    with pytest.raises(ValueError, match=r"holds no process reward model .*leave process_reward"):
        check_fits(tmp_path, ["reach"], policy.spec)


def test_a_model_without_its_head_or_with_a_broken_one_is_refused(made: Path, tmp_path: Path):
    """Those of before answered in words and have none."""
    old = shutil.copytree(made, tmp_path / "old")
    (old / HEAD).unlink()
    with pytest.raises(ValueError, match=r"lacks its head .*make it anew with --task reach"):
        check_fits(old, ["reach"], make_policy().spec)
    Head(3).save(old)
    with pytest.raises(ValueError, match=r"damaged or of another backbone .*make the model anew"):
        load_process_reward(old, {"reach": TASK}, "tokens", SENSES, 112)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_from": "topics"}, r"train_from:=topics has none: leave it out"),
        ({"task": "push"}, r"was made for reach, not for push"),
    ],
)
def test_a_run_that_it_cannot_judge_is_refused(made: Path, tmp_path: Path, options, message):
    config = small(tmp_path / "run", made)
    with pytest.raises(ValueError, match=message):
        make_conductor(replace(config, **options))


# ---------------------------------------------------------------- in a run


def small(run_dir: Path, made: Path, **options: Any) -> TrainConfig:
    settings: dict[str, Any] = {
        "algorithm": "ppo",
        "reward": "sparse",
        "process_reward": str(made),
        "process_weight": 0.5,
        "num_envs": 4,
        "group_size": 2,
        "groups_per_iteration": 4,
        "minibatch_size": 32,
        "critic_warmup": 0,
        "episodes": 2,
        "eval_every": 0,
        "minutes": 0.0,
        "iterations": 1,
        "run_dir": str(run_dir),
    }
    return TrainConfig(**settings | options)


@pytest.mark.parametrize("algorithm", ["ppo", "grpo", "branch_grpo"])
def test_a_run_takes_its_reward_and_says_what_it_is_worth(made, simulator, tmp_path, algorithm):
    conductor = make_conductor(small(tmp_path / "run", made, algorithm=algorithm))
    policy, config = conductor.trainer.policy, conductor.config
    judge = load_process_reward(made, {"reach": TASK}, "tokens", SENSES, 112)
    run_local(conductor, RolloutEngine(simulator, TASK, config.members), policy, judge)
    conductor.close()
    (row,) = [row for row in read_metrics(conductor.run.path) if "loss/policy" in row]
    assert row["graph/groups_dropped"] == 0
    assert 0.0 < row["process/mean"] < 1.0 and -1.0 <= row["process/correlation"] <= 1.0
    assert row["process/reward"] != 0.0
