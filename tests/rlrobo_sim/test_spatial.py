"""Spatial frames: the truth is true, the seed decides, expert frames show things held."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from rlrobo_core.tasks import make_task
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.spatial import TOOL_HIGH, TOOL_LOW, expert_frames, random_frames
from rlrobo_sim.states import initial_scene


def simulate(name: str, worlds: int):
    task = make_task(name)
    return task, closing(MujocoSimulator(task, worlds, image_size=28, num_render_workers=0))


def test_random_frames_tell_the_truth():
    task, made = simulate("reach", 6)
    with made as simulator:
        frames = random_frames(simulator, task, n=40, seed=2)
    goals_N3 = np.stack([initial_scene(task, 2, n)[0].object_pose["target"][:3] for n in range(40)])
    assert frames.image_NC.shape == (40, 1, 28, 28, 3)
    np.testing.assert_allclose(frames.object_pose["target"][:, :3], goals_N3, atol=1e-6)
    tool_N3 = frames.ee_pose_N[:, :3]
    assert (tool_N3 > TOOL_LOW - 0.2).all() and (tool_N3 < TOOL_HIGH + 0.2).all()
    assert (np.ptp(tool_N3, axis=0) > 0.6 * (TOOL_HIGH - TOOL_LOW)).all()


@pytest.mark.parametrize("kind", ["random", "expert"])
def test_frames_are_a_function_of_the_seed(kind):
    found = []
    for worlds in (3, 5):
        task, made = simulate("pick_and_place", worlds)
        with made as simulator:
            if kind == "random":
                found.append(random_frames(simulator, task, n=7, seed=2))
            else:
                found.append(expert_frames(simulator, task, episodes=6, seed=2, noise=0.3))
    one, two = found
    assert np.array_equal(one.image_NC, two.image_NC)
    assert np.array_equal(one.ee_pose_N, two.ee_pose_N)
    assert one.name_N == two.name_N


def test_things_are_called_as_the_instruction_calls_them():
    task, made = simulate("pick_and_place", 5)
    with made as simulator:
        frames = random_frames(simulator, task, n=10, seed=4)
    for n in range(10):
        instruction = initial_scene(task, 4, n)[0].instruction
        assert frames.name_N["cube"][n].split()[0] in instruction.split()
        assert frames.name_N["target"][n] == "green ball"
        assert len({names[n] for names in frames.name_N.values()}) == len(frames.name_N)


def test_expert_frames_show_the_cube_held_and_off_the_table():
    task, made = simulate("pick_and_place", 6)
    with made as simulator:
        frames = expert_frames(simulator, task, episodes=6, seed=0, noise=0.1)
    held_N = frames.held["cube"]
    assert 0.1 < held_N.mean() < 0.9
    near_N = np.linalg.norm((frames.object_pose["cube"] - frames.ee_pose_N)[:, :3], axis=-1) < 0.03
    assert near_N[held_N].all()
    assert frames.object_pose["cube"][held_N, 2].max() > 0.05
    assert not any(frames.held[name].any() for name in frames.held if name != "cube")
