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
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.bag import (
    BagWriter,
    Stamped,
    bag_facts,
    bag_messages,
    check_rosbags,
    make_message,
)
from rlrobo_core.codec import end_effector_target
from rlrobo_core.image_codec import decode, encode
from rlrobo_core.tasks import make_task
from rlrobo_sim.datasets.origin import Origin
from rlrobo_sim.demonstrations import Demonstrations

MARK = "metadata.yaml"
FACT = "rlrobo"
"""The origin's key in the bag's metadata."""
FINGERS = ["panda_finger_joint1", "panda_finger_joint2"]
EXECUTING, SUCCEEDED, ABORTED = 2, 4, 6
"""action_msgs/GoalStatus."""
SECOND = 10**9
PAUSE = SECOND
"""Between episodes [ns]."""

check = check_rosbags


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
    with BagWriter(path, {FACT: origin.to_json()}) as bag:
        for row, stamp in enumerate(stamp_N.tolist()):
            episode = int(shown.episode_N[row])
            if shown.step_N[row] == 0:
                bag.write("/episode", _goal_status(episode, EXECUTING, stamp), stamp)
                words = make_message("std_msgs/msg/String", data=shown.instruction_N[row])
                bag.write("/instruction", words, stamp)
            for camera, image in zip(origin.cameras, shown.image_NC[row], strict=True):
                bag.write(image_topic(camera), _image(image, camera, stamp), stamp)
            bag.write("/current_pose", _pose_stamped(shown.ee_pose_N[row], stamp), stamp)
            width = float(shown.gripper_width_N[row])
            bag.write("/gripper/joint_states", _fingers(width, stamp), stamp)
            bag.write("/action", _action(shown.action_ND[row], origin.action_dims), stamp)
            bag.write("/target_pose", _pose_stamped(target_N8[row, :7], stamp), stamp)
            target_width = make_message("std_msgs/msg/Float64", data=float(target_N8[row, 7]))
            bag.write("/target_gripper_width", target_width, stamp)
            if row + 1 == len(shown) or shown.step_N[row + 1] == 0:
                end = int(end_E[episode])
                status = SUCCEEDED if shown.success_E[episode] else ABORTED
                bag.write("/episode", _goal_status(episode, status, end), end)


def stamps(shown: Demonstrations, control_hz: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """i64[N] of the frames and i64[E] of the episodes' ends [ns], simulated time from 1 s on
    (0 means "no stamp" in ROS)."""
    length_E = np.bincount(shown.episode_N, minlength=len(shown.success_E))
    duration_E = np.rint(length_E * SECOND / control_hz).astype(np.int64)
    end_E = SECOND + np.cumsum(duration_E) + PAUSE * np.arange(len(length_E))
    start_N = (end_E - duration_E)[shown.episode_N]
    return start_N + np.rint(shown.step_N.astype(np.int64) * SECOND / control_hz).astype(
        np.int64
    ), end_E


def read(path: Path) -> tuple[Demonstrations, Origin]:
    text = bag_facts(path).get(FACT)
    if text is None:
        raise ValueError(f"bag {path} holds no demonstrations of rlrobo: no {FACT!r} in {MARK}")
    origin = Origin.from_json(text, path / MARK)
    found: dict[str, list[Stamped]] = defaultdict(list)
    for message in bag_messages(path, topics(origin.cameras)):
        found[message.topic].append(message)
    return _demonstrations(found, origin, path), origin


def _demonstrations(found: dict[str, list[Stamped]], origin: Origin, path: Path) -> Demonstrations:
    stamp_N = np.array([stamp for _, stamp, _ in found["/action"]])
    framed = ["/current_pose", "/gripper/joint_states", *map(image_topic, origin.cameras)]
    for topic in framed:
        if not np.array_equal([stamp for _, stamp, _ in found[topic]], stamp_N):
            raise ValueError(f"bag {path}: the stamps of {topic} and /action do not pair")
    started = [m for m in found["/episode"] if m.msg.status == EXECUTING]
    ended = [m for m in found["/episode"] if m.msg.status != EXECUTING]
    if len(started) != len(ended):
        raise ValueError(f"bag {path}: of {len(started)} episodes only {len(ended)} have an end")
    start_E = np.array([stamp for _, stamp, _ in started])
    episode_N = np.searchsorted(start_E, stamp_N, side="right") - 1
    said = np.searchsorted([m.stamp for m in found["/instruction"]], stamp_N, side="right") - 1
    images = [[_pixels(m.msg) for m in found[image_topic(c)]] for c in origin.cameras]
    return Demonstrations(
        image_NC=np.stack([np.stack(image_N) for image_N in images], axis=1),
        ee_pose_N=np.array([_pose(m.msg) for m in found["/current_pose"]], np.float32),
        gripper_width_N=np.array(
            [sum(m.msg.position) for m in found["/gripper/joint_states"]], np.float32
        ),
        instruction_N=tuple(found["/instruction"][i].msg.data for i in said.tolist()),
        action_ND=np.stack([m.msg.data for m in found["/action"]]),
        episode_N=episode_N.astype(np.int64),
        step_N=(np.arange(len(stamp_N)) - np.searchsorted(stamp_N, start_E)[episode_N]).astype(
            np.int32
        ),
        success_E=np.array([m.msg.status == SUCCEEDED for m in ended]),
    )


def _header(frame: str, stamp: int) -> Any:
    return make_message("std_msgs/msg/Header", stamp=_time(stamp), frame_id=frame)


def _time(stamp: int) -> Any:
    sec, nanosec = divmod(stamp, SECOND)
    return make_message("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)


def _image(pixels: NDArray[np.uint8], camera: str, stamp: int) -> Any:
    height, width, _ = pixels.shape
    return make_message(
        "sensor_msgs/msg/Image",
        header=_header(f"camera_{camera}", stamp),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=encode(pixels, "rgb8"),
    )


def _pixels(msg: Any) -> NDArray[np.uint8]:
    return decode(msg.data, msg.height, msg.width, msg.encoding, msg.step, desired="rgb8")


def _pose_stamped(pose: NDArray[np.float32], stamp: int) -> Any:
    x, y, z, qx, qy, qz, qw = pose.tolist()
    return make_message(
        "geometry_msgs/msg/PoseStamped",
        header=_header("base", stamp),
        pose=make_message(
            "geometry_msgs/msg/Pose",
            position=make_message("geometry_msgs/msg/Point", x=x, y=y, z=z),
            orientation=make_message("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
        ),
    )


def _pose(msg: Any) -> tuple[float, ...]:
    p, q = msg.pose.position, msg.pose.orientation
    return (p.x, p.y, p.z, q.x, q.y, q.z, q.w)


def _fingers(width: float, stamp: int) -> Any:
    return make_message(
        "sensor_msgs/msg/JointState",
        header=_header("base", stamp),
        name=FINGERS,
        position=np.array([width / 2.0, width / 2.0]),
        velocity=np.zeros(0),
        effort=np.zeros(0),
    )


def _action(action_D: NDArray[np.float32], dims: tuple[str, ...]) -> Any:
    size = len(dims)
    axis = make_message(
        "std_msgs/msg/MultiArrayDimension", label=",".join(dims), size=size, stride=size
    )
    layout = make_message("std_msgs/msg/MultiArrayLayout", dim=[axis], data_offset=0)
    return make_message("std_msgs/msg/Float32MultiArray", layout=layout, data=action_D)


def _goal_status(episode: int, status: int, stamp: int) -> Any:
    uuid = np.frombuffer(UUID(int=episode).bytes, np.uint8)
    return make_message(
        "action_msgs/msg/GoalStatus",
        goal_info=make_message(
            "action_msgs/msg/GoalInfo",
            goal_id=make_message("unique_identifier_msgs/msg/UUID", uuid=uuid),
            stamp=_time(stamp),
        ),
        status=status,
    )
