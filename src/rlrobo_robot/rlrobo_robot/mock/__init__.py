"""A kinematic arm without a robot: what the graph is tried on first."""
