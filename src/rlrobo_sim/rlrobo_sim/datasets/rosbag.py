"""Demonstrations as rosbag2: what the robot's graph would have published while the expert drove.

Topics (`ros2 bag info` shows them; all of one control step carry one stamp):
    /camera/<name>/image_raw   sensor_msgs/Image, rgb8
    /current_pose              geometry_msgs/PoseStamped, measured, frame `base`
    /gripper/joint_states      sensor_msgs/JointState: two fingers, half the width each [m]
    /instruction               std_msgs/String, at the start of an episode
    /action                    std_msgs/Float32MultiArray, the expert's normalised action
    /target_pose               geometry_msgs/PoseStamped, the same action as a pose
    /target_gripper_width      std_msgs/Float64 [m]
    /episode                   action_msgs/GoalStatus: EXECUTING with the first frame, SUCCEEDED
                               or ABORTED one period after the last; the id counts episodes
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.bag import BagWriter, Stamped, bag_facts, bag_messages
from rlrobo_core.bag_messages import (
    ABORTED,
    EXECUTING,
    SECOND,
    SUCCEEDED,
    float_array,
    goal_status,
    image,
    joint_state,
    number,
    pixels_of,
    pose_of,
    pose_stamped,
    text,
)
from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import make_task
from rlrobo_sim.datasets.origin import Origin
from rlrobo_sim.demonstrations import Demonstrations

MARK = "metadata.yaml"
FACT = "rlrobo"
"""The origin's key in the bag's metadata."""
FINGERS = ["panda_finger_joint1", "panda_finger_joint2"]
PAUSE = SECOND
"""Between episodes [ns]."""


def image_topic(camera: str) -> str:
    return f"/camera/{camera}/image_raw"


def topics(cameras: tuple[str, ...]) -> dict[str, str]:
    """topic -> type, of what `read` needs."""
    return {image_topic(camera): "sensor_msgs/msg/Image" for camera in cameras} | {
        "/current_pose": "geometry_msgs/msg/PoseStamped",
        "/gripper/joint_states": "sensor_msgs/msg/JointState",
        "/instruction": "std_msgs/msg/String",
        "/action": "std_msgs/msg/Float32MultiArray",
        "/episode": "action_msgs/msg/GoalStatus",
    }


def write(shown: Demonstrations, origin: Origin, path: Path) -> None:
    task = make_task(origin.task, origin.variant)
    target_N8 = end_effector_target(task, shown.ee_pose_N, shown.action_ND)
    stamp_N, end_E = stamps(shown, origin.control_hz)
    last_N = np.append(shown.step_N[1:] == 0, True)
    with BagWriter(path, {FACT: origin.to_json()}) as bag:
        for row, stamp in enumerate(stamp_N.tolist()):
            episode = int(shown.episode_N[row])
            if shown.step_N[row] == 0:
                bag.write("/episode", goal_status(episode, EXECUTING, stamp), stamp)
                bag.write("/instruction", text(shown.instruction_N[row]), stamp)
            for topic, msg in _frame(shown, row, target_N8[row], origin, stamp).items():
                bag.write(topic, msg, stamp)
            if last_N[row]:
                end = int(end_E[episode])
                status = SUCCEEDED if shown.success_E[episode] else ABORTED
                bag.write("/episode", goal_status(episode, status, end), end)


def _frame(
    shown: Demonstrations, row: int, target_8: NDArray[np.float32], origin: Origin, stamp: int
) -> dict[str, Any]:
    finger = float(shown.gripper_width_N[row]) / 2.0
    images = {
        image_topic(camera): image(pixels, f"camera_{camera}", stamp)
        for camera, pixels in zip(origin.cameras, shown.image_NC[row], strict=True)
    }
    return images | {
        "/current_pose": pose_stamped(shown.ee_pose_N[row], stamp),
        "/gripper/joint_states": joint_state(dict.fromkeys(FINGERS, finger), stamp),
        "/action": float_array(shown.action_ND[row], origin.action_dims),
        "/target_pose": pose_stamped(target_8[:7], stamp),
        "/target_gripper_width": number(float(target_8[7])),
    }


def stamps(shown: Demonstrations, control_hz: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """i64[N] of the frames and i64[E] of the episodes' ends [ns], simulated time from 1 s on
    (0 means "no stamp" in ROS)."""
    length_E = np.bincount(shown.episode_N, minlength=len(shown.success_E))
    duration_E = np.rint(length_E * SECOND / control_hz).astype(np.int64)
    end_E = SECOND + np.cumsum(duration_E) + PAUSE * np.arange(len(length_E))
    start_N = (end_E - duration_E)[shown.episode_N]
    offset_N = np.rint(shown.step_N.astype(np.float64) * SECOND / control_hz).astype(np.int64)
    return start_N + offset_N, end_E


def read(path: Path) -> tuple[Demonstrations, Origin]:
    origin_json = bag_facts(path).get(FACT)
    if origin_json is None:
        raise ValueError(f"bag {path} holds no demonstrations of rlrobo: no {FACT!r} in {MARK}")
    origin = Origin.from_json(origin_json, path / MARK)
    found: dict[str, list[Stamped]] = defaultdict(list)
    for message in bag_messages(path, topics(origin.cameras)):
        found[message.topic].append(message)
    return _demonstrations(found, origin, path), origin


def _demonstrations(found: dict[str, list[Stamped]], origin: Origin, path: Path) -> Demonstrations:
    stamp_N = np.array([m.stamp for m in found["/action"]])
    for topic in ["/current_pose", "/gripper/joint_states", *map(image_topic, origin.cameras)]:
        if not np.array_equal([m.stamp for m in found[topic]], stamp_N):
            raise ValueError(f"bag {path}: the stamps of {topic} and /action do not pair")
    started = [m for m in found["/episode"] if m.msg.status == EXECUTING]
    ended = [m for m in found["/episode"] if m.msg.status != EXECUTING]
    if len(started) != len(ended):
        raise ValueError(f"bag {path}: of {len(started)} episodes only {len(ended)} have an end")
    start_E = np.array([m.stamp for m in started])
    episode_N = np.searchsorted(start_E, stamp_N, side="right") - 1
    first_E = np.searchsorted(stamp_N, start_E)
    said = np.searchsorted([m.stamp for m in found["/instruction"]], stamp_N, side="right") - 1
    images = [[pixels_of(m.msg) for m in found[image_topic(c)]] for c in origin.cameras]
    return Demonstrations(
        image_NC=np.stack([np.stack(image_N) for image_N in images], axis=1),
        ee_pose_N=np.array([pose_of(m.msg) for m in found["/current_pose"]], np.float32),
        gripper_width_N=np.array(
            [sum(m.msg.position) for m in found["/gripper/joint_states"]], np.float32
        ),
        instruction_N=tuple(found["/instruction"][i].msg.data for i in said.tolist()),
        action_ND=np.stack([m.msg.data for m in found["/action"]]),
        episode_N=episode_N.astype(np.int64),
        step_N=(np.arange(len(stamp_N)) - first_E[episode_N]).astype(np.int32),
        success_E=np.array([m.msg.status == SUCCEEDED for m in ended]),
    )
