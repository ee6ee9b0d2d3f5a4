"""What the policy's camera sees in simulation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rlrobo_core.preprocess import Pixels
from rlrobo_core.task_set import make_tasks
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.states import initial_scene

WORLD = (0,)
SEED = 2**31
"""Of the scene: evaluation's first."""


@dataclass(frozen=True)
class CameraCheckConfig:
    """The command's parameters."""

    task: str = "reach"
    """Task whose scene is drawn over the picture."""
    camera: Literal["front", "wrist"] = "front"
    """Which of the policy's cameras is checked."""
    image: str = ""
    """A picture of the real camera; empty: its topic."""
    topic: str = "/camera/camera/color/image_raw"
    """Where the real camera's images are."""
    out: str = "camera_check.png"
    """The PNG that is written."""
    size: int = field(default=480, metadata={"range": (32, 2048)})
    """Height and width of each of its three parts [px]."""
    rate_hz: float = field(default=2.0, metadata={"range": (0.1, 30.0)})
    """How often it is drawn anew [Hz]."""


class SimulatedView:
    """Drawn in the thread that made it, as a camera's context wants it."""

    def __init__(self, config: CameraCheckConfig) -> None:
        tasks = make_tasks(config.task)
        if len(tasks) > 1:
            raise ValueError(
                f"task is {config.task!r}, but one scene is drawn; choose one of: "
                f"{', '.join(tasks)}"
            )
        task = next(iter(tasks.values()))
        self._simulator = MujocoSimulator(
            task, 1, config.size, (config.camera,), num_render_workers=0, num_threads=1
        )
        scene, randomization = initial_scene(task, SEED, 0)
        self._simulator.reset(WORLD, [scene], [randomization])

    def render(self, joints: NDArray[np.float64] | None = None) -> Pixels:
        """u8[S, S, 3], with the arm's joints at f64[7] [rad], in the neutral posture at first."""
        if joints is not None:
            self._simulator.place_arm(WORLD, joints[None])
        return self._simulator.render(WORLD)[0, 0]

    def close(self) -> None:
        self._simulator.close()


def read_picture(path: str) -> Pixels:
    """u8[H, W, 3]; ValueError where there is none."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise ValueError(f"image {path!r} is not read ({error}); give a PNG or JPEG") from None


def write_picture(path: str, pixels_HW: Pixels) -> None:
    """As PNG, whole or not at all: somebody may be looking at it."""
    new = Path(path + ".new")
    Image.fromarray(pixels_HW).save(new, format="PNG")
    new.rename(path)
