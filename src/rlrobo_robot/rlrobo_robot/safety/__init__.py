"""What stands between a policy and an arm: `machine.py` decides, `node.py` is its ROS edge."""
