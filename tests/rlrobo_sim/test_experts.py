"""The scripted experts solve their tasks with actions that a policy could give."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import Reach, SceneState, Task, make_task
from rlrobo_core.types import HELD_OUT
from rlrobo_sim.demonstrations import collect
from rlrobo_sim.experts import EXPERTS, expert_action, expert_target
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.states import initial_scene

TASK = Reach()


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, num_worlds=20, image_size=16)
    yield simulator
    simulator.close()


def test_the_expert_reaches(simulator):
    solved = collect(simulator, TASK, episodes=40, seed=HELD_OUT, noise=0.0).success_E
    assert solved.mean() >= 0.98


@pytest.mark.parametrize("name", [name for name in EXPERTS if name != "reach"])
def test_experts_solve_what_they_see_in_time(name):
    assert solved(make_task(name), noise=0.0).mean() >= 0.98


@pytest.mark.parametrize("name", [name for name in EXPERTS if name not in ("reach", "slide")])
def test_experts_recover_from_noise_on_their_actions(name):
    assert solved(make_task(name), noise=0.2).mean() >= 0.85


def test_a_puck_that_was_let_go_cannot_be_called_back():
    assert 0.4 <= solved(make_task("slide"), noise=0.1).mean() <= 0.8


@pytest.mark.parametrize("name", [name for name in EXPERTS if name != "push"])
def test_no_step_of_the_expert_costs_reward(name):
    """Or a policy that is paid by the step unlearns what the expert does: grasping, once."""
    task = make_task(name)
    for _, before, after in steps(task, noise=0.0, episodes=40):
        terms = task.reward_terms(before, after)
        reward_N = sum(task.reward_weights[term] * value_N for term, value_N in terms.items())
        assert np.min(reward_N) > -0.01


def solved(task: Task, noise: float, episodes: int = 40) -> NDArray[np.bool_]:
    """bool[episodes]: as `collect`, without images, all episodes at once."""
    solved_N = np.zeros(episodes, dtype=bool)
    for running, _, after in steps(task, noise, episodes):
        solved_N[running] = task.success(after)
    return solved_N


def steps(
    task: Task, noise: float, episodes: int
) -> Iterator[tuple[NDArray[np.int64], SceneState, SceneState]]:
    """Which episodes still run, and their states before and after each step."""
    simulator = MujocoSimulator(task, episodes, num_threads=1, num_render_workers=0)
    scenes, seeds = zip(*(initial_scene(task, HELD_OUT, e) for e in range(episodes)), strict=True)
    simulator.reset(range(episodes), scenes, seeds)
    rng = np.random.default_rng(0)
    running = np.arange(episodes)
    for _ in range(task.max_steps):
        before = simulator.state(running)
        action_ND = expert_action(task, before)
        action_ND = action_ND + noise * rng.normal(size=action_ND.shape)
        simulator.step(running, end_effector_target(task, before.ee_pose_N, action_ND))
        after = simulator.state(running)
        yield running, before, after
        running = running[~task.success(after)]
        if not len(running):
            break
    simulator.close()


def test_the_target_lies_within_one_step_of_the_measured_pose(simulator):
    worlds = range(simulator.num_worlds)
    scenes, seeds = zip(*(initial_scene(TASK, 5, world) for world in worlds), strict=True)
    simulator.reset(worlds, scenes, seeds)
    state = simulator.state(worlds)
    target_N8, action_N3 = expert_target(TASK, state), expert_action(TASK, state)
    step_N3 = target_N8[:, :3] - state.ee_pose_N[:, :3]
    assert (np.abs(step_N3) <= TASK.max_step + 1e-6).all()
    np.testing.assert_allclose(step_N3, action_N3 * TASK.max_step, atol=1e-6)
    assert (target_N8[:, 7] == 0.0).all()


def test_a_task_without_expert_names_those_with(simulator):
    with pytest.raises(ValueError, match=r"'other'.*reach"):
        expert_action(Reach(name="other"), simulator.state([0]))
