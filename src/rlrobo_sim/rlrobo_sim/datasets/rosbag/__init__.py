"""Episodes of an arm as rosbag2: recorded from its graph, or written so that they look the same.

Topics (`ros2 bag info` shows them; in a bag that is written, one control step has one stamp):
    /camera/image_raw, /wrist_camera/image_raw   sensor_msgs/Image
    /current_pose                geometry_msgs/PoseStamped, measured, base frame
    /gripper/joint_states        sensor_msgs/JointState: two fingers, half the width each [m]
    /instruction                 std_msgs/String, at the start of an episode
    /target_pose                 geometry_msgs/PoseStamped, what was commanded
    /gripper_command             sensor_msgs/JointState, likewise
    /episode                     rlrobo_msgs/Episode, at its end: the instruction, how it was judged
    /action                      std_msgs/Float32MultiArray: in written bags, the normalised action
                                 bit for bit; in a recording it is what the target makes it

The policy's tokens and their probabilities are on none of them.
"""

from rlrobo_sim.datasets.rosbag.format import MARK
from rlrobo_sim.datasets.rosbag.reader import origin_of, read, read_recorded
from rlrobo_sim.datasets.rosbag.writer import write

__all__ = ["MARK", "origin_of", "read", "read_recorded", "write"]
