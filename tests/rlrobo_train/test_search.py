"""Search at test time without ROS: real MuJoCo, the real tiny model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rlrobo_core.tasks import Reach
from rlrobo_core.types import Form, ObservationBatch, RolloutRequest
from rlrobo_policy.critic import Critic, load_critic
from rlrobo_policy.policy import VlmPolicy, load_policy, shipped_checkpoint
from rlrobo_policy.process_reward import Card, ProcessReward, backbone_of
from rlrobo_policy.search.candidates import Candidates, draw, each_waiting
from rlrobo_policy.search.config import SearchConfig
from rlrobo_policy.search.likelihood import Likelihood
from rlrobo_policy.search.policies import BestOf, CriticJudge, Looking, searching
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train import local
from rlrobo_train.assemble import check
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.config import TrainConfig

TASK = Reach(max_steps=4)
WORLDS = 8


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def policy() -> VlmPolicy:
    torch.set_num_threads(1)
    policy = load_policy(str(shipped_checkpoint(["reach"])), TASK)
    policy.version = 0
    return policy


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, WORLDS, 112, num_render_workers=0, num_threads=1)
    yield simulator
    simulator.close()


def asked(form: Form = "trajectory", groups: int = WORLDS, group_size: int = 1) -> RolloutRequest:
    ids = tuple(range(groups))
    return RolloutRequest(1, 0, "eval", form, TASK.name, 2**31, ids, group_size, 0, 0.0)


@pytest.fixture(scope="module")
def first(simulator: MujocoSimulator) -> ObservationBatch:
    return RolloutEngine(simulator, TASK, 1).start(asked())


class Indifferent:
    """Prefers none."""

    def score(self, candidates: Candidates) -> np.ndarray:
        return np.zeros(candidates.token_NST.shape[:2])


class Furthest:
    """Prefers what goes furthest along x."""

    def score(self, candidates: Candidates) -> np.ndarray:
        return candidates.target_NS[:, :, 0]


def test_the_first_candidate_is_the_most_likely_action_and_the_others_vary(policy, first):
    greedy = policy.act(first)
    candidates = draw(policy, first, 6, temperature=1.5)
    np.testing.assert_array_equal(candidates.token_NST[:, 0], greedy.token_MT)
    np.testing.assert_array_equal(candidates.target_NS[:, 0], greedy.target_M)
    assert all(len(np.unique(token_ST, axis=0)) > 1 for token_ST in candidates.token_NST)
    again = draw(policy, first, 6, temperature=1.5)
    np.testing.assert_array_equal(candidates.token_NST, again.token_NST)


def test_where_none_is_preferred_the_answer_is_the_policys_own_bit_for_bit(policy, first):
    ours, own = BestOf(policy, Indifferent(), 5, 1.0).act(first), policy.act(first)
    for name in ("group_M", "rollout_M", "step_M", "token_MT", "logprob_MT", "target_M"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(own, name), name)
    assert ours.answers(first)


def test_the_preferred_action_is_taken_and_more_candidates_are_never_worse(policy, first):
    taken = BestOf(policy, Furthest(), 8, 2.0).act(first)
    candidates = draw(policy, first, 8, 2.0)
    np.testing.assert_array_equal(taken.target_M[:, 0], candidates.target_NS[:, :, 0].max(1))
    assert (taken.target_M[:, 0] >= policy.act(first).target_M[:, 0]).all()
    assert (taken.target_M[:, 0] > policy.act(first).target_M[:, 0]).any()


def test_a_row_that_speaks_for_several_is_searched_for_each(policy, simulator):
    batch = RolloutEngine(simulator, TASK, 4).start(asked(groups=2, group_size=4))
    assert batch.observations.samples_N.tolist() == [4, 4]
    answer = BestOf(policy, Furthest(), 4, 1.0).act(batch)
    assert answer.answers(batch)
    assert len(each_waiting(batch).observations) == 8


def test_likelihood_is_the_policys_own_and_chooses_nothing_less_likely(policy, first):
    candidates = draw(policy, first, 6, temperature=1.0)
    score_NS = Likelihood(policy).score(candidates)
    np.testing.assert_allclose(score_NS, candidates.logprob_NST.sum(-1), atol=1e-4)
    assert (score_NS.max(1) >= score_NS[:, 0]).all()


def look(policy: Looking, simulator: MujocoSimulator) -> RolloutBuffer:
    request = asked("look", groups=3, group_size=4)
    engine, buffer = RolloutEngine(simulator, TASK, 1), RolloutBuffer(request)
    batch = engine.start(request)
    while True:
        buffer.add_observations(batch)
        if batch.last:
            return buffer
        actions = policy.act(batch)
        buffer.add_actions(actions)
        following = engine.act(actions)
        assert following is not None
        batch = following


def test_a_look_with_a_critic_that_knows_nothing_takes_the_best_reward(policy, simulator):
    buffer = look(Looking(policy, CriticJudge(policy, Critic(policy, "shared")), 1.5), simulator)
    assert buffer.complete
    for group in buffer.groups():
        assert len(group.decisions) == int(group.chosen_GL.any(0).sum()) == group.length
        for step in range(group.reward_GL.shape[1]):
            (taken,) = np.flatnonzero(group.chosen_GL[:, step])
            assert group.reward_GL[taken, step] == group.reward_GL[:, step].max()


def test_a_look_takes_what_the_critic_likes_where_rewards_are_alike(policy, simulator):
    """The critic's say is that of the state after the action: Q = r + gamma V, of an end r."""
    critic = Critic(policy, "shared")
    torch.manual_seed(0)
    with torch.no_grad():
        critic.head[2].weight.normal_(std=3.0)
    judge, said = CriticJudge(policy, critic), []

    class Listening(Looking):
        def act(self, batch):
            answer = super().act(batch)
            if batch.judges:
                out = batch.outcomes
                value_M = judge.values(batch.observations) * ~out.terminated_M
                said.append((out.reward_M + 0.99 * value_M, out, answer))
            return answer

    buffer = look(Listening(policy, judge, 1.5), simulator)
    assert buffer.complete and said
    differing = 0
    for quality_M, out, answer in said:
        for group, member in zip(answer.group_M, answer.rollout_M, strict=True):
            mine = out.group_M == group
            assert member == quality_M[mine].argmax()
            differing += quality_M[mine].argmax() != out.reward_M[mine].argmax()
    assert differing


# ---------------------------------------------------------------- whole evaluations


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a critic, which says nearly 0 of everything: looks go by rewards."""
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("runs") / "ppo"
    settings: dict[str, object] = {
        "algorithm": "ppo",
        "groups_per_iteration": 4,
        "critic_warmup": 1,
        "eval_every": 0,
    }
    settings["critic_learning_rate"] = 1e-9
    budget = {"minutes": 0.0, "iterations": 2, "episodes": 1}
    local.run(
        TrainConfig(num_envs=4, group_size=1, run_dir=str(run), **settings, **budget)  # pyright: ignore[reportArgumentType]
    )
    return run / "checkpoints" / "000002"


def judged(run: Path, **options: object) -> dict:
    settings: dict[str, object] = {
        "mode": "eval", "group_size": 1, "num_envs": 8, "episodes": 6, "run_dir": str(run)
    }  # fmt: skip
    local.run(TrainConfig(**settings | options))  # pyright: ignore[reportArgumentType]
    return json.loads((run / "eval.json").read_text())


def test_best_of_one_is_the_evaluation_without(trained: Path, tmp_path: Path) -> None:
    plain = judged(tmp_path / "plain", checkpoint=str(trained))
    one = judged(tmp_path / "one", checkpoint=str(trained), best_of=1, scorer="likelihood")
    assert plain["per_seed"] == one["per_seed"] and "search" not in one


def test_an_evaluation_searches_and_says_so(trained: Path, policy, tmp_path: Path) -> None:
    plain = judged(tmp_path / "plain", checkpoint=str(trained))
    model = ProcessReward(policy)
    model.save(tmp_path / "model", Card(("reach",), backbone_of(policy)))
    for scorer in ("critic", "process", "likelihood"):
        run, chooses = tmp_path / scorer, {"best_of": 4, "scorer": scorer}
        if scorer == "process":
            chooses |= {"process_reward": str(tmp_path / "model")}
        found = judged(run, checkpoint=str(trained), **chooses)
        seen = {} if scorer == "likelihood" else {"reward": "dense"}
        wanted = {"best_of": 4, "scorer": scorer, "search_temperature": 1.0} | seen
        assert found["search"] == wanted
        assert found["episodes"] == 6 and (run / "eval.mp4").exists()
        assert [it["group"] for it in found["per_seed"]] == list(range(6))
        episodes = json.loads((run / "episodes" / "eval.json").read_text())["episodes"]
        tried = {len(step["samples"]) for episode in episodes for step in episode["steps"]}
        assert tried == {1 if scorer == "likelihood" else 4}
        if scorer == "critic":  # dense rewards: what comes nearer is seen
            assert found["mean_return"] > plain["mean_return"]


# ---------------------------------------------------------------- what is refused


def test_a_search_without_anybody_who_prefers_is_refused_with_the_cure(trained, tmp_path):
    config = TrainConfig(mode="eval", best_of=8, num_envs=16, group_size=1)
    cure = r"holds no critic.*algorithm:=ppo.*critic_from:=, or set scorer:=likelihood"
    with pytest.raises(ValueError, match=rf"best_of:=8 needs.*the warm start that ships {cure}"):
        check(config)
    with pytest.raises(ValueError, match=cure):
        check(replace(config, checkpoint=str(tmp_path)))
    check(replace(config, scorer="likelihood"))
    check(replace(config, checkpoint=str(trained)))
    check(replace(config, critic_from=str(trained)))
    with pytest.raises(ValueError, match=r"num_envs:=12 is not a multiple.*num_envs:=8"):
        check(replace(config, critic_from=str(trained), num_envs=12))
    with pytest.raises(ValueError, match=r"lets a process reward model choose.*process_reward:="):
        check(replace(config, scorer="process"))
    with pytest.raises(ValueError, match=r"nowhere holds no process reward model"):
        check(replace(config, scorer="process", process_reward="nowhere"))
    with pytest.raises(ValueError, match=r"best_of:=8 weighs.*history:=2.*leave one of the two"):
        check(replace(config, scorer="likelihood", history=2))
    with pytest.raises(ValueError, match=r"best_of:=8 searches at test time.*mode:=eval"):
        check(replace(config, mode="train", group_size=2))


def test_the_critic_of_another_policy_is_refused(policy, trained: Path, tmp_path: Path) -> None:
    assert isinstance(load_critic(policy, trained), Critic)
    Critic(policy, "separate").save(tmp_path)
    assert load_critic(policy, tmp_path).backbone is not None
    stack = load_policy(str(shipped_checkpoint(["stack"])), Reach(), cameras=("front", "wrist"),
                        proprioception=True)  # fmt: skip
    config = SearchConfig(best_of=4, critic_from=str(trained))
    with pytest.raises(ValueError, match=r"another backbone or action space"):
        searching(stack, config, "")
    assert searching(policy, SearchConfig(), "") is policy
