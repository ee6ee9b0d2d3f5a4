"""The process reward model with the real tiny VLM on real MuJoCo: it learns from a handful of
trajectories, is the same when it is loaded again, and a run takes its reward."""

from __future__ import annotations

import json
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
from rlrobo_policy.process_reward import (
    Card,
    ProcessReward,
    backbone_of,
    check_fits,
    load_process_reward,
)
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_sim.states import initial_scene
from rlrobo_train.assemble import make_conductor
from rlrobo_train.config import TrainConfig
from rlrobo_train.local import run_local
from rlrobo_train.metrics import read_metrics
from rlrobo_train.process_reward.labels import LabelConfig
from rlrobo_train.process_reward.make import ProcessRewardConfig, check, learn, lesson
from rlrobo_train.process_reward.measure import (
    HeldOut,
    areas,
    branch_order,
    branches,
    judged,
    measure,
)
from rlrobo_train.process_reward.watched import Watched, of_expert, of_policy, watch
from rlrobo_train.supervised import LessonConfig

TASK = Reach(max_steps=10)
SENSES = Senses(("front",), False)
LEARNING = ProcessRewardConfig(
    learning=LessonConfig(steps=60, batch_size=32, learning_rate=1e-3, sigma=0.6)
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def make_policy() -> VlmPolicy:
    policy = load_policy(str(shipped_checkpoint(["reach"])), TASK)
    policy.version = 0
    return policy


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, 8, image_size=112, num_render_workers=0)
    yield simulator
    simulator.close()


@pytest.fixture(scope="module")
def watched(simulator: MujocoSimulator) -> list[Watched]:
    """The expert's, which succeed, and those of a policy that moves at random."""
    good = of_expert(simulator, TASK, 8, seed=0, noise=0.2)
    return good + of_policy(simulator, TASK, make_policy(), 8, seed=1, temperature=10.0)


@pytest.fixture(scope="module")
def learned(watched: list[Watched]) -> ProcessReward:
    torch.set_num_threads(1)
    model = ProcessReward(make_policy())
    learn(model, [lesson(model, TASK, watched, LabelConfig())], LEARNING)
    return model


@pytest.fixture(scope="module")
def made(learned: ProcessReward, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    learned.save(directory, Card(("reach",), backbone_of(learned.policy)))
    return directory


@pytest.fixture(scope="module")
def held_out(watched: list[Watched], simulator: MujocoSimulator) -> HeldOut:
    """The very trajectories, for a handful teaches nothing that carries further."""
    return HeldOut(watched, branches(simulator, TASK, make_policy(), seed=3))


def test_it_learns_from_a_handful_of_trajectories(learned, held_out) -> None:
    before = measure(ProcessReward(make_policy()), TASK, held_out, LabelConfig())
    after = measure(learned, TASK, held_out, LabelConfig())
    assert before["explained"] < 0.0 and after["explained"] > 0.7
    assert after["successful"] == sum(it.success for it in held_out.watched)
    assert -1.0 <= after["branch_order"] <= 1.0


class Nearness(ProcessReward):
    """Knows where the ball is, as Reach's own reward does."""

    def score(self, batch):
        return replace(super().score(batch), score_N=self._near(batch.observations))

    def _near(self, obs):
        rows = zip(obs.group_N.tolist(), obs.ee_pose_N[:, :3], strict=True)
        away = [np.linalg.norm(place - ball_of(group)) for group, place in rows]
        return np.array([1.0 - it for it in away], np.float32)


def ball_of(group: int) -> np.ndarray:
    scene, _ = initial_scene(TASK, 3, group)
    return scene.object_pose["target"][:3]


def test_a_score_that_knows_the_way_orders_branches_as_the_tasks_reward_does(held_out) -> None:
    assert branch_order(Nearness(make_policy()), held_out.turns) > 0.9


def test_a_score_lies_in_0_to_1_and_its_neighbours_do_not_move_it(learned, watched) -> None:
    it, last = watched[0], slice(len(watched[0]) - 1, None)
    score_L = judged(learned, it)
    assert score_L.dtype == np.float32 and ((score_L >= 0) & (score_L <= 1)).all()
    alone_1 = learned.judge(
        it.image_LC[last], [it.instruction], it.ee_pose_L[last], it.gripper_width_L[last]
    )
    np.testing.assert_allclose(alone_1, score_L[last], atol=1e-5)


def test_as_it_runs_a_rollout_has_the_scores_that_it_has_as_a_whole(learned, simulator) -> None:
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
    whole = [judged(learned, it) for it in watch([*batches, batch])]
    last = {key[:2]: max(k[2] for k in together if k[:2] == key[:2]) for key in together if key[2]}
    for (group, rollout), step in last.items():
        assert any(abs(it[-1] - together[group, rollout, step]) < 1e-5 for it in whole)
    assert not len(learned.score(batch))  # nobody acts any more: nothing to score


def test_it_is_the_same_when_it_is_loaded_again(learned, made, watched) -> None:
    again = load_process_reward(made, {"reach": TASK}, "tokens", SENSES, 112)
    np.testing.assert_allclose(judged(again, watched[0]), judged(learned, watched[0]), atol=1e-6)


def test_an_adapter_may_learn_in_place_of_the_whole_model(watched, made, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    policy = load_policy(str(shipped_checkpoint(["reach"])), TASK, lora_rank=4)
    model = ProcessReward(policy)
    before = judged(model, watched[0])
    learn(model, [lesson(model, TASK, watched, LabelConfig())], LEARNING)
    after = judged(model, watched[0])
    assert np.abs(after - before).max() > 0.01
    model.save(tmp_path / "adapter", Card(("reach",), backbone_of(policy)))
    assert _bytes(tmp_path / "adapter") < 0.5 * _bytes(made)
    again = load_process_reward(tmp_path / "adapter", {"reach": TASK}, "tokens", SENSES, 112)
    np.testing.assert_allclose(judged(again, watched[0]), after, atol=1e-6)


def _bytes(directory: Path) -> int:
    return sum(it.stat().st_size for it in directory.glob("*.safetensors"))


def test_where_nothing_succeeded_there_is_nothing_to_learn_from(learned, watched) -> None:
    failed = [it for it in watched if not it.success]
    with pytest.raises(ValueError, match=r"none of the .* reach succeeded.*--experts 50"):
        lesson(learned, TASK, failed, LabelConfig())


def test_what_needs_both_kinds_is_not_told_of_one(learned, watched, held_out) -> None:
    good = HeldOut([it for it in watched if it.success], held_out.turns)
    told = measure(learned, TASK, good, LabelConfig())
    assert told["auc_trajectories"] is told["auc_trajectories_ci95"] is None
    assert told["explained"] > 0.7 and json.loads(json.dumps(told, allow_nan=False)) == told


# ---------------------------------------------------------------- what does not fit


def test_one_that_is_made_anew_takes_the_place_of_the_form_before(made, learned, tmp_path) -> None:
    shutil.copytree(made, tmp_path / "judge")
    (tmp_path / "judge" / "process_reward.safetensors").touch()
    with pytest.raises(ValueError, match="the form before .*make it anew"):
        check_fits(tmp_path / "judge", ["reach"], learned.policy.spec)
    learned.save(tmp_path / "judge", Card.load(made))
    check_fits(tmp_path / "judge", ["reach"], learned.policy.spec)


def test_what_progresses_faster_and_who_is_ahead_at_the_same_age_is_measured() -> None:
    quick, slow = np.float32([0.2, 0.6, 0.9]), np.float32([0.1, 0.2, 0.3, 0.4, 0.7])
    assert areas([quick, slow], np.array([True, False])) == {
        "trajectories": 1.0, "equally_old_steps": 1.0
    }  # fmt: skip
    assert areas([quick, slow], np.array([False, True])) == {
        "trajectories": 0.0, "equally_old_steps": 0.0
    }  # fmt: skip
    late, early = np.float32([0.1, 0.5]), np.float32([0.3, 0.4, 0.45])
    told = areas([late, early], np.array([True, False]))
    assert told == {"trajectories": 1.0, "equally_old_steps": 0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rollouts_from": Path("nowhere")}, "rollouts-from nowhere is not there"),
        ({"task": "flip"}, r"flip.* no scripted expert.*--experts 0"),
        ({"rollouts": 0, "experts": 0}, "nothing to learn from.*--rollouts"),
        ({"held_out": 0}, "--held-out 0 leaves nothing to judge"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_before_anything_runs(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        check(ProcessRewardConfig(**options))


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


def test_a_model_of_the_form_before_is_refused(made: Path, tmp_path: Path) -> None:
    old = shutil.copytree(made, tmp_path / "old")
    (old / "process_reward.safetensors").touch()
    with pytest.raises(ValueError, match=r"form before .*make it anew with --task reach"):
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
