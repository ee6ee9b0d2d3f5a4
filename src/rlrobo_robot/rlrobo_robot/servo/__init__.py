"""An FR3 whose joints follow MoveIt Servo in POSE mode, which minds the planning scene's obstacles.

Its state, its gripper and its recovery are those of robot:=fr3; targets and activation differ.
"""
