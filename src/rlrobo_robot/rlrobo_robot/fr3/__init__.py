"""An FR3 through franka_ros2 and CRISP's Cartesian impedance controller.

The safety node's targets go straight to the controller, which the launch file remaps to
`controller/target_pose`; everything else that an arm's driver does here is the bridge's.
"""
