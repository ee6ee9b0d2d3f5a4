"""Online GRPO of a vision-language policy in simulation: simulation, policy, trainer."""

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

FAST_DDS_PROFILE = get_package_share_directory("rlrobo") + "/config/fastdds.xml"

ARGUMENTS = [
    DeclareLaunchArgument("task", default_value="reach", description="task to learn"),
]


def parameters(*names: str) -> list[dict]:
    """The launch arguments of those names, as parameters of the same names."""
    return [{name: LaunchConfiguration(name) for name in names}]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS])
