"""Trajectories that were recorded are those that were watched as they ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.serialization import serialize_message

from rlrobo_core.bag import BagWriter
from rlrobo_core.ros.messages import to_msg
from rlrobo_core.tasks import Reach
from rlrobo_core.types import HELD_OUT, ActionBatch
from rlrobo_sim import datasets
from rlrobo_sim.demonstrations import collect, expert_episodes
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_train.process_reward.watched import Watched, of_bags, of_dataset, of_expert

TASK = Reach()
EPISODES, SEED, NOISE, PIXELS = 3, 4, 0.5, 28


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, EPISODES, image_size=PIXELS, num_render_workers=0)
    yield simulator
    simulator.close()


@pytest.fixture(scope="module")
def ran(simulator: MujocoSimulator) -> list[Watched]:
    return of_expert(simulator, TASK, EPISODES, SEED, NOISE)


def same(ones: list[Watched], others: list[Watched]) -> bool:
    def key(it: Watched) -> tuple[object, ...]:
        arrays = (it.image_LC, it.ee_pose_L, it.gripper_width_L)
        return (it.instruction, it.success, *(array.tobytes() for array in arrays))

    return sorted(map(key, ones), key=str) == sorted(map(key, others), key=str)


def test_those_of_a_training_bag(simulator, ran, tmp_path: Path) -> None:
    moments = expert_episodes(simulator, TASK, EPISODES, SEED, NOISE)
    none = np.zeros(0, np.int32)
    silence = ActionBatch(
        0, 0, 0, none.astype(np.int64), none, none, none.reshape(0, 3),
        np.zeros((0, 3), np.float32), np.zeros((0, 8), np.float32),
    )  # fmt: skip
    shown = [moment.batch for moment in moments]
    held_out = [
        replace(it, request=replace(it.request, phase="eval", request_id=9, seed=HELD_OUT))
        for it in shown
    ]
    records = [*shown, *held_out, silence]
    with BagWriter(tmp_path / "bag") as writer:
        for stamp, record in enumerate(records, 1):
            kind = type(record).__name__
            topic = "/actions" if record is silence else "/observations"
            cdr = serialize_message(to_msg(record, session=7))
            writer.write_bytes(topic, f"rlrobo_msgs/msg/{kind}", cdr, stamp)
    assert same(of_bags(tmp_path / "bag", TASK, 1, PIXELS), ran)
    with pytest.raises(ValueError, match=r"shows 1 images of 28 px a step, and the model reads 2"):
        of_bags(tmp_path / "bag", TASK, 2, PIXELS)


def test_those_of_a_data_set(simulator, ran, tmp_path: Path) -> None:
    shown = collect(simulator, TASK, EPISODES, SEED, NOISE)
    origin = datasets.Origin.of(TASK, "default", ("front",), PIXELS, NOISE, SEED)
    datasets.write(shown, origin, tmp_path / "set", "rosbag2")
    assert same(of_dataset(tmp_path / "set", TASK, ("front",), PIXELS), ran)
    with pytest.raises(ValueError, match="no camera 'wrist'"):
        of_dataset(tmp_path / "set", TASK, ("wrist",), PIXELS)
