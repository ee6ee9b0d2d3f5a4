"""A policy drives one arm, through the safety node. Nothing moves before the operator arms it:

    ./rlrobo run rlrobo_robot operate arm

    camera, current_pose, gripper, instruction            arm_status, current_pose
                    v                                              v
                [policy] -- target_pose, gripper_command --> [safety] -- controller/… --> [arm]

The arm is a kinematic one (robot:=mock), MuJoCo's (robot:=mujoco), a Franka Emika Panda (FER)
through panda-py (robot:=panda), or a Franka Research 3 through franka_ros2 and CRISP (robot:=fr3)
or through MoveIt Servo, which is started by itself (robot:=servo).
"""

from typing import Any

from launch.conditions import IfCondition
from launch.substitutions import EqualsSubstitution, IfElseSubstitution, OrSubstitution

from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo.arguments import CRITIC_FROM, IMAGE_SIZE, JUDGED_BY, SEARCH, TRAINED_POLICY, VARIANT
from rlrobo.franka import franka_ros2
from rlrobo.graph import (
    NAMESPACE,
    RECORDING,
    VIEWING,
    Argument,
    as_trained,
    environment,
    recorder,
    required,
    respawned,
    viewers,
)
from rlrobo_core.tasks import TASKS

ROBOT = Argument(
    "robot",
    "mock",
    "mock: a kinematic arm; mujoco: simulated; panda: a Franka Emika Panda; fr3: a Franka Research "
    "3; servo: the same through MoveIt Servo",
    ("mock", "mujoco", "panda", "fr3", "servo"),
)
ROBOT_IP = Argument("robot_ip", "", "address of a real arm's control unit")
CALIBRATION = Argument("calibration", "", "of a real arm: file that says where its cameras are")
SIMULATED = OrSubstitution(
    EqualsSubstitution(ROBOT.value, "mock"), EqualsSubstitution(ROBOT.value, "mujoco")
)
CAMERAS = [
    Argument(name, IfElseSubstitution(SIMULATED, name, real), f"topics of the {which} camera")
    for name, which, real in (
        ("camera", "front", "/camera/camera/color"),
        ("wrist_camera", "wrist", "/wrist_camera/camera/color"),
    )
]
"""Where image_raw and camera_info are: at a real arm realsense2_camera's."""
INSTRUCTION = Argument("instruction", "", "what the policy shall do once it is armed")
TASK = as_trained(
    Argument(
        "task",
        "reach",
        f"whose action space the policy has, and mujoco's scene: {', '.join(TASKS)}",
    )
)
REMOTE = [
    Argument("policy_backend", "local", "remote: ask the policy server", ("local", "remote")),
    Argument("server", "ws://127.0.0.1:8000", "of a remote policy: wss://name:port, or ws:// here"),
    Argument("token_file", "", "of a remote policy: what holds the server's token"),
    Argument("ca_file", "", "of a remote policy: whom to trust for wss; empty: the system's"),
    Argument("deadline_s", 0.5, "of a remote policy: an answer later than this is dropped [s]"),
    Argument("chunk_rows", 1, "of a remote policy: actions of one answer that may be used"),
]
ACTING_POLICY = [
    *TRAINED_POLICY,
    TASK,
    *(it for it in SEARCH if it not in (CRITIC_FROM, JUDGED_BY)),
    *REMOTE,
    as_trained(
        Argument("act_temperature", 0.0, "of its actions; 0: the likeliest one"),
        "eval_temperature",
    ),
    Argument("rate_hz", 0.0, "targets a second; 0: as the task was trained"),
    Argument("max_observation_age", 0.3, "no target from older images or states [s]"),
]
SAFETY = [
    Argument("max_speed", 0.25, "of the tool [m/s]"),
    Argument("max_acceleration", 1.0, "of the tool [m/s^2]"),
    Argument("max_target_age", 0.5, "a target from an older image is refused [s]"),
    Argument("target_timeout", 0.5, "without a target for so long the arm holds [s]"),
    Argument("state_timeout", 0.2, "without news of the arm for so long it is a fault [s]"),
    Argument("deadman", "none", "what must be held", ("none", "joy", "heartbeat")),
]
EPISODE_SECONDS = Argument("max_seconds", 30.0, "of an episode that names no limit [s]")


def remapped_cameras() -> list[tuple[str, Any]]:
    return [
        (f"{camera.name}/{topic}", [camera.value, f"/{topic}"])
        for camera in CAMERAS
        for topic in ("image_raw", "camera_info")
    ]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        ROBOT,
        ROBOT_IP,
        CALIBRATION,
        *CAMERAS,
        INSTRUCTION,
        *ACTING_POLICY,
        *SAFETY,
        EPISODE_SECONDS,
        NAMESPACE,
        *RECORDING,
        *VIEWING,
    ]
    return LaunchDescription(
        [
            *(argument.declare() for argument in arguments),
            *environment(),
            recorder(),
            *viewers("robot"),
            required("rlrobo_robot/mock_arm", IMAGE_SIZE, condition=ROBOT.equals("mock")),
            required(
                "rlrobo_sim/mujoco_arm", TASK, VARIANT, IMAGE_SIZE, condition=ROBOT.equals("mujoco")
            ),
            required("rlrobo_robot/panda_arm", ROBOT_IP, condition=ROBOT.equals("panda")),
            required("rlrobo_robot/panda_hand", ROBOT_IP, condition=ROBOT.equals("panda")),
            *franka_ros2(ROBOT_IP, condition=ROBOT.equals("fr3")),
            required("rlrobo_robot/fr3_bridge", condition=ROBOT.equals("fr3")),
            required("rlrobo_robot/servo_bridge", condition=ROBOT.equals("servo")),
            required(
                "rlrobo_robot/calibration",
                CALIBRATION,
                condition=IfCondition(IfElseSubstitution(SIMULATED, "false", "true")),
            ),
            required("rlrobo_robot/safety", *SAFETY),
            respawned("rlrobo_robot/episodes", INSTRUCTION, EPISODE_SECONDS),
            respawned("rlrobo_policy", *ACTING_POLICY, edge="robot", remappings=remapped_cameras()),
        ]
    )
