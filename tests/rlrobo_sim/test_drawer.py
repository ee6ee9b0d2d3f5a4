"""Open the drawer: how it moves, how far it counts as open, and that the expert opens it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from rlrobo_core.tasks import Drawer, InitialScene, SceneState, make_task
from rlrobo_core.types import HELD_OUT
from rlrobo_sim.demonstrations import collect
from rlrobo_sim.experts import expert_target
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.states import initial_scene, take

TASK = Drawer()
NUM_WORLDS = 20
WORLDS = range(NUM_WORLDS)
PULLING = 5
"""Control steps after which the expert has begun to pull in most scenes, and ended in none."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, NUM_WORLDS, image_size=64, num_render_workers=0)
    yield simulator
    simulator.close()


def start(simulator: MujocoSimulator, seed: int) -> list[InitialScene]:
    scenes, seeds = zip(*(initial_scene(TASK, seed, world) for world in WORLDS), strict=True)
    simulator.reset(WORLDS, scenes, seeds)
    return list(scenes)


def follow_expert(simulator: MujocoSimulator, steps: int) -> SceneState:
    for _ in range(steps):
        simulator.step(WORLDS, expert_target(TASK, simulator.state(WORLDS)))
    return simulator.state(WORLDS)


def opened_by(state: SceneState, distance: float | np.ndarray, name: str = "drawer") -> SceneState:
    """The state with that handle moved out of its closed place by `distance`."""
    pose_N = state.object_pose[f"{name}_closed"].copy()
    yaw_N = 2 * np.arctan2(pose_N[:, 5], pose_N[:, 6])
    pose_N[:, :2] -= distance * np.stack([np.cos(yaw_N), np.sin(yaw_N)], axis=1)
    return replace(state, object_pose=state.object_pose | {name: pose_N})


def test_every_drawer_starts_closed_where_the_scene_says(simulator):
    scenes = start(simulator, seed=1)
    state = simulator.state(WORLDS)
    for name in ("drawer", "distractor1"):
        expected_N = np.stack([scene.object_pose[name] for scene in scenes])
        np.testing.assert_allclose(state.object_pose[name], expected_N, atol=1e-9)
        np.testing.assert_allclose(TASK.opening(state, name), 0.0, atol=1e-9)
    assert not TASK.success(state).any()


def test_opening_is_the_way_along_the_slide(simulator):
    start(simulator, seed=2)
    state = simulator.state(WORLDS)
    for distance in (0.0, TASK.travel / 2, TASK.travel):
        np.testing.assert_allclose(TASK.opening(opened_by(state, distance)), distance, atol=1e-9)
        np.testing.assert_allclose(TASK.opening(opened_by(state, distance), "distractor1"), 0.0)


def test_success_begins_at_four_fifths_of_the_drawer_that_is_meant(simulator):
    start(simulator, seed=2)
    state = simulator.state(WORLDS)
    assert not TASK.success(opened_by(state, 0.79 * TASK.travel)).any()
    assert TASK.success(opened_by(state, 0.81 * TASK.travel)).all()
    assert not TASK.success(opened_by(state, TASK.travel, "distractor1")).any()


def test_the_drawer_stops_at_its_end_and_stays_where_it_is_let_go(simulator):
    start(simulator, seed=3)
    pulled = follow_expert(simulator, steps=PULLING)
    opening_N = TASK.opening(pulled)
    assert np.mean((opening_N > 0.02) & (opening_N < TASK.travel)) > 0.5, "in the middle of it"
    upwards_N = np.concatenate([pulled.ee_pose_N, np.full((NUM_WORLDS, 1), 0.08)], axis=1)
    simulator.step(WORLDS, upwards_N)
    let_go = simulator.state(WORLDS)
    for _ in range(3):
        upwards_N[:, 2] += 0.05
        simulator.step(WORLDS, upwards_N)
    rested = simulator.state(WORLDS)
    np.testing.assert_allclose(TASK.opening(rested), TASK.opening(let_go), atol=0.005)
    np.testing.assert_allclose(rested.object_velocity["drawer"], 0.0, atol=1e-3)
    open_N = follow_expert(simulator, steps=15)
    assert TASK.opening(open_N).max() < TASK.travel + 0.006, "the stop gives a little"
    assert TASK.opening(open_N).min() > -0.001


def test_nothing_but_the_drawer_moves_and_only_along_its_slide(simulator):
    scenes = start(simulator, seed=4)
    state = follow_expert(simulator, steps=8)
    straight = opened_by(state, TASK.opening(state)[:, None])
    np.testing.assert_allclose(
        state.object_pose["drawer"], straight.object_pose["drawer"], atol=1e-9
    )
    np.testing.assert_allclose(TASK.opening(state, "distractor1"), 0.0, atol=1e-3)
    closed_N = np.stack([scene.object_pose["drawer"] for scene in scenes])
    np.testing.assert_allclose(state.object_pose["drawer_closed"], closed_N, atol=1e-9)


def test_a_snapshot_from_the_middle_of_pulling_continues_bit_for_bit(simulator):
    """Into other worlds, whose cabinets stood elsewhere and had other colours."""
    start(simulator, seed=5)
    follow_expert(simulator, PULLING)
    middle = simulator.snapshot(WORLDS)
    end_state = follow_expert(simulator, 2)
    end, images = simulator.snapshot(WORLDS), simulator.render(WORLDS)
    start(simulator, seed=6)
    turned = list(reversed(WORLDS))
    simulator.restore(turned, middle)
    restored = follow_expert(simulator, 2)
    np.testing.assert_array_equal(simulator.snapshot(turned), end)
    np.testing.assert_array_equal(simulator.render(turned), images)
    for name, pose_N in end_state.object_pose.items():
        np.testing.assert_array_equal(take(restored, turned).object_pose[name], pose_N)


def test_the_expert_opens_the_drawer_and_with_noise_as_well(simulator):
    for noise, seed in ((0.0, HELD_OUT), (0.3, HELD_OUT + 1)):
        solved = collect(simulator, TASK, episodes=40, seed=seed, noise=noise).success_E
        assert solved.mean() >= (0.98 if noise == 0.0 else 0.9)


@pytest.mark.parametrize("distractors", [0, 3])
def test_the_expert_does_not_mind_how_much_else_there_is(distractors):
    task = replace(TASK, distractors=distractors, max_yaw=0.0)
    with closing(
        MujocoSimulator(task, NUM_WORLDS, image_size=16, num_render_workers=0)
    ) as simulator:
        solved = collect(simulator, task, episodes=NUM_WORLDS, seed=7, noise=0.0).success_E
        assert solved.all()
        assert len(simulator.state([0]).object_velocity) == 1 + distractors


def test_cubes_on_the_cabinets_are_in_nobodys_way():
    task = replace(TASK, distractors=3)
    with closing(MujocoSimulator(task, 8, image_size=16, num_render_workers=0)) as simulator:
        scenes = [task.sample(np.random.default_rng((10, world))) for world in range(8)]
        simulator.reset(range(8), scenes, [0] * 8)
        for _ in range(6):
            simulator.step(range(8), expert_target(task, simulator.state(range(8))))
        for name in ("distractor2", "distractor3"):
            started_N = np.stack([scene.object_pose[name] for scene in scenes])
            ended_N = simulator.state(range(8)).object_pose[name]
            np.testing.assert_allclose(ended_N[:, :3], started_N[:, :3], atol=1e-3)


def test_rewards_add_up_to_what_was_gained(simulator):
    start(simulator, seed=8)
    first = before = simulator.state(WORLDS)
    totals = {"approach": np.zeros(NUM_WORLDS), "opening": np.zeros(NUM_WORLDS)}
    for _ in range(PULLING):
        after = follow_expert(simulator, 1)
        terms = TASK.reward_terms(before, after)
        assert set(terms) == set(TASK.reward_weights)
        for name in totals:
            totals[name] += terms[name]
        before = after
    np.testing.assert_allclose(totals["opening"], TASK.opening(before), atol=1e-9)
    gained_N = TASK.distance(first) - TASK.distance(before)
    np.testing.assert_allclose(totals["approach"], gained_N, atol=1e-9)
    assert np.median(totals["opening"]) > 0.02 and (totals["approach"] > 0.0).all()


def test_the_front_camera_sees_the_colour_that_the_words_name(simulator):
    """More of the drawer that is meant when it is open, in every scene."""
    task = replace(TASK, palette=("red", "blue"))
    scenes = [task.sample(np.random.default_rng((9, world))) for world in WORLDS]
    simulator.reset(WORLDS, scenes, [0] * NUM_WORLDS)
    closed_pixels_N = named_pixels(simulator.render(WORLDS)[:, 0], scenes)
    follow_expert(simulator, steps=8)
    open_pixels_N = named_pixels(simulator.render(WORLDS)[:, 0], scenes)
    assert closed_pixels_N.min() >= 8
    assert np.mean(open_pixels_N > closed_pixels_N) > 0.9


def named_pixels(images_N: np.ndarray, scenes: list[InitialScene]) -> np.ndarray:
    """i64[N], pixels of the colour that the instruction names: red or blue."""
    red_NHW, _, blue_NHW = np.moveaxis(images_N.astype(int), -1, 0)
    is_red_N = np.array(["red" in scene.instruction for scene in scenes])
    difference_NHW = np.where(is_red_N[:, None, None], red_NHW - blue_NHW, blue_NHW - red_NHW)
    return (difference_NHW > 50).sum((1, 2))


def test_scenes_are_a_function_of_the_seed_and_the_words_name_the_drawer():
    names = set()
    for seed in range(50):
        scene = TASK.sample(np.random.default_rng(seed))
        again = TASK.sample(np.random.default_rng(seed))
        assert scene.instruction == again.instruction
        np.testing.assert_array_equal(scene.object_pose["drawer"], again.object_pose["drawer"])
        assert scene.object_rgba["drawer"] != scene.object_rgba["distractor1"]
        apart = scene.object_pose["drawer"] - scene.object_pose["distractor1"]
        assert np.linalg.norm(apart) == pytest.approx(0.14)
        names.add((scene.instruction, bool(apart[0] > 0)))
    assert {side for _, side in names} == {True, False}, "the meant drawer is on either side"
    assert len({words for words, _ in names}) > 12


def test_held_out_colours_and_phrasings_are_new():
    assert not set(TASK.palette) & set(TASK.held_out_palette)
    assert not set(TASK.instructions) & set(TASK.held_out_instructions)
    shifted = replace(
        TASK, palette=TASK.held_out_palette, instructions=TASK.held_out_instructions
    ).sample(np.random.default_rng(0))
    assert any(color in shifted.instruction for color in TASK.held_out_palette)


def test_what_there_is_not_is_named():
    with pytest.raises(ValueError, match="panda_gym has no drawer"):
        make_task("drawer", "panda_gym")
    with pytest.raises(ValueError, match="distractors is 4"):
        replace(TASK, distractors=4)
    with pytest.raises(ValueError, match="different colours"):
        replace(TASK, palette=("red",))
