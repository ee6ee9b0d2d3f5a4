"""The messages of a robot's graph, made without ROS (see `bag.py`); `from_messages.py` reads them.

Stamps are [ns]; poses are [x, y, z, qx, qy, qz, qw] in the robot's base frame, metres.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.bag import make_message
from rlrobo_core.from_messages import BASE_FRAME, FINGERS
from rlrobo_core.image_codec import encode

SECOND = 10**9
"""[ns]"""


def time(stamp: int) -> Any:
    sec, nanosec = divmod(stamp, SECOND)
    return make_message("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)


def header(frame: str, stamp: int) -> Any:
    return make_message("std_msgs/msg/Header", stamp=time(stamp), frame_id=frame)


def text(words: str) -> Any:
    return make_message("std_msgs/msg/String", data=words)


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


def gripper(width: float, stamp: int) -> Any:
    """Open by `width` [m], half of it by each finger."""
    return make_message(
        "sensor_msgs/msg/JointState",
        header=header(BASE_FRAME, stamp),
        name=list(FINGERS),
        position=np.full(2, width / 2.0),
        velocity=np.zeros(0),
        effort=np.zeros(0),
    )


def episode_end(instruction: str, success: bool, steps: int, stamp: int) -> Any:
    """Of an episode that somebody judged."""
    return make_message(
        "rlrobo_msgs/msg/Episode",
        header=header(BASE_FRAME, stamp),
        instruction=instruction,
        success=success,
        judged=True,
        reason="success" if success else "no success",
        steps=steps,
        seconds=0.0,
    )
