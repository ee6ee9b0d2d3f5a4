"""Properties of the MuJoCo simulator, on the real thing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlrobo_core.tasks import InitialScene, SceneObject
from rlrobo_core.tasks.reach import Reach
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.mujoco.workspace import clip_to_reach
from rlrobo_sim.simulator import UnstableWorlds

REACH = Reach()
CUBE_TASK = replace(
    REACH,
    objects=(
        SceneObject("cube", "box", (0.02, 0.02, 0.02), (0.9, 0.1, 0.1, 1.0), mass=0.06),
        SceneObject("puck", "cylinder", (0.03, 0.015), (0.1, 0.1, 0.9, 1.0), mass=0.2),
    ),
    action_dims=("x", "y", "z", "gripper"),
)
CUBE_SCENE = InitialScene(
    object_pose={
        "cube": np.array([0.55, 0.05, 0.02, 0.0, 0.0, 0.0, 1.0]),
        "puck": np.array([0.45, -0.2, 0.015, 0.0, 0.0, 0.0, 1.0]),
    },
    instruction="pick up the cube",
)
OPEN, CLOSED = 0.08, 0.0
NUM_WORLDS = 6
WORLDS = range(NUM_WORLDS)


@pytest.fixture
def reach() -> Iterator[MujocoSimulator]:
    with closing(MujocoSimulator(REACH, NUM_WORLDS, image_size=48, num_render_workers=0)) as sim:
        reset(sim, WORLDS)
        yield sim


@pytest.fixture
def cubes() -> Iterator[MujocoSimulator]:
    with closing(
        MujocoSimulator(CUBE_TASK, 3, image_size=48, num_render_workers=0, randomize=True)
    ) as sim:
        sim.reset(range(3), [CUBE_SCENE] * 3, [7, 7, 8])
        yield sim


def reset(sim: MujocoSimulator, worlds, seed: int = 0) -> None:
    scenes = [REACH.sample(np.random.default_rng((seed, world))) for world in worlds]
    sim.reset(worlds, scenes, list(worlds))


def targets(position_M: np.ndarray, width: float = CLOSED) -> np.ndarray:
    """f64[M, 8], tool pointing down."""
    position_M = np.atleast_2d(position_M)
    rest = np.tile([1.0, 0.0, 0.0, 0.0, width], (len(position_M), 1))
    return np.concatenate([position_M, rest], axis=1)


def random_targets(rng: np.random.Generator, count: int) -> np.ndarray:
    return targets(rng.uniform([0.45, -0.15, 0.02], [0.75, 0.15, 0.3], (count, 3)))


def test_the_tool_arrives_within_one_control_step(reach: MujocoSimulator) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        at_M = reach.state(WORLDS).ee_pose_N[:, :3]
        step_M = 0.05 * rng.choice([-1.0, 0.0, 1.0], (NUM_WORLDS, 3))
        target_M = targets(clip_to_reach(at_M + step_M))
        reach.step(WORLDS, target_M)
        assert np.median(distance(reach, target_M)) < 0.003
        assert distance(reach, target_M).max() < 0.006, "8.7 cm along the diagonal"
        for _ in range(2):
            reach.step(WORLDS, target_M)
        assert distance(reach, target_M).max() < 0.001
    assert reach.state(WORLDS).ee_pose_N[:, 3] == pytest.approx(1.0, abs=1e-3), "tool down"


def distance(sim: MujocoSimulator, target_M: np.ndarray) -> np.ndarray:
    at_M = sim.state(range(len(target_M))).ee_pose_N[:, :3]
    return np.linalg.norm(at_M - target_M[:, :3], axis=1)


def test_far_targets_are_approached_and_unreachable_ones_do_no_harm(reach: MujocoSimulator) -> None:
    target_M = targets(np.array([[9.0, 0, 0], [-9.0, 0, 0], [0, 9, 9], [0, 0, -9], [2, -2, 1]]))
    for _ in range(15):
        reach.step(range(5), target_M)
        state = reach.state(range(5))
        assert np.isfinite(state.ee_pose_N).all()
        assert np.linalg.norm(state.ee_velocity_N, axis=1).max() < 3.0
    np.testing.assert_allclose(state.ee_pose_N[:, :3], clip_to_reach(target_M[:, :3]), atol=0.01)


def test_worlds_together_or_apart_are_bit_identical(reach: MujocoSimulator) -> None:
    rng = np.random.default_rng(1)
    target_TM = [random_targets(rng, NUM_WORLDS) for _ in range(3)]
    for target_M in target_TM:
        reach.step(WORLDS, target_M)
    together = reach.snapshot(WORLDS)
    reset(reach, WORLDS)
    for world in reversed(WORLDS):
        for target_M in target_TM:
            reach.step([world], target_M[world : world + 1])
    np.testing.assert_array_equal(reach.snapshot(WORLDS), together)


def test_the_number_of_threads_changes_nothing() -> None:
    ends = []
    for num_threads in (1, 2):
        with closing(MujocoSimulator(REACH, 4, num_threads=num_threads)) as sim:
            reset(sim, range(4))
            rng = np.random.default_rng(2)
            for _ in range(3):
                sim.step(range(4), random_targets(rng, 4))
            ends.append(sim.snapshot(range(4)))
    np.testing.assert_array_equal(ends[0], ends[1])


def test_no_worlds_at_all_is_fine(reach: MujocoSimulator) -> None:
    before = reach.snapshot(WORLDS)
    reach.reset([], [], [])
    reach.step([], np.zeros((0, 8)))
    assert reach.state([]).ee_pose_N.shape == (0, 7)
    reach.restore([], reach.snapshot([]))
    np.testing.assert_array_equal(reach.snapshot(WORLDS), before)


def test_other_worlds_stand_still(reach: MujocoSimulator) -> None:
    before = reach.snapshot(WORLDS)
    reach.step([1, 4], random_targets(np.random.default_rng(3), 2))
    after = reach.snapshot(WORLDS)
    changed = (before != after).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [1, 4]


def test_looking_does_not_change_what_follows(reach: MujocoSimulator) -> None:
    rng = np.random.default_rng(4)
    target_TM = [random_targets(rng, NUM_WORLDS) for _ in range(3)]
    for target_M in target_TM:
        reach.step(WORLDS, target_M)
    unseen = reach.snapshot(WORLDS)
    reset(reach, WORLDS)
    for target_M in target_TM:
        reach.state(WORLDS)
        reach.render(WORLDS)
        reach.step(WORLDS, target_M)
    np.testing.assert_array_equal(reach.snapshot(WORLDS), unseen)


def test_a_restored_snapshot_continues_bit_for_bit(cubes: MujocoSimulator) -> None:
    """Into other worlds, with their randomized masses, friction and looks."""
    grasp = targets(np.tile([0.55, 0.05, 0.02], (3, 1)), OPEN)
    cubes.step(range(3), grasp)
    middle = cubes.snapshot(range(3))
    cubes.step(range(3), grasp)
    end, images = cubes.snapshot(range(3)), cubes.render(range(3))
    cubes.reset(range(3), [CUBE_SCENE] * 3, [1, 2, 3])
    cubes.restore([2, 1, 0], middle)
    cubes.step(range(3), grasp)
    np.testing.assert_array_equal(cubes.snapshot([2, 1, 0]), end)
    np.testing.assert_array_equal(cubes.render([2, 1, 0]), images)


def test_equal_seeds_are_equal_worlds_and_others_differ(cubes: MujocoSimulator) -> None:
    images, states = cubes.render(range(3)), cubes.snapshot(range(3))
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(states[0], states[1])
    assert (images[0] != images[2]).mean() > 0.5
    assert (states[0] != states[2]).any()


def test_without_randomization_seeds_change_nothing(reach: MujocoSimulator) -> None:
    scene = REACH.sample(np.random.default_rng(0))
    reach.reset([0, 1], [scene, scene], [1, 2])
    images = reach.render([0, 1])
    np.testing.assert_array_equal(images[0], images[1])


def test_the_gripper_opens_closes_and_lifts_a_cube(cubes: MujocoSimulator) -> None:
    above, at = np.array([0.55, 0.05, 0.12]), np.array([0.55, 0.05, 0.02])
    assert cubes.state([0]).gripper_width_N == pytest.approx(OPEN, abs=1e-3)

    def go(position: np.ndarray, width: float, steps: int) -> None:
        for _ in range(steps):
            cubes.step(range(3), targets(np.tile(position, (3, 1)), width))

    go(above, OPEN, 3)
    go(at, OPEN, 3)
    go(at, CLOSED, 3)
    assert cubes.state(range(3)).gripper_width_N == pytest.approx(0.04, abs=2e-3), "the cube"
    go(above, CLOSED, 5)
    state = cubes.state(range(3))
    np.testing.assert_allclose(state.object_pose["cube"][:, 2], 0.12, atol=0.01)
    np.testing.assert_allclose(state.object_pose["puck"][:, 2], 0.015, atol=1e-3)
    go(above, OPEN, 3)
    assert cubes.state([0]).gripper_width_N == pytest.approx(OPEN, abs=1e-3)
    assert cubes.state(range(3)).object_pose["cube"][:, 2].max() < 0.1, "let go"


def test_the_scene_is_where_the_task_put_it(reach: MujocoSimulator) -> None:
    state = reach.state(WORLDS)
    for world in WORLDS:
        scene = REACH.sample(np.random.default_rng((0, world)))
        np.testing.assert_array_equal(
            state.object_pose["target"][world], scene.object_pose["target"]
        )
    np.testing.assert_array_equal(state.object_velocity["target"], 0.0)
    assert state.gripper_width_N == pytest.approx(0.0, abs=1e-6)


def test_a_world_that_diverges_is_named_and_the_others_go_on(
    reach: MujocoSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warning to a file there
    still = reach.snapshot(WORLDS)
    broken = still.copy()
    broken[2] = np.where(still[2] == 0.0, 1e12, still[2])
    reach.restore(WORLDS, broken)
    target_M = random_targets(np.random.default_rng(5), NUM_WORLDS)
    with pytest.raises(UnstableWorlds, match=r"worlds \[2\]") as caught:
        reach.step(WORLDS, target_M)
    assert caught.value.worlds.tolist() == [2]
    after = reach.snapshot(WORLDS)
    reach.restore(WORLDS, still)
    reach.step(WORLDS, target_M)
    others = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(reach.snapshot(others), after[others])


@pytest.mark.parametrize("control_hz", [5.0, 10.0, 20.0, 30.0, 250.0])
def test_a_control_step_takes_its_time(control_hz: float) -> None:
    """A ball in free fall is as fast as the time is long."""
    ball = SceneObject("ball", "sphere", (0.02,), (1.0, 0.0, 0.0, 1.0), mass=0.1)
    task = replace(REACH, objects=(ball,))
    height = np.array([0.5, 0.3, 0.5, 0.0, 0.0, 0.0, 1.0])
    with closing(MujocoSimulator(task, 1, control_hz=control_hz)) as sim:
        sim.reset([0], [InitialScene({"ball": height}, "")], [0])
        sim.step([0], targets(np.array([0.6, 0.0, 0.2])))
        speed = sim.state([0]).object_velocity["ball"][0, 2]
        assert speed == pytest.approx(-9.81 / control_hz, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_worlds": 0}, "num_worlds is 0"),
        ({"image_size": 4}, "image_size is 4"),
        ({"cameras": ("back",)}, "choose from: front, wrist"),
        ({"control_hz": 1000.0}, "control_hz is 1000"),
        ({"control_hz": 0.0}, "at most 250"),
        ({"robot": "ur5"}, "choose one of: primitive, menagerie"),
        ({"num_render_workers": -1}, "num_render_workers is -1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MujocoSimulator(REACH, **({"num_worlds": 1} | arguments))


def test_bad_calls_are_named(reach: MujocoSimulator) -> None:
    good = random_targets(np.random.default_rng(6), 1)
    for bad, message in [
        (np.full((1, 8), np.nan), "finite"),
        (np.zeros((1, 8)), "quaternion"),
        (good[:, :7], r"need \(1, 8\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            reach.step([0], bad)
    with pytest.raises(ValueError, match="choose from 0 to 5"):
        reach.step([6], good)
    with pytest.raises(ValueError, match="distinct"):
        reach.state([1, 1])
    with pytest.raises(ValueError, match="snapshot of shape"):
        reach.restore([0], np.zeros((1, 3)))
    with pytest.raises(ValueError, match="not finite"):
        reach.restore([0], np.full_like(reach.snapshot([0]), np.nan))
