"""Makes the pictures of the README, from the simulation alone.

    ./rlrobo shell python docs/make_pictures.py

images/scene.png        the scene, from the side that people look from
images/policy_view.png  one episode of the scripted expert, as the policy's camera sees it
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rlrobo_core.tasks import Task, make_task
from rlrobo_sim.expert import expert_target
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.states import initial_scene

IMAGES = Path(__file__).parent / "images"
SEED, GROUP = 0, 6
"""Which scene."""
WIDTH, HEIGHT = 640, 360
SUPERSAMPLING = 3
"""The simulation renders without antialiasing: larger, then scaled down."""
STEPS = (0, 1, 2, 3, 4)
EYE_SIZE, EYE_ZOOM, GAP = 112, 1, 6
"""What the policy gets [px], how much larger it is shown, and the space between [px]."""

Pixels = NDArray[np.uint8]


def episode(task: Task, camera: str, size: int, steps: tuple[int, ...]) -> list[Pixels]:
    """u8[size, size, 3] after each of those control steps of the expert."""
    simulator = MujocoSimulator(
        task, num_worlds=1, image_size=size, cameras=(camera,), num_render_workers=0
    )
    with closing(simulator):
        scene, seed = initial_scene(task, SEED, GROUP)
        simulator.reset([0], [scene], [seed])
        frames = []
        for step in range(max(steps) + 1):
            if step in steps:
                frames.append(simulator.render([0])[0, 0])
            simulator.step([0], expert_target(task, simulator.state([0])))
        return frames


def overview(task: Task) -> Image.Image:
    (pixels,) = episode(task, "overview", SUPERSAMPLING * WIDTH, steps=(1,))
    whole = Image.fromarray(pixels).resize((WIDTH, WIDTH), Image.Resampling.BOX)
    top = (WIDTH - HEIGHT) // 2
    return whole.crop((0, top, WIDTH, top + HEIGHT))


def strip(frames: list[Pixels], zoom: int) -> Image.Image:
    """The frames side by side."""
    size = EYE_SIZE * zoom
    width = len(frames) * (size + GAP) - GAP
    picture = Image.new("RGB", (width, size), "white")
    for i, pixels in enumerate(frames):
        tile = Image.fromarray(pixels).resize((size, size), Image.Resampling.NEAREST)
        picture.paste(tile, (i * (size + GAP), 0))
    return picture


def main() -> None:
    task = make_task("reach")
    IMAGES.mkdir(exist_ok=True)
    overview(task).save(IMAGES / "scene.png", optimize=True)
    seen = episode(task, "front", EYE_SIZE, STEPS)
    strip(seen, EYE_ZOOM).save(IMAGES / "policy_view.png", optimize=True)


if __name__ == "__main__":
    main()
