"""Names of the files that say how a run, and each of its checkpoints, was made.

runs/<run>/config.yaml
runs/<run>/checkpoints/<version>/rlrobo.json
"""

CONFIG_FILE = "config.yaml"
VERSIONS_FILE = "versions.json"
SUMMARY_FILE = "summary.json"
CHECKPOINTS = "checkpoints"
SPEC_FILE = "rlrobo.json"
