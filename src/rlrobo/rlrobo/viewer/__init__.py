"""What there is to see of a graph: heard from its topics or read from its bags, shown as standard
ROS messages or in rerun."""
