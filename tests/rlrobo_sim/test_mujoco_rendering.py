"""Cameras: what they see, that workers change nothing, and that nothing of them is left."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from rlrobo_core.errors import is_ours
from rlrobo_core.tasks.reach import Reach
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.mujoco.gl import make_context

REACH = Reach()
NUM_WORLDS = 9


def scenes(count: int) -> list:
    return [REACH.sample(np.random.default_rng((3, world))) for world in range(count)]


def images(num_workers: int, cameras: tuple[str, ...] = ("front", "wrist")) -> np.ndarray:
    with closing(
        MujocoSimulator(
            REACH,
            NUM_WORLDS,
            image_size=40,
            cameras=cameras,
            randomize=True,
            num_render_workers=num_workers,
        )
    ) as sim:
        sim.reset(range(NUM_WORLDS), scenes(NUM_WORLDS), range(NUM_WORLDS))
        return sim.render(range(NUM_WORLDS))


def test_the_number_of_workers_changes_no_pixel() -> None:
    here = images(0)
    assert here.shape == (NUM_WORLDS, 2, 40, 40, 3)
    for num_workers in (1, 2):
        np.testing.assert_array_equal(images(num_workers), here)


def test_some_worlds_in_any_order() -> None:
    with closing(MujocoSimulator(REACH, 4, image_size=40, num_render_workers=2)) as sim:
        sim.reset(range(4), scenes(4), range(4))
        everything = sim.render(range(4))
        np.testing.assert_array_equal(sim.render([3, 1]), everything[[3, 1]])
        assert sim.render([]).shape == (0, 1, 40, 40, 3)


def test_two_simulators_of_one_process_do_not_mix_their_pictures() -> None:
    with (
        closing(MujocoSimulator(REACH, 1, image_size=40, num_render_workers=0)) as small,
        closing(MujocoSimulator(REACH, 1, image_size=64, num_render_workers=0)) as large,
    ):
        for sim in (small, large):
            sim.reset([0], scenes(1), [0])
        before = small.render([0])
        assert large.render([0]).shape == (1, 1, 64, 64, 3)
        np.testing.assert_array_equal(small.render([0]), before)


def test_the_front_camera_sees_ball_and_hand() -> None:
    """Green pixels in most scenes, wherever the ball is, and other pixels once the arm moves."""
    count = 40
    with closing(MujocoSimulator(REACH, count, image_size=84, num_render_workers=0)) as sim:
        sim.reset(range(count), scenes(count), range(count))
        before = sim.render(range(count))[:, 0].astype(int)
        red, green, blue = np.moveaxis(before, -1, 0)
        ball_pixels = ((green > 1.7 * red) & (green > 1.7 * blue) & (green > 90)).sum((1, 2))
        assert np.mean(ball_pixels >= 6) > 0.9
        target_M = np.tile([0.55, -0.1, 0.25, 1.0, 0.0, 0.0, 0.0, 0.0], (count, 1))
        for _ in range(2):
            sim.step(range(count), target_M)
        after = sim.render(range(count))[:, 0].astype(int)
        moved = (np.abs(after - before).max(-1) > 20).mean((1, 2))
        assert moved.min() > 0.02


def worker_ids(parent: int) -> list[int]:
    return [
        int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    ]


def test_workers_end_with_close_and_twice_is_fine() -> None:
    before = set(worker_ids(os.getpid()))
    sim = MujocoSimulator(REACH, 2, image_size=40, num_render_workers=2)
    sim.reset([0, 1], scenes(2), [0, 1])
    sim.render([0, 1])
    workers = set(worker_ids(os.getpid())) - before
    assert len(workers) == 2
    for worker in workers:
        memory = Path(f"/proc/{worker}/maps").read_text()
        assert "/memfd:rlrobo_images" in memory
        assert "/dev/shm" not in memory, "named memory could be left behind"
    sim.close()
    sim.close()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


PARENT = """
import signal, sys, numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from rlrobo_core.tasks.reach import Reach
from rlrobo_sim.mujoco import MujocoSimulator
task = Reach()
sim = MujocoSimulator(task, 2, image_size=40, num_render_workers=2)
sim.reset([0, 1], [task.sample(np.random.default_rng(0))] * 2, [0, 1])
sim.render([0, 1])
print("ready", flush=True)
while True:
    sim.render([0, 1])
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=lambda end: end.name)
def test_workers_end_with_their_parent(end: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    handles = [os.pidfd_open(worker) for worker in worker_ids(parent.pid)]
    assert len(handles) == 2
    os.killpg(parent.pid, end) if end is signal.SIGINT else parent.send_signal(end)
    try:
        parent.wait(timeout=10)
    finally:
        parent.kill()  # nothing is left behind where it did not end
        parent.stdout.close()
    for handle in handles:
        ended, _, _ = select.select([handle], [], [], 5.0)
        assert ended, "a rendering worker outlived its parent"
        os.close(handle)


def test_a_worker_that_dies_is_reported() -> None:
    before = set(worker_ids(os.getpid()))
    with closing(MujocoSimulator(REACH, 2, image_size=40, num_render_workers=1)) as sim:
        sim.reset([0, 1], scenes(2), [0, 1])
        sim.render([0])
        (worker,) = set(worker_ids(os.getpid())) - before
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(RuntimeError, match=r"a rendering worker failed: .*exit code -9"):
            sim.render([0])


def test_an_unknown_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    with pytest.raises(ValueError, match="choose one of: egl, osmesa"):
        make_context(16)


def test_without_a_driver_the_error_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is told to use a driver that is not there."""
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "999")
    with closing(MujocoSimulator(REACH, 1, image_size=40, num_render_workers=1)) as sim:
        sim.reset([0], scenes(1), [0])
        with pytest.raises(ValueError, match="sudo apt install libegl1") as raised:
            sim.render([0])
    assert is_ours(raised.value), "a sentence for the user, not a traceback"
