"""Makes the helpers beside the tests importable under pytest's importlib mode."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # bench_arm

# The same examples in every run, whatever the machine's load.
settings.register_profile("rlrobo", derandomize=True, deadline=None)
settings.load_profile("rlrobo")
