"""The policy's edge at a robot: from its topics to the same observations as in training."""
