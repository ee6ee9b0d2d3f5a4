"""The operator's commands on a terminal."""
