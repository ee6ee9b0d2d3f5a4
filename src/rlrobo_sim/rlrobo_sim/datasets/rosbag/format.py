"""What writing and reading an arm's bag share: its topics."""

from __future__ import annotations

from collections.abc import Iterable

from rlrobo_core.robot.arm import CAMERA_NAMESPACES

MARK = "metadata.yaml"
FACT = "rlrobo"
"""The origin's key in the bag's metadata, which a recording of an arm lacks."""
INSTRUCTION, EPISODE, ACTION = "/instruction", "/episode", "/action"
POSE, GRIPPER = "/current_pose", "/gripper/joint_states"
TARGET, GRIPPER_TARGET = "/target_pose", "/gripper_command"
IMAGE_TYPE = "sensor_msgs/msg/Image"
POSE_TYPE, JOINTS_TYPE = "geometry_msgs/msg/PoseStamped", "sensor_msgs/msg/JointState"
ACTION_TYPE = "std_msgs/msg/Float32MultiArray"


def image_topic(camera: str) -> str:
    return f"/{CAMERA_NAMESPACES.get(camera, f'{camera}_camera')}/image_raw"


def topics(cameras: Iterable[str], has_gripper: bool) -> dict[str, str]:
    """topic -> type, of what an episode is made of. `has_gripper`: the task commands it."""
    of_cameras = {image_topic(camera): IMAGE_TYPE for camera in cameras}
    return of_cameras | {
        POSE: POSE_TYPE,
        GRIPPER: JOINTS_TYPE,
        INSTRUCTION: "std_msgs/msg/String",
        TARGET: POSE_TYPE,
        **({GRIPPER_TARGET: JOINTS_TYPE} if has_gripper else {}),
        EPISODE: "rlrobo_msgs/msg/Episode",
    }
