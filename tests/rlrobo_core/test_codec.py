"""Codecs say back what they were told, as exactly as they can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rlrobo_core.codec import Bins, Words, end_effector_target, make_codec, normalised_action
from rlrobo_core.tasks import make_task

ACTIONS = arrays(np.float32, (4, 3), elements=st.floats(-1, 1, width=32))
REACH = make_task("reach")


@given(ACTIONS, st.integers(2, 65))
def test_bins_decode_to_the_nearest_action(action: np.ndarray, symbols: int) -> None:
    codec = Bins(3, symbols)
    error = np.abs(codec.decode(codec.encode(action)) - action)
    assert error.max() <= 1.0 / (symbols - 1) + 1e-6


@given(ACTIONS)
def test_words_say_the_nearest_direction(action: np.ndarray) -> None:
    codec = Words(REACH.action_dims)
    chosen = np.linalg.norm(codec.decode(codec.encode(action)) - action, axis=-1)
    everything = codec.decode(np.arange(codec.num_symbols)[:, None])
    nearest = np.linalg.norm(everything - action[:, None], axis=-1).min(-1)
    assert np.allclose(chosen, nearest)


@pytest.mark.parametrize("name", ["tokens", "words"])
def test_every_symbol_survives_a_round_trip(name: str) -> None:
    codec = make_codec(name, REACH)
    index = np.arange(codec.num_symbols)[:, None].repeat(codec.num_tokens, 1)
    assert np.array_equal(codec.encode(codec.decode(index)), index)


@given(ACTIONS, st.sampled_from([0.0, 0.5, 1.5]))
def test_soft_targets_are_distributions_around_the_answer(action: np.ndarray, sigma: float) -> None:
    codec = Bins(3)
    target = codec.soft_targets(action, sigma)
    peak = np.take_along_axis(target, codec.encode(action)[..., None], -1)[..., 0]
    assert np.allclose(target.sum(-1), 1.0, atol=1e-5)
    assert np.allclose(peak, target.max(-1), rtol=1e-3)


def test_an_odd_number_of_bins_can_stand_still() -> None:
    codec = Bins(3)
    assert not codec.decode(codec.encode(np.zeros((1, 3)))).any()


def test_words_point_as_rep_103_says() -> None:
    codec = Words(("x", "y", "z", "gripper"))
    assert codec.words is not None
    said = {word: codec.decode(np.array([[i]]))[0] for i, word in enumerate(codec.words)}
    assert said["forward"].tolist() == [1, 0, 0, 0]
    assert said["left"].tolist() == [0, 1, 0, 0]
    assert said["down"].tolist() == [0, 0, -1, 0]
    assert said["open"].tolist() == [0, 0, 0, 1]
    assert not said["stay"].any()


def test_unknown_codec_names_the_choices() -> None:
    with pytest.raises(ValueError, match=r"'digits'.*tokens, words"):
        make_codec("digits", REACH)


@given(arrays(np.float32, (4, 3), elements=st.floats(-3, 3, width=32)))
def test_targets_are_a_limited_step_from_the_measured_pose(action: np.ndarray) -> None:
    pose = np.tile([0.5, 0.1, 0.3, 1.0, 0.0, 0.0, 0.0], (4, 1))
    target = end_effector_target(REACH, pose, action)
    assert np.abs(target[:, :3] - pose[:, :3]).max() <= REACH.max_step + 1e-6
    assert np.allclose(np.linalg.norm(target[:, 3:7], axis=-1), 1.0)
    assert not target[:, 7].any()  # Reach does not command the gripper: closed


def test_a_commanded_gripper_opens_from_0_to_8_cm() -> None:
    task = replace(REACH, action_dims=("x", "y", "z", "gripper"))
    pose = np.tile([0.5, 0.1, 0.3, 1.0, 0.0, 0.0, 0.0], (3, 1))
    action = np.zeros((3, 4))
    action[:, 3] = [-1.0, 0.0, 1.0]
    target = end_effector_target(task, pose, action)
    assert np.allclose(target[:, 7], [0.0, 0.04, 0.08])
    assert np.allclose(target[:, :3], pose[:, :3])


@given(ACTIONS, st.sampled_from(["reach", "stack"]))
def test_a_target_tells_the_action_that_made_it(action: np.ndarray, name: str) -> None:
    task = make_task(name)
    action_ND = np.pad(action, ((0, 0), (0, len(task.action_dims) - 3)), mode="edge")
    pose_N = np.tile(np.float32([0.5, -0.2, 0.3, 1, 0, 0, 0]), (4, 1))
    target_N8 = end_effector_target(task, pose_N, action_ND)
    assert np.allclose(normalised_action(task, pose_N, target_N8), action_ND, atol=1e-5)
