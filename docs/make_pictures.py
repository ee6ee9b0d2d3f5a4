"""Makes the README's pictures, from the simulation alone.

    ./rlrobo shell python docs/make_pictures.py

images/scene.png        the scene of Reach
images/policy_sees.png  one episode of the scripted expert, in the policy's own images
images/tasks.png        each task: its start, its middle and its end by the scripted expert, and
                        the start through the wrist camera
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rlrobo_core.tasks import TASKS, Task, make_task
from rlrobo_sim.experts import EXPERTS, expert_target
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.states import initial_scene

IMAGES = Path(__file__).parent / "images"
SEED, GROUP = 0, 4
"""Which scene: one where nothing hides the ball."""
WIDTH, TOP, HEIGHT = 640, 50, 480
"""Of the overview [px], and where its cut begins."""
SUPERSAMPLING = 3
"""The simulation draws without antialiasing: larger, then scaled down."""
STEPS = (0, 1, 2, 3)
EYE, GAP = 112, 6
"""Size of what the policy gets, and the space between [px]."""

TILE, CAPTION = 224, 26
"""Of the tasks' picture [px]."""

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
    (pixels,) = episode(task, "overview", SUPERSAMPLING * WIDTH, steps=(0,))
    whole = Image.fromarray(pixels).resize((WIDTH, WIDTH), Image.Resampling.BOX)
    return whole.crop((0, TOP, WIDTH, TOP + HEIGHT))


def side_by_side(frames: list[Pixels]) -> Image.Image:
    picture = Image.new("RGB", (len(frames) * (EYE + GAP) - GAP, EYE), "white")
    for i, pixels in enumerate(frames):
        picture.paste(Image.fromarray(pixels), (i * (EYE + GAP), 0))
    return picture


def task_row(task: Task) -> Image.Image:
    """Start, middle and end, and the start as the wrist camera sees it."""
    steps = max(2, steps_to_success(task))
    seen = episode(task, "front", TILE, steps=(0, steps // 2, steps))
    seen += episode(task, "wrist", TILE, steps=(0,))
    row = Image.new("RGB", (len(seen) * (TILE + GAP) - GAP, TILE + CAPTION), "white")
    words = f"{task.name}: {initial_scene(task, SEED, GROUP)[0].instruction}"
    ImageDraw.Draw(row).text((4, 5), words, "black", ImageFont.load_default(15))
    for i, pixels in enumerate(seen):
        row.paste(Image.fromarray(pixels), (i * (TILE + GAP), CAPTION))
    return row


def steps_to_success(task: Task) -> int:
    """How many control steps the expert takes."""
    with closing(MujocoSimulator(task, num_worlds=1, num_render_workers=0)) as simulator:
        scene, seed = initial_scene(task, SEED, GROUP)
        simulator.reset([0], [scene], [seed])
        for step in range(task.max_steps):
            simulator.step([0], expert_target(task, simulator.state([0])))
            if task.success(simulator.state([0]))[0]:
                return step + 1
    return task.max_steps


def all_tasks() -> Image.Image:
    rows = [task_row(make_task(name)) for name in TASKS if name in EXPERTS]
    width = max(row.width for row in rows)
    picture = Image.new("RGB", (width, len(rows) * rows[0].height), "white")
    for i, row in enumerate(rows):
        picture.paste(row, (0, i * row.height))
    return picture


def main() -> None:
    task = make_task("reach")
    IMAGES.mkdir(exist_ok=True)
    overview(task).save(IMAGES / "scene.png", optimize=True)
    seen = episode(task, "front", EYE, STEPS)
    side_by_side(seen).save(IMAGES / "policy_sees.png", optimize=True)
    all_tasks().quantize(256).save(IMAGES / "tasks.png", optimize=True)


if __name__ == "__main__":
    main()
