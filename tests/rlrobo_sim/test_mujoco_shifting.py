"""Shifted scenes on real MuJoCo: seen, felt, and beyond what randomization ever draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from rlrobo_core.codec import TOOL_DOWN
from rlrobo_core.shifts import SHIFTS, SceneShift
from rlrobo_core.tasks import InitialScene, Reach, SceneObject
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.mujoco.randomization import Ranges

CUBE = SceneObject("cube", "box", (0.02, 0.02, 0.02), (0.8, 0.1, 0.1, 1.0), mass=0.06)


@dataclass(frozen=True)
class WithCube(Reach):
    objects: tuple[SceneObject, ...] = (CUBE,)


SCENE = InitialScene({"cube": np.array([0.6, 0.0, 0.02, 0, 0, 0, 1.0])}, "")


def make(shift: SceneShift, randomize: bool = False) -> MujocoSimulator:
    return MujocoSimulator(
        WithCube(),
        num_worlds=1,
        image_size=56,
        cameras=("front", "wrist"),
        randomize=randomize,
        num_render_workers=0,
        num_threads=1,
        shift=shift,
    )


def picture(shift: SceneShift, randomize: bool = False) -> NDArray[np.int64]:
    """i64[C, H, W, 3]"""
    simulator = make(shift, randomize)
    simulator.reset([0], [SCENE], [4])
    image_C = simulator.render([0])[0].astype(np.int64)
    simulator.close()
    return image_C


@pytest.mark.parametrize("shift", ["camera", "lights"])
@pytest.mark.parametrize("randomize", [False, True])
def test_every_camera_sees_the_shift(shift: str, randomize: bool) -> None:
    usual_C, shifted_C = picture(SceneShift(), randomize), picture(SHIFTS[shift].scene, randomize)
    assert (np.abs(usual_C - shifted_C).mean(axis=(1, 2, 3)) > 2.0).all()


def test_less_light_is_darker_and_a_heavier_cube_looks_the_same() -> None:
    usual = picture(SceneShift())
    assert picture(SceneShift(light_intensity=0.5)).mean() < 0.9 * usual.mean()
    np.testing.assert_array_equal(picture(SHIFTS["mass"].scene), usual)


def test_a_moved_camera_still_sees_the_cube() -> None:
    front = picture(SHIFTS["camera"].scene)[0]
    rows, columns = np.nonzero(front[..., 0] - front[..., 1] > 60)
    assert len(rows) > 10
    assert (np.array([rows.mean(), columns.mean()]) > 8).all()
    assert (np.array([rows.mean(), columns.mean()]) < 48).all()


def test_a_heavier_cube_weighs_more() -> None:
    simulator = make(SHIFTS["mass"].scene)
    model = simulator._scene.model
    usual = make(SceneShift())
    nominal = usual._scene.model
    cube = model.body("cube").id
    assert model.body_mass[cube] == pytest.approx(3 * nominal.body_mass[cube])
    np.testing.assert_allclose(model.body_inertia[cube], 3 * nominal.body_inertia[cube])
    others = np.arange(model.nbody) != cube
    np.testing.assert_array_equal(model.body_mass[others], nominal.body_mass[others])
    for each in (simulator, usual):
        each.close()


def test_the_arm_moves_as_it_does_without_the_shift() -> None:
    target = np.array([[0.5, 0.1, 0.3, *TOOL_DOWN, 0.0]])
    poses = []
    for shift in (SceneShift(), SHIFTS["camera"].scene, SHIFTS["lights"].scene):
        simulator = make(shift)
        simulator.reset([0], [SCENE], [0])
        simulator.step([0], target)
        poses.append(simulator.state([0]).ee_pose_N)
        simulator.close()
    np.testing.assert_array_equal(poses[0], poses[1])
    np.testing.assert_array_equal(poses[0], poses[2])


def test_the_shifts_lie_outside_of_what_is_randomized() -> None:
    ranges, camera, lights = Ranges(), SHIFTS["camera"].scene, SHIFTS["lights"].scene
    assert np.abs(camera.camera_offset[:2]).min() > ranges.camera_position
    assert np.abs(camera.camera_rotation).min() > ranges.camera_rotation
    assert np.abs(lights.light_direction[:2]).min() > ranges.light_direction
    assert 1.0 - lights.light_intensity > ranges.light_color
    assert SHIFTS["mass"].scene.mass - 1.0 > ranges.mass
