"""One world of the MuJoCo simulator as an arm: the robot's topics, in real time."""
