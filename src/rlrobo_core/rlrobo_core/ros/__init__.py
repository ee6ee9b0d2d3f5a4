"""The edge to ROS: topics, parameters, nodes and how they are run."""
