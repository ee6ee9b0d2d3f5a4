"""Franka's own drivers, as parts of a launch: franka_ros2 3.4.0 with CRISP's controller."""

from __future__ import annotations

from launch.actions import IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from rlrobo.graph import NAMESPACE, Argument

CONTROLLER = "cartesian_impedance"
REMAPPED = ("target_pose", "target_joint", "target_wrench")
"""CRISP listens to these names in the controller manager's namespace, which is also the policy's:
without the remapping a policy's targets would pass by the safety node."""


def franka_ros2(
    robot_ip: Argument, condition: IfCondition
) -> list[IncludeLaunchDescription | Node]:
    """The hardware interface, its broadcasters, the gripper, and the impedance controller, which
    stays inactive until the arm is armed."""
    rules = " ".join(f"-r {name}:=controller/{name}" for name in REMAPPED)
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(
                PathJoinSubstitution(
                    [FindPackageShare("franka_bringup"), "launch", "franka.launch.py"]
                )
            ),
            launch_arguments=[
                ("robot_type", "fr3"),
                ("robot_ip", robot_ip.value),
                ("namespace", NAMESPACE.value),
                ("load_gripper", "true"),
                (
                    "controllers_yaml",
                    PathJoinSubstitution(
                        [FindPackageShare("rlrobo_robot"), "config", "fr3_controllers.yaml"]
                    ),
                ),
            ],
            condition=condition,
        ),
        Node(
            package="controller_manager",
            executable="spawner",
            name="spawn_cartesian_impedance",
            namespace=NAMESPACE.value,
            arguments=[CONTROLLER, "--inactive", "--controller-ros-args", rules],
            output="screen",
            condition=condition,
        ),
    ]
