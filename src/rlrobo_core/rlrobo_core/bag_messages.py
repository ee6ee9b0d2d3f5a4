"""The standard messages of a robot's graph, made and read without ROS (see `bag.py`).

Stamps are [ns]; poses are [x, y, z, qx, qy, qz, qw] in the robot's base frame, metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.bag import make_message
from rlrobo_core.image_codec import decode, encode

SECOND = 10**9
"""[ns]"""
BASE_FRAME = "base"
EXECUTING, SUCCEEDED, ABORTED = 2, 4, 6
"""action_msgs/GoalStatus."""


def time(stamp: int) -> Any:
    sec, nanosec = divmod(stamp, SECOND)
    return make_message("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)


def header(frame: str, stamp: int) -> Any:
    return make_message("std_msgs/msg/Header", stamp=time(stamp), frame_id=frame)


def text(words: str) -> Any:
    return make_message("std_msgs/msg/String", data=words)


def number(value: float) -> Any:
    return make_message("std_msgs/msg/Float64", data=value)


def float_array(value_D: NDArray[np.float32], names: tuple[str, ...]) -> Any:
    """The names stand in the label of the only dimension."""
    axis = make_message(
        "std_msgs/msg/MultiArrayDimension",
        label=",".join(names),
        size=len(names),
        stride=len(names),
    )
    layout = make_message("std_msgs/msg/MultiArrayLayout", dim=[axis], data_offset=0)
    return make_message("std_msgs/msg/Float32MultiArray", layout=layout, data=value_D)


def image(pixels: NDArray[np.uint8], frame: str, stamp: int) -> Any:
    """Of u8[H, W, 3], RGB."""
    height, width, _ = pixels.shape
    return make_message(
        "sensor_msgs/msg/Image",
        header=header(frame, stamp),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=encode(pixels, "rgb8"),
    )


def pixels_of(msg: Any) -> NDArray[np.uint8]:
    """u8[H, W, 3], RGB; ValueError where encoding and size contradict."""
    big = bool(msg.is_bigendian)
    return decode(msg.data, msg.height, msg.width, msg.encoding, msg.step, big, desired="rgb8")


def pose_stamped(pose: NDArray[np.float32], stamp: int) -> Any:
    x, y, z, qx, qy, qz, qw = pose.tolist()
    return make_message(
        "geometry_msgs/msg/PoseStamped",
        header=header(BASE_FRAME, stamp),
        pose=make_message(
            "geometry_msgs/msg/Pose",
            position=make_message("geometry_msgs/msg/Point", x=x, y=y, z=z),
            orientation=make_message("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
        ),
    )


def pose_of(msg: Any) -> tuple[float, ...]:
    p, q = msg.pose.position, msg.pose.orientation
    return (p.x, p.y, p.z, q.x, q.y, q.z, q.w)


def joint_state(position: Mapping[str, float], stamp: int) -> Any:
    """Positions alone [m] or [rad]."""
    return make_message(
        "sensor_msgs/msg/JointState",
        header=header(BASE_FRAME, stamp),
        name=list(position),
        position=np.array(list(position.values())),
        velocity=np.zeros(0),
        effort=np.zeros(0),
    )


def goal_status(goal: int, status: int, stamp: int) -> Any:
    """`goal` is the number in the goal's UUID."""
    uuid = np.frombuffer(UUID(int=goal).bytes, np.uint8)
    return make_message(
        "action_msgs/msg/GoalStatus",
        goal_info=make_message(
            "action_msgs/msg/GoalInfo",
            goal_id=make_message("unique_identifier_msgs/msg/UUID", uuid=uuid),
            stamp=time(stamp),
        ),
        status=status,
    )
