"""PPO on real MuJoCo with the real tiny model, without ROS: the critic learns first and alone, a
resumed run goes on with it, and one of another policy is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from played import played
from safetensors.torch import load_file

from rlrobo_core.tasks import Reach, make_task
from rlrobo_core.types import RolloutRequest
from rlrobo_policy.critic import FILE, Backbone, Critic, load_critic
from rlrobo_policy.policy import VlmPolicy, load_policy, shipped_checkpoint
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.assemble import check, make_conductor
from rlrobo_train.config import TrainConfig
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.local import run_local
from rlrobo_train.metrics import read_metrics
from rlrobo_train.ppo import PpoConfig, PpoTrainer

EPISODES = 4
TASK = Reach(max_steps=4)
BACKBONES: tuple[Backbone, ...] = ("shared", "separate")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, EPISODES, image_size=112, num_render_workers=0)
    yield simulator
    simulator.close()


def make_policy() -> VlmPolicy:
    policy = load_policy(str(shipped_checkpoint(["reach"])), TASK)
    policy.version = 0
    return policy


def rollouts(policy: VlmPolicy, simulator: MujocoSimulator) -> list[RolloutGroup]:
    groups = tuple(range(EPISODES))
    request = RolloutRequest(1, 0, "train", "episode", TASK.name, 0, groups, 1, 0, 1.0)
    return played(policy, simulator, TASK, request).groups()


def make_trainer(policy: VlmPolicy, **options: object) -> PpoTrainer:
    torch.manual_seed(0)
    return PpoTrainer(policy, PpoConfig(**options), seed=0)  # pyright: ignore[reportArgumentType]


def weights(policy: VlmPolicy) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in policy.vlm.model.named_parameters()}


@pytest.mark.parametrize("critic", BACKBONES)
def test_the_policy_stands_still_while_the_critic_warms_up(critic, simulator, tmp_path) -> None:
    policy = make_policy()
    groups, before = rollouts(policy, simulator), weights(policy)
    trainer = make_trainer(policy, critic=critic, critic_warmup=2, minibatch_size=4)
    losses = []
    for _ in range(2):
        assert trainer.warming_up
        losses.append(trainer.update(groups, 1.0, tmp_path)["loss/value"])
        after = weights(policy)
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert losses[1] < losses[0]
    assert not trainer.warming_up
    trainer.update(groups, 1.0, tmp_path)
    after = weights(policy)
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("critic", BACKBONES)
def test_a_critic_learns_what_comes_of_what_it_sees(critic, simulator, tmp_path) -> None:
    policy = make_policy()
    groups = rollouts(policy, simulator)
    trainer = make_trainer(
        policy,
        critic=critic,
        critic_warmup=100,
        critic_warmup_epochs=6,
        minibatch_size=8,
        gae_lambda=1.0,
    )
    stats = [trainer.update(groups, 1.0, tmp_path) for _ in range(5)]
    assert stats[0]["value/mean"] == 0.0
    assert stats[-1]["value/explained_variance"] > 0.5


class Forgetful(PpoTrainer):
    """Reads every observation anew in every pass of the warm-up, as a separate critic must."""

    def _judge(self, seen):
        return [it._replace(state_H=None) for it in super()._judge(seen)]

    def _values_in_warmup(self, batch):
        inputs, _ = self._inputs(batch)
        return self.critic.read(self.critic.states(self.model, inputs))


def test_what_is_read_once_in_the_warm_up_teaches_the_same(simulator, tmp_path: Path) -> None:
    policy = make_policy()
    groups = rollouts(policy, simulator)
    heads = []
    for kind in (PpoTrainer, Forgetful):
        torch.manual_seed(0)
        config = PpoConfig(critic_warmup=2, critic_warmup_epochs=3, minibatch_size=8)
        trainer = kind(policy, config, seed=0)
        policy.version = 0
        for _ in range(2):
            trainer.update(groups, 1.0, tmp_path)
        heads.append({name: p.detach() for name, p in trainer.critic.trained().items()})
    moved = max(float(p.abs().max()) for name, p in heads[0].items() if name.startswith("head.2"))
    assert moved > 1e-3  # it began at 0
    for name, weight in heads[0].items():
        torch.testing.assert_close(heads[1][name], weight, atol=1e-5, rtol=0.0)


def test_a_warm_up_finds_values_beyond_what_an_update_may_move(simulator, tmp_path: Path) -> None:
    policy = make_policy()
    rich = [replace(it, reward_GL=it.reward_GL + 1.0) for it in rollouts(policy, simulator)]
    trainer = make_trainer(
        policy, critic_warmup=2, minibatch_size=8, value_clip=0.2, critic_learning_rate=1e-2
    )
    trainer.update(rich, 1.0, tmp_path)
    assert trainer.update(rich, 1.0, tmp_path)["value/mean"] > 0.5


@pytest.mark.parametrize("critic", BACKBONES)
@pytest.mark.parametrize("critic_warmup", [0, 2])
def test_the_values_of_learning_are_those_of_weighing(
    critic, critic_warmup, simulator, tmp_path: Path
) -> None:
    policy = make_policy()
    groups = rollouts(policy, simulator)
    trainer = make_trainer(
        policy,
        critic=critic,
        minibatch_size=10_000,
        critic_warmup=critic_warmup,
        critic_warmup_epochs=1,
    )
    trainer.update(groups, 1.0, tmp_path)
    stats = trainer.update(groups, 1.0, tmp_path)
    advantage_M = np.concatenate([trainer.advantages(group)[group.alive_GL] for group in groups])
    # One step: the value loss is that of the values that the advantages were made with.
    assert stats["loss/value"] == pytest.approx(0.5 * (advantage_M**2).mean(), rel=1e-3)
    assert critic_warmup or stats["policy/ratio_max"] > 1.0


def test_an_end_that_was_seen_is_what_bootstraps(simulator, tmp_path: Path) -> None:
    """Where the critic says the same of everything, a step without reward costs the discount, and
    the last one all of it where the episode ended."""
    policy = make_policy()
    groups = rollouts(policy, simulator)
    assert any(group.end for group in groups)
    still = [replace(group, reward_GL=np.zeros_like(group.reward_GL)) for group in groups]
    trainer = make_trainer(policy, gae_lambda=0.0, gamma=0.9)
    with torch.no_grad():
        trainer.critic.head[2].bias.fill_(2.0)
    trainer.update([*still, replace(still[0], group_id=99, end={})], 1.0, tmp_path)
    for group in still:
        advantage_L = trainer.advantages(group)[0, : int(group.alive_GL.sum())]
        ended = -2.0 if not group.end else -0.2
        np.testing.assert_allclose(advantage_L[:-1], -0.2, atol=1e-5)
        assert advantage_L[-1] == pytest.approx(ended, abs=1e-5)
    last = int(still[0].alive_GL.sum()) - 1
    ended = trainer.advantages(replace(still[0], group_id=99))
    assert ended[0, last] == pytest.approx(-2.0, abs=1e-5)


# ---------------------------------------------------------------- whole runs


def train(config: TrainConfig) -> Path:
    conductor = make_conductor(config)
    policy, config = conductor.trainer.policy, conductor.config
    simulator = MujocoSimulator(
        policy.task, config.num_envs, image_size=config.image_size, num_render_workers=0
    )
    try:
        engine = RolloutEngine(simulator, policy.task, config.group_size)
        run_local(conductor, engine, policy)
    finally:
        simulator.close()
        conductor.close()
    return conductor.run.path


def small(run_dir: Path, iterations: int, **options: object) -> TrainConfig:
    settings: dict[str, object] = {
        "algorithm": "ppo",
        "num_envs": 4,
        "group_size": 4,
        "groups_per_iteration": 4,
        "minibatch_size": 32,
        "critic_warmup": 1,
        "episodes": 2,
        "eval_every": 0,
        "minutes": 0.0,
        "iterations": iterations,
        "run_dir": str(run_dir),
    }
    return TrainConfig(**settings | options)  # pyright: ignore[reportArgumentType]


def curve(run: Path) -> list[dict[str, float]]:
    """The updates' rows without what a clock says."""
    rows = [row for row in read_metrics(run) if "loss/value" in row]
    timed = ("time/", "wall_s", "rollout/steps_per_s")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows]


@pytest.fixture(scope="module", params=BACKBONES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return train(small(tmp_path_factory.mktemp("runs") / "whole", 3, critic=request.param))


def test_a_run_warms_up_learns_and_says_so(whole: Path) -> None:
    rows = curve(whole)
    assert [row["value/warming_up"] for row in rows] == [1.0, 0.0, 0.0]
    assert "policy/entropy" not in rows[0]
    assert rows[1]["policy/ratio_first"] == pytest.approx(1.0, abs=1e-4)
    assert all(row["loss/value"] > 0 and row["value/explained_variance"] <= 1 for row in rows)
    assert rows[0]["groups/decisions"] >= 4  # of four episodes, none compared with another
    first, last = (
        load_file(whole / "checkpoints" / version / "model.safetensors")
        for version in ("000000", "000003")
    )
    assert any(not torch.equal(first[name], last[name]) for name in first)
    assert (whole / "episodes" / "train_000001.json").exists()


def test_a_resumed_run_has_the_same_curve_policy_and_critic(whole: Path, tmp_path: Path) -> None:
    parts = train(small(tmp_path / "parts", 2, critic=backbone_of(whole)))
    train(TrainConfig(resume=str(parts), iterations=3, minutes=0.0))
    assert curve(parts) == curve(whole)
    for file in ("model.safetensors", FILE):
        a, b = (load_file(run / "checkpoints" / "000003" / file) for run in (whole, parts))
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def backbone_of(run: Path) -> str:
    return yaml.safe_load((run / "config.yaml").read_text())["critic"]


def test_a_new_run_may_begin_with_the_critic_of_another(whole: Path, tmp_path: Path) -> None:
    last, kind = whole / "checkpoints" / "000003", backbone_of(whole)
    config = small(tmp_path / "on", 1, checkpoint=str(last), critic_from=str(last), critic=kind)
    conductor = make_conductor(config)
    conductor.close()
    assert isinstance(conductor.trainer, PpoTrainer)
    now, saved = conductor.trainer.critic.trained(), load_file(last / FILE)
    assert now.keys() == saved.keys()
    assert all(torch.equal(now[name], saved[name]) for name in saved)


# ---------------------------------------------------------------- what is refused


def test_a_critic_of_another_policy_is_refused(tmp_path: Path) -> None:
    Critic(make_policy(), "shared").save(tmp_path)
    stack = load_policy(str(shipped_checkpoint(["stack"])), make_task("stack"),
                        cameras=("front", "wrist"), proprioception=True)  # fmt: skip
    critic = Critic(stack, "shared")
    before = {name: p.clone() for name, p in critic.trained().items()}
    with pytest.raises(ValueError, match=r"action_dims is \['x', 'y', 'z'\] there.*leave critic_f"):
        critic.load(tmp_path)
    assert all(torch.equal(before[name], p) for name, p in critic.trained().items())
    with pytest.raises(ValueError, match=r"critic is 'shared' there and 'separate' here"):
        Critic(make_policy(), "separate").load(tmp_path)
    other = Critic(make_policy(), "shared")
    other.spec["backbone"] = "36 layers of width 2048, vision 32 of width 1280"
    with pytest.raises(ValueError, match=r"backbone is '2 layers of width 192.*36 layers"):
        other.load(tmp_path)
    with pytest.raises(ValueError, match=r"holds no critic.*algorithm:=ppo"):
        other.load(tmp_path / "nowhere")
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    for load in (lambda: other.load(tmp_path), lambda: load_critic(make_policy(), tmp_path)):
        with pytest.raises(ValueError, match=r"critic.safetensors is damaged .*another checkpoint"):
            load()


def test_a_run_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    """So that it can be begun again under the same name."""
    for refused in ({"critic_from": "nowhere"}, {"process_reward": "nowhere"}):
        with pytest.raises(ValueError, match="nowhere holds no"):
            make_conductor(replace(small(tmp_path / "run", 1), **refused))
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": "1.5"}, r"gamma:=1.5 .*\[0, 1\]: take auto"),
        ({"gamma": "-0.1"}, r"gamma:=-0.1"),
        ({"gamma": "high"}, r"gamma:=high"),
        ({"gamma": "nan"}, r"gamma:=nan"),
        ({"gae_lambda": 1.01}, r"gae_lambda:=1.01 .*\[0, 1\]: take 0.95"),
        ({"algorithm": "grpo", "critic_from": "x"}, r"critic_from:=x .*set algorithm:=ppo"),
        ({"min_actions": 8}, r"min_actions:=8 .*algorithm:=ppo every step has: leave it out"),
    ],
)
def test_what_cannot_work_names_the_cure(options, message, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        check(replace(small(tmp_path, 1), **options))


def test_discounts_are_the_algorithms_own_unless_given() -> None:
    assert (TrainConfig().grpo.gamma, TrainConfig().ppo.gamma) == (0.5, 0.99)
    given = TrainConfig(gamma="0.9")
    assert (given.grpo.gamma, given.ppo.gamma) == (0.9, 0.9)
    check(TrainConfig(algorithm="ppo", group_size=1))
