"""Records survive the wire bit for bit."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from rlrobo_core.from_messages import from_msg, image_from_msg
from rlrobo_core.image_codec import ENCODINGS
from rlrobo_core.ros.messages import image_to_msg, to_msg
from rlrobo_core.types import (
    HELD_OUT,
    ActionBatch,
    ObservationBatch,
    Observations,
    Outcomes,
    PolicyUpdate,
    RolloutRequest,
    ScoreBatch,
)

REQUEST = RolloutRequest(
    request_id=7,
    iteration=3,
    phase="eval",
    form="branch",
    task="reach",
    seed=HELD_OUT + 1,
    group_ids=(4, 9, 2**40),
    group_size=4,
    min_policy_version=2,
    temperature=0.7,
)


def observation_batch(count: int, outcomes: int, last: bool = False) -> ObservationBatch:
    rng = np.random.default_rng(0)
    return ObservationBatch(
        sequence=11,
        request=REQUEST,
        observations=Observations(
            image_NC=rng.integers(0, 255, (count, 2, 6, 5, 3), np.uint8),
            ee_pose_N=rng.normal(size=(count, 7)).astype(np.float32),
            gripper_width_N=rng.random(count, np.float32),
            instruction_N=tuple(f"reach the ball, n° {n}" for n in range(count)),
            group_N=rng.integers(0, 2**40, count),
            rollout_N=rng.integers(0, 9, count, np.int32),
            samples_N=rng.integers(1, 4, count, np.int32),
            step_N=rng.integers(0, 12, count, np.int32),
        ),
        outcomes=Outcomes(
            group_M=rng.integers(0, 2**40, outcomes),
            rollout_M=rng.integers(0, 9, outcomes, np.int32),
            step_M=rng.integers(0, 12, outcomes, np.int32),
            reward_M=rng.normal(size=outcomes).astype(np.float32),
            reward_term_names=("progress", "success", "smooth"),
            reward_term_MK=rng.normal(size=(outcomes, 3)).astype(np.float32),
            terminated_M=rng.random(outcomes) < 0.5,
            truncated_M=rng.random(outcomes) < 0.5,
            success_M=rng.random(outcomes) < 0.5,
            chosen_M=rng.random(outcomes) < 0.5,
        ),
        last=last,
        render_s=0.25,
    )


def action_batch(count: int) -> ActionBatch:
    rng = np.random.default_rng(1)
    return ActionBatch(
        sequence=12,
        request_id=7,
        policy_version=2,
        group_M=rng.integers(0, 2**40, count),
        rollout_M=rng.integers(0, 9, count, np.int32),
        step_M=rng.integers(0, 12, count, np.int32),
        token_MT=rng.integers(0, 150_000, (count, 4), np.int32),
        logprob_MT=-rng.random((count, 4), np.float32),
        target_M=rng.normal(size=(count, 8)).astype(np.float32),
    )


def score_batch(count: int) -> ScoreBatch:
    rng = np.random.default_rng(2)
    return ScoreBatch(
        sequence=13,
        request_id=7,
        group_N=rng.integers(0, 2**40, count),
        rollout_N=rng.integers(0, 9, count, np.int32),
        step_N=rng.integers(0, 12, count, np.int32),
        score_N=rng.random(count, np.float32),
    )


RECORDS = {
    "request": REQUEST,
    "update": PolicyUpdate(version=5, path="run/checkpoints/5/model.safetensors"),
    "observations": observation_batch(5, 8),
    "first observations": observation_batch(3, 0),
    "actions": action_batch(6),
    "no actions": action_batch(0),
    "scores": score_batch(4),
}


def assert_equal(left, right):
    """Recursively; arrays also in shape and type."""
    assert type(left) is type(right)
    for name in (field.name for field in dataclasses.fields(left)):
        a, b = getattr(left, name), getattr(right, name)
        if dataclasses.is_dataclass(a):
            assert_equal(a, b)
        elif isinstance(a, np.ndarray):
            assert a.dtype == b.dtype and a.shape == b.shape, name
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b, name


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS.keys())
def test_a_record_survives_the_wire(record):
    msg = to_msg(record, session=2**63 + 1)
    assert_equal(from_msg(deserialize_message(serialize_message(msg), type(msg))), record)


def test_a_closing_batch_without_observations_survives_but_for_the_height_of_no_image():
    record = observation_batch(0, 4, last=True)
    received = from_msg(to_msg(record))
    assert received.last and len(received.observations) == 0
    assert received.observations.image_NC.shape == (0, 2, 0, 5, 3)
    assert_equal(received.outcomes, record.outcomes)


def test_pixels_are_not_copied_on_arrival():
    msg = to_msg(RECORDS["observations"])
    image_NC = from_msg(msg).observations.image_NC
    assert np.shares_memory(image_NC, np.frombuffer(msg.image.data, np.uint8))


def test_bgr_observations_of_a_foreign_recorder_are_understood():
    record = RECORDS["observations"]
    msg = to_msg(record)
    pixels = image_from_msg(msg.image)
    msg.image = image_to_msg(pixels[..., ::-1], "bgr8")
    assert_equal(from_msg(msg), record)


def test_tiles_that_do_not_divide_the_image_are_refused():
    msg = to_msg(RECORDS["observations"])
    msg.cameras = 7
    with pytest.raises(ValueError, match="5 observations of 7 cameras"):
        from_msg(msg)


def test_a_message_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="Image"):
        from_msg(Image())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_images_of_every_encoding_survive_the_wire(encoding):
    dtype, channels = ENCODINGS[encoding]
    shape = (4, 3, len(channels)) if len(channels) > 1 else (4, 3)
    pixels = np.random.default_rng(2).uniform(0, 255, shape).astype(dtype)
    msg = deserialize_message(serialize_message(image_to_msg(pixels, encoding)), Image)
    np.testing.assert_array_equal(image_from_msg(msg), pixels)
