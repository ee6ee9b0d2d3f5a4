"""How hard a start of a task is, before anybody has tried it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rlrobo_core.panda import NEUTRAL, forward
from rlrobo_core.tasks.base import InitialScene, Task


def difficulty(task: Task, scene: InitialScene) -> float:
    """[m], how far the tool has to go: from where every episode starts over `task.way`, in
    straight lines. Starts of one task are compared by it, and only those."""
    stops = [forward(NEUTRAL).pose[:3], *(scene.object_pose[name][:3] for name in task.way)]
    return float(sum(np.linalg.norm(there - here) for here, there in pairwise(stops)))
