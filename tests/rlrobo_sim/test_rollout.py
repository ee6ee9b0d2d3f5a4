"""The rollout engine on real MuJoCo: who is asked, what is answered, what goes on."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scripted import random_actions

from rlrobo_core.tasks import Reach
from rlrobo_core.types import FILMED, Form, ObservationBatch, RolloutRequest
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine

TASK = Reach(max_steps=4)
GROUP = 4


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, num_worlds=2 * GROUP, image_size=28)
    yield simulator
    simulator.close()


@pytest.fixture(scope="module")
def one_slot_simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, num_worlds=GROUP, image_size=28)
    yield simulator
    simulator.close()


def request(
    form: Form = "trajectory", groups=(3, 4, 5), group_size=GROUP, **changes
) -> RolloutRequest:
    served = RolloutRequest(
        request_id=7,
        iteration=0,
        phase="train",
        form=form,
        task="reach",
        seed=11,
        group_ids=groups,
        group_size=group_size,
        min_policy_version=2,
        temperature=1.0,
    )
    return replace(served, **changes)


answer = partial(random_actions, TASK, policy_version=2)


def serve(engine: RolloutEngine, asked: RolloutRequest) -> list[ObservationBatch]:
    """All batches of a request."""
    batches = [engine.start(asked)]
    while not batches[-1].last:
        following = engine.act(answer(batches[-1]))
        assert following is not None
        batches.append(following)
    return batches


def outcomes_by_id(batches: list[ObservationBatch]) -> dict[tuple[int, int, int], tuple]:
    found = {}
    for batch in batches:
        o = batch.outcomes
        for m in range(len(o)):
            key = (int(o.group_M[m]), int(o.rollout_M[m]), int(o.step_M[m]))
            assert key not in found
            found[key] = (
                o.reward_M[m],
                o.reward_term_MK[m].tobytes(),
                o.terminated_M[m],
                o.truncated_M[m],
                o.success_M[m],
                o.chosen_M[m],
            )
    return found


def observations_by_id(batches: list[ObservationBatch]) -> dict[tuple[int, int, int], tuple]:
    return {
        (int(o.group_N[n]), int(o.rollout_N[n]), int(o.step_N[n])): (
            o.image_NC[n].tobytes(),
            o.ee_pose_N[n].tobytes(),
            o.gripper_width_N[n],
            o.instruction_N[n],
            o.samples_N[n],
        )
        for o in (batch.observations for batch in batches)
        for n in range(len(o))
    }


@pytest.mark.parametrize("form", ["trajectory", "branch"])
def test_a_group_does_not_depend_on_slots(simulator, one_slot_simulator, form):
    two_slots = serve(RolloutEngine(simulator, TASK, GROUP), request(form))
    one_slot = serve(RolloutEngine(one_slot_simulator, TASK, GROUP), request(form))
    assert outcomes_by_id(two_slots) == outcomes_by_id(one_slot)
    assert observations_by_id(two_slots) == observations_by_id(one_slot)


@pytest.mark.parametrize("form", ["trajectory", "branch"])
def test_each_batch_reports_on_the_actions_that_answered_the_last(simulator, form):
    batches = serve(RolloutEngine(simulator, TASK, GROUP), request(form))
    assert len(batches[0].outcomes) == 0
    assert [batch.last for batch in batches] == [False] * (len(batches) - 1) + [True]
    assert len(batches[-1].observations) == 0
    assert batches[-1].observations.image_NC.shape == (0, 1, 28, 28, 3)
    assert np.diff([batch.sequence for batch in batches]).tolist() == [1] * (len(batches) - 1)
    for before, after in itertools.pairwise(batches):
        actions = answer(before)
        assert np.array_equal(after.outcomes.group_M, actions.group_M)
        assert np.array_equal(after.outcomes.rollout_M, actions.rollout_M)
        assert np.array_equal(after.outcomes.step_M, actions.step_M)


def test_trajectories_share_the_start_and_then_run_by_themselves(simulator):
    batches = serve(RolloutEngine(simulator, TASK, GROUP), request())
    for batch in batches:
        o = batch.observations
        assert np.array_equal(o.samples_N, np.where(o.step_N == 0, GROUP, 1))
    steps = defaultdict(list)
    for (group, rollout, step), (*_, terminated, truncated, _, _) in outcomes_by_id(
        batches
    ).items():
        steps[group, rollout].append((step, bool(terminated or truncated)))
    assert sorted(steps) == [(group, rollout) for group in (3, 4, 5) for rollout in range(GROUP)]
    for taken in steps.values():
        assert taken == [(step, step == len(taken) - 1) for step in range(len(taken))]


def test_one_branch_goes_on_and_passes_its_state_to_all(simulator):
    engine = RolloutEngine(simulator, TASK, GROUP)
    batch = engine.start(request("branch"))
    while not batch.last:
        assert (batch.observations.samples_N == GROUP).all()
        asked, before = batch, engine.state
        targets = answer(asked).target_M
        batch = engine.act(answer(asked))
        assert batch is not None
        o = batch.outcomes
        chosen_SG = o.chosen_M.reshape(-1, GROUP)
        assert (chosen_SG.sum(axis=1) == 1).all()
        assert (np.ptp(before.ee_pose_N.reshape(-1, GROUP, 7), axis=1) == 0).all()
        assert len(np.unique(o.reward_M)) > len(o) // 2  # every branch is scored by its own step
        ended = set(o.group_M[o.chosen_M & (o.terminated_M | o.truncated_M)].tolist())
        going = set(batch.observations.group_N[batch.observations.step_N > 0].tolist())
        assert going == set(o.group_M.tolist()) - ended
        assert targets.shape == (len(o), 8)


def test_where_an_episode_is_cut_off_is_shown_what_a_longer_one_would_go_on_from(simulator):
    shown = serve(RolloutEngine(simulator, TASK, GROUP), request("episode", group_size=1))
    plain = serve(RolloutEngine(simulator, TASK, GROUP), request(group_size=1))
    longer = serve(
        RolloutEngine(simulator, replace(TASK, max_steps=5), GROUP), request(group_size=1)
    )
    outcomes = outcomes_by_id(shown)
    assert outcomes == outcomes_by_id(plain)
    rows = observations_by_id(shown)
    ends = {key: row for key, row in rows.items() if row[-1] == 0}
    assert {key: row for key, row in rows.items() if key not in ends} == observations_by_id(plain)
    cut = {(g, r, step + 1) for (g, r, step), (*_, cut, _, _) in outcomes.items() if cut}
    assert ends.keys() == cut and cut
    beyond = observations_by_id(longer)
    assert all(row[:-1] == beyond[key][:-1] for key, row in ends.items())
    assert len(shown[-1].observations) and shown[-1].last


@pytest.mark.parametrize("branch_steps", [1, 3])
def test_the_state_that_goes_on_is_the_chosen_branch(one_slot_simulator, branch_steps):
    """A branching group equals the single trajectory of its chosen members' actions."""
    engine = RolloutEngine(one_slot_simulator, TASK, GROUP)
    batch = engine.start(replace(request("branch", groups=(3,)), branch_steps=branch_steps))
    targets, poses = [], []
    while not batch.last:
        asked, target_M = batch.observations, answer(batch).target_M
        batch = engine.act(answer(batch))
        assert batch is not None
        if batch.outcomes.chosen_M.any():  # it may have ended before the others
            (chosen,) = np.flatnonzero(batch.outcomes.chosen_M)
            targets.append(target_M[chosen])
            poses.append(asked.ee_pose_N[asked.row_M[chosen]])
    single = engine.start(request(groups=(3,), group_size=1))
    for target, pose in zip(targets, poses, strict=True):
        assert np.array_equal(single.observations.ee_pose_N[0], pose)
        following = engine.act(replace(answer(single), target_M=target[None]))
        assert following is not None
        single = following
    assert single.last


def test_branches_run_by_themselves_between_branching_points(simulator):
    batches = serve(
        RolloutEngine(simulator, TASK, GROUP), replace(request("branch"), branch_steps=3)
    )
    paths = defaultdict(set)
    for batch in batches:
        o, outcomes = batch.observations, batch.outcomes
        assert np.array_equal(o.samples_N, np.where(o.step_N % 3 == 0, GROUP, 1))
        parted_M = outcomes.step_M - outcomes.step_M % 3
        for m in np.flatnonzero(outcomes.chosen_M):
            paths[outcomes.group_M[m], parted_M[m]].add(int(outcomes.rollout_M[m]))
    assert {group for group, _ in paths} == {3, 4, 5}
    assert all(len(members) == 1 for members in paths.values())  # one, all the way
    assert len(set.union(*paths.values())) > 1


def test_only_a_complete_answer_to_the_pending_batch_counts(simulator):
    engine = RolloutEngine(simulator, TASK, GROUP)
    first = engine.start(request())
    good = answer(first)
    second = engine.act(good)
    assert second is not None
    following = answer(second)
    half = len(following) // 2
    for wrong in (
        good,
        replace(following, request_id=6),
        replace(following, policy_version=1),
        replace(following, rollout_M=following.rollout_M[::-1]),
        replace(following, target_M=following.target_M[:half]),
        replace(
            following,
            group_M=following.group_M[:half],
            rollout_M=following.rollout_M[:half],
            step_M=following.step_M[:half],
            target_M=following.target_M[:half],
        ),
    ):
        assert engine.act(wrong) is None
        assert engine.pending is second
    assert engine.act(replace(following, policy_version=9)) is not None


def test_after_the_last_batch_there_is_nothing_to_answer(simulator):
    engine = RolloutEngine(simulator, TASK, GROUP)
    last = serve(engine, request(groups=(0,)))[-1]
    assert engine.act(answer(last)) is None
    assert engine.pending is last


def test_targets_that_are_not_finite_are_refused(simulator):
    engine = RolloutEngine(simulator, TASK, GROUP)
    good = answer(engine.start(request(groups=(8, 9))))
    spoilt = good.target_M.copy()
    spoilt[-1, 2] = np.nan
    with pytest.raises(ValueError, match=r"not finite in groups \[9\]"):
        engine.act(replace(good, target_M=spoilt))
    assert engine.act(good) is not None


def test_evaluation_gives_each_world_an_episode_of_its_own(simulator):
    groups = tuple(range(11))
    engine = RolloutEngine(simulator, TASK, GROUP)
    batches = serve(engine, request(groups=groups, group_size=1, phase="eval", temperature=0.0))
    assert len(batches[0].observations) == 2 * GROUP
    ended = [
        group
        for batch in batches
        for group in batch.outcomes.group_M[
            batch.outcomes.terminated_M | batch.outcomes.truncated_M
        ].tolist()
    ]
    assert sorted(ended) == list(groups)


def test_of_the_first_episodes_of_an_evaluation_the_end_is_seen_for_the_film(simulator):
    groups = tuple(range(FILMED + 2))
    engine = RolloutEngine(simulator, TASK, GROUP)
    batches = serve(engine, request(groups=groups, group_size=1, phase="eval", temperature=0.0))
    ends, last = {}, {}
    for batch in batches:
        it, out = batch.observations, batch.outcomes
        seen = zip(it.group_N.tolist(), it.step_N.tolist(), it.samples_N, strict=True)
        ends |= {group: step for group, step, samples in seen if samples == 0}
        over = out.terminated_M | out.truncated_M
        last |= dict(zip(out.group_M[over].tolist(), out.step_M[over].tolist(), strict=True))
    assert ends == {group: last[group] + 1 for group in groups[:FILMED]}


def test_a_new_request_replaces_one_in_progress(simulator):
    engine = RolloutEngine(simulator, TASK, GROUP)
    fresh = serve(engine, request())
    old = engine.start(request(groups=(20, 21)))
    engine.act(answer(old))
    again = serve(engine, request())
    assert observations_by_id(again) == observations_by_id(fresh)


def test_rewards_are_the_weighted_sum_of_their_terms(simulator):
    engine = RolloutEngine(simulator, TASK, GROUP, reward_weights={"progress": 3.0})
    for batch in serve(engine, request())[1:]:
        o = batch.outcomes
        assert o.reward_term_names == ("progress", "success")
        weights = np.array([3.0, TASK.reward_weights["success"]])
        np.testing.assert_allclose(o.reward_M, o.reward_term_MK @ weights, rtol=1e-5, atol=1e-7)
        assert np.array_equal(o.success_M, o.terminated_M)
        assert not (o.terminated_M & o.truncated_M).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "slide"}, "task 'slide'.*'reach'"),
        ({"form": "tree"}, "'tree'.*trajectory, branch"),
        ({"group_size": 3}, r"8 environments.*groups of 3.*\[1, 2, 4, 8\]"),
        ({"group_size": 0}, "groups of 0"),
        ({"group_ids": ()}, "at least one group"),
        ({"group_ids": (1, 1)}, "only once"),
    ],
)
def test_requests_that_cannot_be_served_name_the_cure(simulator, changes, message):
    engine = RolloutEngine(simulator, TASK, GROUP)
    with pytest.raises(ValueError, match=message):
        engine.start(request(**changes))


def test_engines_that_cannot_be_built_name_the_cure(simulator):
    with pytest.raises(ValueError, match="8 environments cannot be divided into groups of 5"):
        RolloutEngine(simulator, TASK, group_size=5)
    with pytest.raises(ValueError, match=r"'sucess'.*progress, success"):
        RolloutEngine(simulator, TASK, GROUP, reward_weights={"sucess": 1.0})


@pytest.mark.parametrize("form", ["trajectory", "branch"])
def test_a_group_whose_physics_diverges_is_given_up_and_the_others_are_not_touched(
    simulator, form, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warning to a file there
    whole = outcomes_by_id(serve(RolloutEngine(simulator, TASK, GROUP), request(form)))
    engine = RolloutEngine(simulator, TASK, GROUP)
    batches = [engine.start(request(form))]
    broken = simulator.snapshot([GROUP + 1])  # a world of the second group
    simulator.restore([GROUP + 1], np.where(broken == 0.0, 1e12, broken))
    while not batches[-1].last:
        following = engine.act(answer(batches[-1]))
        assert following is not None
        batches.append(following)
    assert engine.unstable_groups == [4]
    assert outcomes_by_id(batches) == {key: v for key, v in whole.items() if key[0] != 4}
