"""Bringup of rlrobo: the command and the launch interpreter."""
