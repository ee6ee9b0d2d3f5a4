"""Runs launch files where launch_ros is not installed (PyPI has no wheel of it).

The files stay idiomatic launch/launch_ros. `names` stands in for the few names they use,
`arguments` reads the command line, `process` is one node, `supervisor` runs them all.
"""
