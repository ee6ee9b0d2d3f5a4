"""Rollouts become the same groups in whatever order their messages come; what lacks is named.

The messages are a real dialogue: MuJoCo's simulation with random answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import Reach
from rlrobo_core.types import ActionBatch, Form, ObservationBatch, Observations, RolloutRequest
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.groups import RolloutGroup, Seen

TASK = Reach(max_steps=4)
G = 3
GROUPS = (5, 6, 7)
Message = ObservationBatch | ActionBatch
Id = tuple[int, int, int]


class Dialogue(NamedTuple):
    request: RolloutRequest
    messages: list[Message]

    @property
    def answers(self) -> dict[Id, tuple[bytes, bytes]]:
        """(group, rollout, step) -> tokens and their log-probabilities."""
        return {
            id_of(batch, m): (batch.token_MT[m].tobytes(), batch.logprob_MT[m].tobytes())
            for batch in self.messages
            if isinstance(batch, ActionBatch)
            for m in range(len(batch))
        }

    @property
    def rewards(self) -> dict[Id, float]:
        return {
            id_of(batch.outcomes, m): float(batch.outcomes.reward_M[m])
            for batch in self.messages
            if isinstance(batch, ObservationBatch)
            for m in range(len(batch.outcomes))
        }


def id_of(batch, m: int) -> Id:
    return int(batch.group_M[m]), int(batch.rollout_M[m]), int(batch.step_M[m])


def answer(batch: ObservationBatch) -> ActionBatch:
    """Random actions; their tokens and log-probabilities are functions of their ids."""
    asked = batch.observations
    group_M, step_M = asked.group_N[asked.row_M], asked.step_N[asked.row_M]
    ids = zip(group_M.tolist(), asked.rollout_M.tolist(), step_M.tolist(), strict=True)
    rngs = [np.random.default_rng(i) for i in ids]
    action_M3 = np.array([rng.uniform(-1, 1, 3) for rng in rngs]).reshape(-1, 3)
    return ActionBatch(
        sequence=batch.sequence,
        request_id=batch.request.request_id,
        policy_version=4,
        group_M=group_M,
        rollout_M=asked.rollout_M,
        step_M=step_M,
        token_MT=np.array([rng.integers(99, size=3) for rng in rngs], np.int32).reshape(-1, 3),
        logprob_MT=-np.array([rng.random(3) for rng in rngs], np.float32).reshape(-1, 3),
        target_M=end_effector_target(TASK, asked.ee_pose_N[asked.row_M], action_M3),
    )


def converse(simulator: MujocoSimulator, form: Form) -> Dialogue:
    request = RolloutRequest(
        request_id=1,
        iteration=4,
        phase="train",
        form=form,
        task=TASK.name,
        seed=0,
        group_ids=GROUPS,
        group_size=G,
        min_policy_version=4,
        temperature=1.0,
    )
    engine = RolloutEngine(simulator, TASK, G)
    batch = engine.start(request)
    messages: list[Message] = [batch]
    while not batch.last:
        actions = answer(batch)
        following = engine.act(actions)
        assert following is not None
        batch = following
        messages += [actions, batch]
    return Dialogue(request, messages)


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    """Room for two groups at once: the third begins when one of them has ended."""
    simulator = MujocoSimulator(TASK, num_worlds=2 * G, image_size=28)
    yield simulator
    simulator.close()


@pytest.fixture(scope="module", params=["trajectory", "branch", "episode"])
def dialogue(request: pytest.FixtureRequest, simulator: MujocoSimulator) -> Dialogue:
    return converse(simulator, request.param)


def heard(
    request: RolloutRequest, messages: Iterable[Message], keep_images: int | None = None
) -> RolloutBuffer:
    buffer = RolloutBuffer(request, keep_images)
    for message in messages:
        if isinstance(message, ObservationBatch):
            buffer.add_observations(message)
        else:
            buffer.add_actions(message)
    return buffer


def content(group: RolloutGroup) -> tuple:
    """All of a group, comparable."""
    decisions = tuple(
        (
            *(d.instruction, d.gripper_width, d.step),
            *map(bytes, (d.image_C, d.ee_pose, d.rollout_S, d.token_ST, d.logprob_ST)),
        )
        for d in group.decisions
    )
    arrays_GL = map(bytes, (group.reward_GL, group.alive_GL, group.chosen_GL))
    end = {rollout: (*posture(seen), bytes(seen.image_C)) for rollout, seen in group.end.items()}
    return group.group_id, decisions, *arrays_GL, group.success, group.terms, end


def contents(buffer: RolloutBuffer) -> dict[int, tuple]:
    return {group.group_id: content(group) for group in buffer.groups()}


def groups_of(message: Message) -> set[int]:
    if isinstance(message, ActionBatch):
        return set(message.group_M.tolist())
    return set(message.observations.group_N.tolist()) | set(message.outcomes.group_M.tolist())


def test_a_whole_dialogue_becomes_the_groups_asked_for(dialogue: Dialogue) -> None:
    buffer = heard(*dialogue)
    assert buffer.complete and not buffer.dropped()
    assert tuple(group.group_id for group in buffer.groups()) == GROUPS
    assert buffer.steps == len(dialogue.rewards) == len(dialogue.answers)
    assert buffer.versions == {4}


def test_every_reward_and_action_stands_under_its_own_id(dialogue: Dialogue) -> None:
    rewards, answers = dict(dialogue.rewards), dict(dialogue.answers)
    for group in heard(*dialogue).groups():
        for g, step in np.argwhere(group.alive_GL):
            assert group.reward_GL[g, step] == rewards.pop((group.group_id, int(g), int(step)))
        for decision in group.decisions:
            rows = zip(decision.rollout_S, decision.token_ST, decision.logprob_ST, strict=True)
            for rollout, token_T, logprob_T in rows:
                expected = answers.pop((group.group_id, int(rollout), decision.step))
                assert (token_T.astype(np.int32).tobytes(), logprob_T.tobytes()) == expected
                assert group.alive_GL[rollout, decision.step]
    assert not rewards and not answers


def test_every_decision_keeps_what_was_measured_when_it_was_made(dialogue: Dialogue) -> None:
    asked = [m.observations for m in dialogue.messages if isinstance(m, ObservationBatch)]
    measured = {
        (int(obs.group_N[n]), int(obs.rollout_N[n]), int(obs.step_N[n])): posture_of(obs, n)
        for obs in asked
        for n in range(len(obs))
    }
    for group in heard(*dialogue).groups():
        for d in group.decisions:
            key = (group.group_id, int(d.rollout_S[0]), d.step)
            assert posture(d) == measured.pop(key)
        for rollout, seen in group.end.items():
            steps = int(group.alive_GL[rollout].sum())
            assert posture(seen) == measured.pop((group.group_id, rollout, steps))
    assert not measured


def test_what_was_not_seen_where_an_episode_was_cut_off_is_missed(simulator) -> None:
    request, messages = converse(simulator, "episode")
    last = messages[-1]
    assert isinstance(last, ObservationBatch) and len(last.observations)
    nothing = Observations(**rows_of(last.observations, slice(0)))
    cut = replace(last, observations=nothing)
    dropped = heard(request, [*messages[:-1], cut]).dropped()
    assert dropped.keys() == set(last.observations.group_N.tolist())
    assert all("saw where it was cut off is missing" in problem for problem in dropped.values())


def rows_of(obs: Observations, rows: slice) -> dict[str, Any]:
    return {field.name: getattr(obs, field.name)[rows] for field in fields(obs)}


def posture(seen: Seen) -> tuple[bytes, float]:
    return seen.ee_pose.tobytes(), seen.gripper_width


def posture_of(obs: Observations, n: int) -> tuple[bytes, float]:
    """Pose and gripper width of a row."""
    return obs.ee_pose_N[n].tobytes(), float(obs.gripper_width_N[n])


def test_the_path_is_every_trajectory_or_one_branch_of_each_step(dialogue: Dialogue) -> None:
    for group in heard(*dialogue).groups():
        if dialogue.request.form != "branch":
            assert (group.chosen_GL == group.alive_GL).all() and not group.branching
            assert group.reward == pytest.approx(float(group.reward_GL.sum()) / G, abs=1e-6)
            # Who has ended does not act again.
            assert not (~group.alive_GL[:, :-1] & group.alive_GL[:, 1:]).any()
        else:
            assert group.alive_GL.all() and (group.chosen_GL.sum(0) == 1).all()
            assert group.reward == pytest.approx(float(group.reward_GL[group.chosen_GL].sum()))
            assert group.length == group.reward_GL.shape[1]


def test_order_and_repetition_do_not_matter(dialogue: Dialogue) -> None:
    expected, numbers = heard(*dialogue), range(len(dialogue.messages))

    @given(st.permutations(numbers), st.lists(st.sampled_from(numbers)))
    @settings(max_examples=25)
    def holds(order: list[int], again: list[int]) -> None:
        buffer = heard(dialogue.request, [dialogue.messages[n] for n in [*again, *order]])
        assert buffer.complete
        assert contents(buffer) == contents(expected)
        assert buffer.steps == expected.steps

    holds()


def test_a_lost_message_drops_exactly_the_groups_that_it_spoke_of(dialogue: Dialogue) -> None:
    whole = contents(heard(*dialogue))
    for n, lost in enumerate(dialogue.messages):
        buffer = heard(dialogue.request, dialogue.messages[:n] + dialogue.messages[n + 1 :])
        affected = groups_of(lost)
        assert set(buffer.dropped()) == affected
        assert all(buffer.dropped().values())
        assert not buffer.complete
        assert contents(buffer) == {g: c for g, c in whole.items() if g not in affected}


def test_whatever_is_lost_no_group_is_wrong(dialogue: Dialogue) -> None:
    whole, numbers = contents(heard(*dialogue)), range(len(dialogue.messages))

    @given(st.sets(st.sampled_from(numbers), max_size=4))
    @settings(max_examples=50)
    def holds(lost: set[int]) -> None:
        buffer = heard(dialogue.request, [dialogue.messages[n] for n in numbers if n not in lost])
        got = contents(buffer)
        assert all(whole[group] == content for group, content in got.items())
        assert set(got) | set(buffer.dropped()) == set(GROUPS)
        assert not set(got) & set(buffer.dropped())

    holds()


def test_a_missing_answer_is_named(dialogue: Dialogue) -> None:
    late = max(
        (m for m in dialogue.messages if isinstance(m, ActionBatch)), key=lambda a: a.sequence
    )
    buffer = heard(dialogue.request, [m for m in dialogue.messages if m is not late])
    problems = buffer.dropped()
    assert set(problems) == groups_of(late)
    for group, problem in problems.items():
        assert problem.startswith("the action of rollout")
        assert f"step {int(late.step_M[late.group_M == group][0])} is missing" in problem


def test_a_group_that_was_answered_in_two_ways_is_dropped(dialogue: Dialogue) -> None:
    """By a policy that died and was started again with newer weights: the simulation may have
    followed either answer."""
    index = next(i for i, it in enumerate(dialogue.messages) if isinstance(it, ActionBatch))
    said = dialogue.messages[index]
    assert isinstance(said, ActionBatch)
    again = replace(said, policy_version=5, token_MT=said.token_MT.copy())
    again.token_MT[0, 0] += 1
    for both in ([said, again], [again, said]):
        messages = [*dialogue.messages[:index], *both, *dialogue.messages[index + 1 :]]
        buffer = heard(dialogue.request, messages)
        group, rollout, step = id_of(said, 0)
        named = f"two different actions were given for rollout {rollout}, step {step}"
        assert buffer.dropped() == {group: named} and not buffer.complete
        assert [it.group_id for it in buffer.groups()] == [it for it in GROUPS if it != group]


def test_nothing_heard_drops_every_group() -> None:
    request = RolloutRequest(1, 0, "train", "branch", TASK.name, 0, GROUPS, G, 0, 1.0)
    buffer = RolloutBuffer(request)
    assert not buffer.complete and not buffer.groups()
    assert set(buffer.dropped()) == set(GROUPS)


def test_of_groups_that_nobody_films_images_are_not_kept(dialogue: Dialogue) -> None:
    first, *others = heard(*dialogue, keep_images=1).groups()
    assert all(decision.image_C.shape == (1, 28, 28, 3) for decision in first.decisions)
    for group in others:
        assert all(decision.image_C.shape == (1, 0) for decision in group.decisions)


def test_what_is_watched_stays_unless_it_succeeds(dialogue: Dialogue) -> None:
    request, messages = dialogue
    buffer = RolloutBuffer(request, keep_images=1, watch=1)
    for message in messages:
        if isinstance(message, ObservationBatch):
            buffer.add_observations(message)
        else:
            buffer.add_actions(message)
    _, watched, other = buffer.groups()
    assert not watched.success
    assert all(decision.image_C.shape == (1, 28, 28, 3) for decision in watched.decisions)
    assert all(decision.image_C.shape == (1, 0) for decision in other.decisions)
