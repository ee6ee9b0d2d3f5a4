"""What the process reward adds to a return: with potential shaping, nothing that a rollout could
gain by. Scores are paired with their rollouts by id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scripted import random_actions

from rlrobo_core.tasks import Reach
from rlrobo_core.types import ActionBatch, Form, ObservationBatch, RolloutRequest, ScoreBatch
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.advantages import gae, returns_to_go
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.learners import Learners
from rlrobo_train.process_reward.scores import GroupScore
from rlrobo_train.process_reward.shaping import (
    process_metrics,
    process_reward,
    with_process_reward,
)
from rlrobo_train.process_reward.watched import watch

GAMMA = 0.9
TASK = Reach(max_steps=4)
EASY = Reach(max_steps=4, threshold=0.16)
"""Where random actions sometimes succeed."""


def group_of(reward_GL: np.ndarray, length_G: list[int], score: np.ndarray) -> RolloutGroup:
    alive_GL = np.arange(reward_GL.shape[1]) < np.array(length_G)[:, None]
    return RolloutGroup(
        group_id=0,
        decisions=(),
        reward_GL=np.where(alive_GL, reward_GL, 0).astype(np.float32),
        alive_GL=alive_GL,
        chosen_GL=alive_GL,
        success=0.0,
        terms={},
        score=GroupScore(*(it.astype(np.float32) for it in (score[:, :-1], score[:, 1:]))),
    )


def random_group(seed: int, ended: bool) -> RolloutGroup:
    """Four rollouts from one start; of `ended` ones nothing is seen after the last action."""
    rng, length_G = np.random.default_rng(seed), [3, 6, 5, 6]
    score = rng.random((4, 7))
    score[:, 0] = score[0, 0]
    seen = np.arange(7) < np.array(length_G)[:, None] + (not ended)
    return group_of(rng.normal(size=(4, 6)), length_G, np.where(seen, score, 0.0))


@pytest.mark.parametrize("seed", range(3))
def test_potential_shaping_leaves_the_order_of_rollouts_as_it_is(seed: int) -> None:
    group = random_group(seed, ended=True)
    (shaped,) = with_process_reward([group], 2.0, GAMMA, "potential")
    before_G = returns_to_go(group.reward_GL, GAMMA)[:, 0]
    after_G = returns_to_go(shaped.reward_GL, GAMMA)[:, 0]
    assert group.score is not None
    np.testing.assert_allclose(after_G, before_G - 2.0 * group.score.seen_GL[:, 0], atol=1e-5)
    assert np.argsort(after_G).tolist() == np.argsort(before_G).tolist()


def test_it_telescopes_to_what_is_seen_at_a_cut_off_end() -> None:
    group = random_group(3, ended=False)
    assert group.score is not None
    sum_G = returns_to_go(process_reward(group, GAMMA, "potential"), GAMMA)[:, 0]
    last_G = group.alive_GL.sum(1)
    end_G = group.score.reached_GL[np.arange(4), last_G - 1]
    start_G = group.score.seen_GL[:, 0]
    np.testing.assert_allclose(sum_G, GAMMA**last_G * end_G - start_G, atol=1e-6)


def test_a_critic_that_knows_the_potential_sees_the_advantages_of_before() -> None:
    """A(s, a) of the shaped problem is that of the problem, V being V - phi (Ng et al. 1999)."""
    for ended in (True, False):
        group, rng = random_group(5, ended), np.random.default_rng(6)
        assert group.score is not None
        (shaped,) = with_process_reward([group], 1.0, GAMMA, "potential")
        value_GL = rng.normal(size=group.reward_GL.shape)
        after_G = np.zeros(4) if ended else rng.normal(size=4)
        phi_G = group.score.reached_GL[np.arange(4), group.alive_GL.sum(1) - 1]
        before = gae(group.reward_GL, value_GL, group.alive_GL, after_G, GAMMA, 0.8)
        after = gae(
            shaped.reward_GL,
            value_GL - group.score.seen_GL,
            group.alive_GL,
            after_G - phi_G,
            GAMMA,
            0.8,
        )
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_plain_rewards_pay_for_looking_promising_for_long() -> None:
    """What the guard is against: hovering near the goal gains more than success."""
    score = np.array([[0.9, 0.9, 0.0, 0.0, 0.0], [0.9, 0.9, 0.9, 0.9, 0.0]])
    reward_GL = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    group = group_of(reward_GL, [2, 4], score)
    returns = {
        kind: with_process_reward([group], 1.0, 1.0, kind)[0].reward_GL.sum(1)
        for kind in ("plain", "potential")
    }
    assert returns["plain"][1] > returns["plain"][0]
    assert returns["potential"][0] - returns["potential"][1] == pytest.approx(1.0)


# ---------------------------------------------------------------- paired by id


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, 4, image_size=28, num_render_workers=0)
    yield simulator
    simulator.close()


answer = partial(random_actions, TASK)


def score_of(group: int, rollout: int, step: int) -> float:
    return 0.5 + group / 10 + rollout / 100 + step / 1000


def scores(batch: ObservationBatch) -> ScoreBatch:
    obs = batch.observations
    ids = zip(obs.group_N.tolist(), obs.rollout_N.tolist(), obs.step_N.tolist(), strict=True)
    score_N = np.array([score_of(*it) for it in ids], np.float32)
    return ScoreBatch(0, batch.request.request_id, obs.group_N, obs.rollout_N, obs.step_N, score_N)


def converse(
    simulator: MujocoSimulator, form: Form, group_size: int, task: Reach = TASK
) -> list[tuple[ObservationBatch, ActionBatch]]:
    request = RolloutRequest(1, 0, "train", form, TASK.name, 0, (0, 1, 2), group_size, 0, 1.0)
    engine = RolloutEngine(simulator, task, group_size)
    batch, said = engine.start(request), []
    while batch is not None:
        said.append((batch, answer(batch)))
        batch = None if batch.last else engine.act(said[-1][1])
    return said


def heard(said: list[tuple[ObservationBatch, ActionBatch]]) -> RolloutBuffer:
    buffer = RolloutBuffer(said[0][0].request, scored=True)
    for batch, actions in said:
        buffer.add_observations(batch)
        buffer.add_actions(actions)
    return buffer


@pytest.mark.parametrize(("form", "group_size"), [("trajectory", 2), ("episode", 1)])
def test_scores_are_paired_by_id_in_whatever_order_they_come(simulator, form, group_size) -> None:
    said = converse(simulator, form, group_size)
    buffer = heard(said)
    assert buffer.closed and not buffer.complete and buffer.unscored
    for batch, _ in reversed(said):
        buffer.add_scores(scores(batch))
    assert buffer.complete and not buffer.unscored
    for group in buffer.groups():
        assert group.score is not None
        for rollout, alive_L in enumerate(group.alive_GL):
            last = int(alive_L.sum())
            # A row at the common start speaks for all members, by the first one's id.
            wanted = [score_of(group.group_id, rollout * (t > 0), t) for t in range(last)]
            np.testing.assert_allclose(group.score.seen_GL[rollout, :last], wanted, rtol=1e-6)
            end = score_of(group.group_id, rollout, last) if rollout in group.end else 0.0
            assert group.score.reached_GL[rollout, last - 1] == pytest.approx(end)
    if form == "episode":
        assert any(group.end for group in buffer.groups())


def test_a_group_whose_score_was_lost_is_dropped_by_name(simulator) -> None:
    said = converse(simulator, "trajectory", 2)
    buffer = heard(said)
    lost = said[2][0]
    for batch, _ in said:
        if batch is not lost:
            buffer.add_scores(scores(batch))
    assert set(buffer.dropped()) == set(lost.observations.group_N.tolist())
    assert all("the score of rollout" in problem for problem in buffer.dropped().values())


def test_metrics_say_whether_scores_go_with_success(simulator) -> None:
    said = converse(simulator, "trajectory", 2, EASY)
    buffer = heard(said)
    for batch, _ in said:
        buffer.add_scores(scores(batch))
    groups = buffer.groups()
    rewarded = with_process_reward(groups, 0.5, GAMMA, "plain")
    told = process_metrics(groups, rewarded, buffer)
    other: list[np.ndarray] = []

    class Second(Learners):
        def concatenated(self, values_M):
            other.append(values_M)
            return values_M

    class First(Learners):
        def concatenated(self, values_M):
            return np.concatenate([values_M, other.pop(0)])

    process_metrics(groups[1:], rewarded[1:], buffer, Second(1, 2))
    assert process_metrics(groups[:1], rewarded[:1], buffer, First(0, 2)) == pytest.approx(told)
    assert 0.5 < told["process/mean"] < 0.8 and told["process/reward"] > 0
    success_R = np.concatenate([buffer.succeeded(group) for group in groups])
    assert success_R.mean() == pytest.approx(np.mean([group.success for group in groups]))
    assert 0 < success_R.mean() < 1
    scored = np.concatenate(
        [
            [group.score.seen_GL[g, alive_L].mean() for g, alive_L in enumerate(group.alive_GL)]
            for group in groups
            if group.score
        ]
    )
    expected = np.corrcoef(scored, success_R)[0, 1]
    assert told["process/correlation"] == pytest.approx(expected) != 0.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_score_that_knows_who_will_succeed_correlates_with_it(simulator, sign: float) -> None:
    said = converse(simulator, "trajectory", 2, EASY)
    buffer = heard(said)
    for batch, _ in said:
        buffer.add_scores(scores(batch))
    knowing = []
    for group in buffer.groups():
        score_G1 = 0.5 + 0.4 * sign * (buffer.succeeded(group)[:, None] - 0.5)
        score_GL = np.where(group.alive_GL, score_G1, 0.0).astype(np.float32)
        knowing.append(replace(group, score=GroupScore(score_GL, score_GL)))
    told = process_metrics(knowing, knowing, buffer)
    assert told["process/correlation"] == pytest.approx(sign)


def test_whole_trajectories_are_watched_and_one_with_a_gap_is_left_out(simulator) -> None:
    said = converse(simulator, "trajectory", 2)
    batches = [batch for batch, _ in said]
    watched = list(watch(batches))
    groups = heard_groups(said)
    assert len(watched) == sum(len(group.reward_GL) for group in groups)
    assert sorted(map(len, watched)) == sorted(
        int(count) for group in groups for count in group.alive_GL.sum(1)
    )
    assert sum(it.success for it in watched) == sum(
        round(group.success * len(group.reward_GL)) for group in groups
    )
    assert all(it.image_LC.shape == (len(it), 1, 28, 28, 3) for it in watched)
    short = list(watch(batches[:2] + batches[3:]))
    assert 0 < len(short) < len(watched)
    with pytest.raises(ValueError, match="take rollouts of algorithm:=grpo or ppo"):
        list(watch(batch for batch, _ in converse(simulator, "branch", 2)))


def heard_groups(said: list[tuple[ObservationBatch, ActionBatch]]) -> list[RolloutGroup]:
    buffer = RolloutBuffer(said[0][0].request)
    for batch, actions in said:
        buffer.add_observations(batch)
        buffer.add_actions(actions)
    return buffer.groups()
