"""The same scene under other words: the expert does what these say."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import TASKS, Drawer, SceneState, Task, make_task
from rlrobo_core.tasks.naming import call, color_name
from rlrobo_sim.demonstrations import collect
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.otherwise import Roles, other_action, other_instruction, other_roles
from rlrobo_sim.states import initial_scene

SCENES = 12
AMBIGUOUS = [name for name in TASKS if other_roles(make_task(name))]


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_the_words_are_those_of_a_scene_with_the_colours_exchanged(name: str) -> None:
    task = make_task(name)
    for group in range(SCENES):
        scene, _ = initial_scene(task, 0, group)
        for roles in other_roles(task):
            said = other_instruction(scene, roles)
            named = [n for n in roles if color_name(scene.object_rgba[n]) in scene.instruction]
            assert all(color_name(scene.object_rgba[roles[n]]) in said.split() for n in named)
            back = {other: name for name, other in roles.items()}
            assert other_instruction(replace(scene, instruction=said), back) == scene.instruction


def test_reach_has_nothing_to_be_mistaken_for() -> None:
    assert other_roles(make_task("reach")) == []


def test_only_alike_objects_take_each_others_parts() -> None:
    task = make_task("stack")
    scene, _ = initial_scene(task, 0, 0)
    assert len(other_roles(task)) == 5
    for roles in other_roles(task):
        assert roles.keys() == set(roles.values()) == {"cube", "base", "distractor1"}
        assert all(call(it, scene).endswith("cube") for it in task.objects if it.name in roles)


def follow(task: Task, roles: Roles) -> SceneState:
    """Where everything is after an episode by those words."""
    worlds = range(SCENES)
    with closing(MujocoSimulator(task, SCENES, num_render_workers=0, num_threads=1)) as simulator:
        scenes, seeds = zip(*(initial_scene(task, 0, group) for group in worlds), strict=True)
        simulator.reset(worlds, scenes, seeds)
        for _ in range(task.max_steps):
            state = simulator.state(worlds)
            action_ND = other_action(task, state, roles)
            simulator.step(worlds, end_effector_target(task, state.ee_pose_N, action_ND))
        return simulator.state(worlds)


def test_the_other_cube_is_brought_to_the_goal() -> None:
    task = make_task("pick_and_place")
    (roles,) = other_roles(task)
    end = follow(task, roles)
    offset_N3 = (end.object_pose["distractor1"] - end.object_pose["target"])[:, :3]
    assert (np.linalg.norm(offset_N3, axis=-1) < 0.05).all()


def test_the_other_drawer_is_opened() -> None:
    task = Drawer()
    (roles,) = other_roles(task)
    end = follow(task, roles)
    assert (task.opening(end, "distractor1") > task.threshold * task.travel).all()
    assert (task.opening(end) < 0.02).all()


def test_demonstrations_hold_both() -> None:
    task = make_task("stack")
    with closing(MujocoSimulator(task, 4, image_size=28)) as simulator:
        shown = collect(simulator, task, episodes=4, seed=0)
    other = shown.otherwise
    assert other is not None
    assert len(other.instruction_N) == len(shown)
    assert other.action_ND.shape == shown.action_ND.shape
    assert all(a != b for a, b in zip(other.instruction_N, shown.instruction_N, strict=True))
    start_N = shown.step_N == 0
    assert not np.allclose(other.action_ND[start_N], shown.action_ND[start_N])
    again = shown.in_order().otherwise
    assert again is not None
    assert sorted(again.instruction_N) == sorted(other.instruction_N)
