"""A look on real MuJoCo: all actions are tried and shown, the episode goes on with the named one
as if nothing else had been tried."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import Reach
from rlrobo_core.types import ActionBatch, Form, ObservationBatch, RolloutRequest
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine

TASK = Reach(max_steps=3)
MEMBERS = 4
GROUPS = (3, 4, 5)


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(
        TASK, 2 * MEMBERS, image_size=28, num_render_workers=0, num_threads=1
    )
    yield simulator
    simulator.close()


def request(form: Form = "look", group_size: int = MEMBERS, **changes) -> RolloutRequest:
    asked = RolloutRequest(7, 0, "eval", form, "reach", 2**31, GROUPS, group_size, 2, 0.0)
    return replace(asked, **changes)


def tried(batch: ObservationBatch, members: np.ndarray | None = None) -> ActionBatch:
    """An action for each that waits, a function of group, step and member; `members` takes the
    place of who is asked."""
    obs = batch.observations
    group_M, step_M = obs.group_N[obs.row_M], obs.step_N[obs.row_M]
    member_M = obs.rollout_M if members is None else members
    ids = zip(group_M.tolist(), member_M.tolist(), step_M.tolist(), strict=True)
    action_M3 = np.array([np.random.default_rng(i).uniform(-1, 1, 3) for i in ids]).reshape(-1, 3)
    target_M = end_effector_target(TASK, obs.ee_pose_N[obs.row_M], action_M3)
    return answering(batch, group_M, obs.rollout_M, step_M, target_M, tokens=3)


def chosen_member(group: int, step: int) -> int:
    return int(np.random.default_rng((group, step)).integers(MEMBERS))


def named(batch: ObservationBatch) -> ActionBatch:
    """The member that each group goes on with."""
    obs = batch.observations
    group_M, first_M = np.unique(obs.group_N, return_index=True)
    step_M = obs.step_N[first_M]
    member_M = [
        chosen_member(g, s - 1) for g, s in zip(group_M.tolist(), step_M.tolist(), strict=True)
    ]
    return answering(batch, group_M, np.array(member_M), step_M, np.zeros((len(group_M), 8)), 0)


def answering(batch, group_M, rollout_M, step_M, target_M, tokens: int) -> ActionBatch:
    return ActionBatch(
        sequence=0,
        request_id=batch.request.request_id,
        policy_version=2,
        group_M=group_M,
        rollout_M=rollout_M.astype(np.int32),
        step_M=step_M,
        token_MT=np.zeros((len(group_M), tokens), np.int32),
        logprob_MT=np.zeros((len(group_M), tokens), np.float32),
        target_M=target_M.astype(np.float32),
    )


def serve(engine: RolloutEngine, asked: RolloutRequest) -> list[ObservationBatch]:
    batches = [engine.start(asked)]
    while not batches[-1].last:
        batch = batches[-1]
        following = engine.act(named(batch) if batch.judges else tried(batch))
        assert following is not None
        batches.append(following)
    return batches


@pytest.fixture(scope="module")
def looked(simulator) -> list[ObservationBatch]:
    return serve(RolloutEngine(simulator, TASK, 1), request())


def test_the_episode_is_that_of_the_named_actions_alone(looked, simulator):
    """Bit for bit that of a trajectory which takes them and never tries another."""
    engine = RolloutEngine(simulator, TASK, 1)
    batch, rewards = engine.start(request("trajectory", group_size=1)), {}
    while not batch.last:
        obs = batch.observations
        members = [
            chosen_member(g, s)
            for g, s in zip(obs.group_N.tolist(), obs.step_N.tolist(), strict=True)
        ]
        batch = engine.act(tried(batch, np.array(members)))
        assert batch is not None
        out = batch.outcomes
        for m in range(len(out)):
            rewards[int(out.group_M[m]), int(out.step_M[m])] = out.reward_M[m].tobytes()
    found = {
        (int(o.group_M[m]), int(o.step_M[m])): o.reward_M[m].tobytes()
        for o in (batch.outcomes for batch in looked if not batch.judges)
        for m in np.flatnonzero(o.chosen_M)
    }
    assert found == rewards and len(found) >= 2 * len(GROUPS)


def test_what_is_shown_is_what_came_of_each_action(looked):
    shown = [batch for batch in looked if batch.judges]
    assert len(shown) >= 2
    for batch in shown:
        obs, out = batch.observations, batch.outcomes
        np.testing.assert_array_equal(obs.group_N, out.group_M)
        np.testing.assert_array_equal(obs.rollout_N, out.rollout_M)
        np.testing.assert_array_equal(obs.step_N, out.step_M + 1)
        assert not out.chosen_M.any() and not obs.samples_N.any()
        assert len(np.unique(obs.ee_pose_N, axis=0)) == len(obs)


def test_a_group_goes_on_from_the_state_that_was_shown(looked):
    for shown, after in itertools.pairwise(looked):
        if not shown.judges:
            continue
        obs, then = shown.observations, after.observations
        for n in range(len(then)):
            group, step = int(then.group_N[n]), int(then.step_N[n])
            if step == 0:
                continue
            member = chosen_member(group, step - 1)
            (row,) = np.flatnonzero((obs.group_N == group) & (obs.rollout_N == member))
            np.testing.assert_array_equal(then.ee_pose_N[n], obs.ee_pose_N[row])
            np.testing.assert_array_equal(then.image_NC[n], obs.image_NC[row])


def test_of_a_filmed_episode_the_named_members_end_is_seen_once(looked):
    """And it asks for nothing, not even which member to go on with."""
    ends = {}
    for batch in (batch for batch in looked if not batch.judges):
        obs, out = batch.observations, batch.outcomes
        ended_M = (out.terminated_M | out.truncated_M) & out.chosen_M
        over = list(
            zip(*(it[ended_M].tolist() for it in (out.group_M, out.rollout_M)), strict=True)
        )
        shown_N = obs.samples_N == 0
        rows = zip(obs.group_N[shown_N].tolist(), obs.rollout_N[shown_N].tolist(), strict=True)
        assert list(rows) == over
        ends |= dict(over)
    assert ends.keys() == set(GROUPS)
    assert not looked[-1].judges and len(looked[-1].observations)


def test_only_a_whole_choice_is_taken(simulator):
    engine = RolloutEngine(simulator, TASK, 1)
    first = engine.start(request())
    answer = tried(first)
    shown = engine.act(answer)
    assert shown is not None and shown.judges
    choice = named(shown)
    refused = [
        answer,  # what was tried, once more
        replace(choice, request_id=6),
        replace(choice, policy_version=1),
        replace(choice, step_M=choice.step_M + 1),
        replace(choice, rollout_M=choice.rollout_M + MEMBERS),
        replace(choice, group_M=choice.group_M[[0, 0]]),
    ]
    assert [engine.act(it) for it in refused] == [None] * len(refused)
    assert engine.pending is shown
    following = engine.act(choice)
    assert following is not None and not following.judges
    assert engine.act(choice) is None


def test_a_new_request_ends_a_look(simulator):
    engine = RolloutEngine(simulator, TASK, 1)
    shown = engine.act(tried(engine.start(request())))
    assert shown is not None and shown.judges
    again = engine.start(request(request_id=8))
    assert not again.judges and engine.act(named(shown)) is None
    assert engine.act(tried(again)) is not None


def test_a_look_goes_one_step_ahead(simulator):
    with pytest.raises(ValueError, match="branch_steps is 2, but a look goes one step ahead"):
        RolloutEngine(simulator, TASK, 1).start(request(branch_steps=2))
