"""The process reward of branches: each is paid for what it led to, as the process reward model
judges it. Real MuJoCo; scores are functions of what is seen, or the real (tiny) model's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scripted import random_actions

from rlrobo_core.tasks import Reach
from rlrobo_core.types import ActionBatch, Form, ObservationBatch, RolloutRequest, ScoreBatch
from rlrobo_policy.policy import load_policy, shipped_checkpoint
from rlrobo_policy.process_reward import ProcessReward
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.advantages import group_advantages, returns_to_go
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.process_reward.shaping import (
    process_metrics,
    process_reward,
    with_process_reward,
)

TASK = Reach(max_steps=14)
G, GROUPS, GAMMA = 3, (24, 25, 26, 27), 0.9
WINDOWS: list[tuple[Form, int]] = [("branch_ends", 1), ("branch_ends", 3), ("probe_ends", 3)]
Id = tuple[int, int, int]
"""(group, rollout, step)"""


class Turn(NamedTuple):
    batch: ObservationBatch
    actions: ActionBatch


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, 2 * G, image_size=112, num_render_workers=0)
    yield simulator
    simulator.close()


answer = partial(random_actions, TASK, reach=0.6)
"""Some episodes succeed, most last."""


def converse(
    simulator: MujocoSimulator, form: Form, branch_steps: int, groups: tuple[int, ...] = GROUPS
) -> list[Turn]:
    request = RolloutRequest(
        *(1, 0, "train", form, TASK.name, 0, groups, G, 0, 1.0), branch_steps=branch_steps
    )
    engine, turns = RolloutEngine(simulator, TASK, G), []
    batch: ObservationBatch | None = engine.start(request)
    while batch is not None:
        turns.append(Turn(batch, answer(batch)))
        batch = None if batch.last else engine.act(turns[-1].actions)
    return turns


def seen_score(batch: ObservationBatch) -> ScoreBatch:
    """A function of what is seen alone."""
    obs = batch.observations
    score_N = 0.5 + 0.5 * np.sin(1e3 * obs.ee_pose_N[:, :3].sum(-1))
    ids = obs.group_N, obs.rollout_N, obs.step_N
    return ScoreBatch(0, batch.request.request_id, *ids, score_N.astype(np.float32))


def heard(turns: list[Turn], judged: list[ScoreBatch]) -> RolloutBuffer:
    buffer = RolloutBuffer(turns[0].batch.request, scored=True)
    for turn in turns:
        buffer.add_observations(turn.batch)
        buffer.add_actions(turn.actions)
    for scores in judged:
        buffer.add_scores(scores)
    return buffer


def by_id(judged: list[ScoreBatch]) -> dict[Id, float]:
    return {
        (int(it.group_N[n]), int(it.rollout_N[n]), int(it.step_N[n])): float(it.score_N[n])
        for it in judged
        for n in range(len(it))
    }


@pytest.fixture(scope="module", params=WINDOWS, ids=lambda it: f"{it[0]}-{it[1]}")
def turns(request: pytest.FixtureRequest, simulator: MujocoSimulator) -> list[Turn]:
    return converse(simulator, *request.param)


@pytest.fixture(scope="module")
def judged(turns: list[Turn]) -> list[ScoreBatch]:
    return [seen_score(turn.batch) for turn in turns]


@pytest.fixture(scope="module")
def buffer(turns: list[Turn], judged: list[ScoreBatch]) -> RolloutBuffer:
    return heard(turns, judged[::-1])  # in whatever order they come


def windows(group: RolloutGroup) -> list[tuple[int, int]]:
    """The first step of each, where members part, and the one after its last."""
    return list(zip(group.partings, [*group.partings[1:], group.reward_GL.shape[1]], strict=True))


def test_a_branch_is_paid_for_what_it_led_to_and_for_nothing_on_the_way(buffer, judged) -> None:
    """gamma^k phi(end) - phi(where it parted), the end being what it saw last; of one that has
    succeeded there is none, and phi is 0."""
    said, succeeded, went_on, led = by_id(judged), 0, 0, 0
    assert buffer.complete and not buffer.unscored
    for group in buffer.groups():
        reward_GL = process_reward(group, GAMMA, "potential")
        return_GL = returns_to_go(reward_GL, GAMMA, group.partings)
        for first, until in windows(group):
            for g in np.flatnonzero(group.alive_GL[:, first]):
                steps = int(group.alive_GL[g, first:until].sum())
                last = buffer.result(group.group_id, int(g), first + steps - 1)
                end = said.get((group.group_id, G + int(g), first + steps))
                if last.terminated:
                    assert end is None
                    end, succeeded = 0.0, succeeded + 1
                elif end is None:  # it is what all members see next
                    assert last.chosen
                    end, went_on = said[group.group_id, 0, first + steps], went_on + 1
                else:
                    led += 1
                start = said[group.group_id, 0, first]
                wanted = GAMMA**steps * end - start
                assert return_GL[g, first] == pytest.approx(wanted, abs=1e-6)
    assert succeeded and went_on and led > 2 * went_on


def test_plainly_it_is_paid_for_every_step_that_it_looks_promising(buffer) -> None:
    for group in buffer.groups():
        assert group.score is not None
        plain_GL = process_reward(group, GAMMA, "plain")
        np.testing.assert_array_equal(plain_GL, np.where(group.alive_GL, group.score.reached_GL, 0))
        going_GL = group.alive_GL[:, :-1] & group.alive_GL[:, 1:]
        for step in set(range(1, group.reward_GL.shape[1])) - set(group.partings):
            on_G = going_GL[:, step - 1]
            np.testing.assert_array_equal(
                plain_GL[on_G, step - 1], group.score.seen_GL[on_G, step].astype(float)
            )


def test_without_a_reward_of_the_task_what_it_led_to_tells_branches_apart(buffer) -> None:
    """A sparse reward is blind where no branch succeeds."""
    told = 0
    for group in buffer.groups():
        blind = replace(group, reward_GL=np.zeros_like(group.reward_GL))
        (rewarded,) = with_process_reward([blind], 0.5, GAMMA, "potential")
        return_GL = returns_to_go(rewarded.reward_GL, GAMMA, group.partings)
        advantage_GL = group_advantages(return_GL, group.alive_GL, min_std=0.01)
        told += sum(bool(advantage_GL[:, first].any()) for first in group.partings)
    assert told == sum(len(group.partings) for group in buffer.groups())


def test_a_group_whose_branch_was_not_judged_is_dropped_by_name(turns, judged) -> None:
    (lost, row), *_ = (
        (scores, n) for scores in judged for n in np.flatnonzero(scores.rollout_N >= G)
    )
    keep = np.arange(len(lost)) != row
    ids = {
        name: getattr(lost, name)[keep] for name in ScoreBatch.__dataclass_fields__ if "_N" in name
    }
    left = [replace(lost, **ids) if it is lost else it for it in judged]
    buffer = heard(turns, left)
    assert buffer.closed and buffer.unscored
    where = f"the score of rollout {lost.rollout_N[row]}, step {lost.step_N[row]} is missing"
    assert buffer.dropped() == {int(lost.group_N[row]): where}


def test_metrics_are_of_the_way_that_an_episode_went(buffer, judged) -> None:
    groups, said = buffer.groups(), by_id(judged)
    rewarded = with_process_reward(groups, 0.5, 1.0, "potential")
    told = process_metrics(groups, rewarded, buffer)
    means = []
    for group in groups:
        alone = {(d.step, int(d.rollout_S[0])) for d in group.decisions}
        way = [(int(g), s) for s, g in zip(*group.chosen_GL.T.nonzero(), strict=True)]
        rows = [(g if (s, g) in alone else 0, s) for g, s in way]
        means.append(np.mean([said[group.group_id, row, s] for row, s in rows]))
    assert told["process/mean"] == pytest.approx(np.mean(means), abs=1e-6)
    # Undiscounted, the potential of an episode that succeeds is what it began with.
    ended = [g.group_id for g in groups if g.success]
    added = {
        g.group_id: float(np.where(g.chosen_GL, r.reward_GL - g.reward_GL, 0).sum())
        for g, r in zip(groups, rewarded, strict=True)
    }
    for group in ended:
        assert added[group] == pytest.approx(-0.5 * said[group, 0, 0], abs=1e-5)
    assert told["process/reward"] == pytest.approx(np.mean(list(added.values())), abs=1e-5)


def test_what_a_branch_led_to_is_judged_as_in_a_rollout_by_itself(turns, buffer, simulator) -> None:
    """By the real model, of one that did the same: up to where a branch parted what the episode
    did, from there its own."""
    torch.set_num_threads(1)
    model = ProcessReward(load_policy(str(shipped_checkpoint(["reach"])), TASK))
    said, target, asked = by_id([model.score(turn.batch) for turn in turns]), {}, buffer.request
    for actions in (turn.actions for turn in turns):
        ids = zip(actions.group_M, actions.rollout_M, actions.step_M, strict=True)
        target |= dict(zip(ids, actions.target_M, strict=True))
    ends = sorted((key for key in said if key[1] >= G), key=lambda key: key[2])
    assert ends[-1][2] > 10
    for group, end, step in [ends[0], *ends[len(ends) // 2 :: len(ends) // 8]]:
        parted, (of_group,) = asked.parted(group, step - 1), _of(buffer, group)
        chosen = of_group.chosen_GL.argmax(0)
        engine, again = RolloutEngine(simulator, TASK, 1), ProcessReward(model.policy)
        batch = engine.start(replace(asked, form="episode", group_size=1, group_ids=(group,)))
        scores = again.score(batch)
        for t in range(step):
            who = int(chosen[t]) if t < parted else end - G
            action = replace(answer(batch), target_M=target[group, who, t][None])
            following = engine.act(action)
            assert following is not None
            batch, scores = following, again.score(following)
        assert said[group, end, step] == pytest.approx(float(scores.score_N[0]), abs=1e-5)


def _of(buffer: RolloutBuffer, group: int) -> list[RolloutGroup]:
    return [it for it in buffer.groups() if it.group_id == group]
