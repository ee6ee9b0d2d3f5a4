"""Scenes give objects colours; worlds of one model differ in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rlrobo_core.tasks import make_task
from rlrobo_sim.mujoco import MujocoSimulator

RED, BLUE = (0.9, 0.1, 0.1, 1.0), (0.1, 0.1, 0.9, 1.0)
REACH = make_task("reach")
SCENE = REACH.sample(np.random.default_rng(3))


@pytest.fixture(params=[False, True], ids=["nominal", "randomized"])
def simulator(request):
    simulator = MujocoSimulator(
        REACH, 3, image_size=64, randomize=request.param, num_render_workers=0
    )
    yield simulator
    simulator.close()


def colored(rgba):
    return replace(SCENE, object_rgba={"target": rgba})


def redder_than_blue(image) -> bool:
    """Where the ball is, by its strongest pixel."""
    difference = image.astype(int)[..., 0] - image.astype(int)[..., 2]
    return difference.max() > -difference.min()


def test_each_world_has_its_own_colours_and_the_next_episode_new_ones(simulator):
    simulator.reset([0, 1, 2], [colored(RED), colored(BLUE), SCENE], [5, 5, 5])
    red, blue, green = simulator.render([0, 1, 2])[:, 0]
    assert redder_than_blue(red) and not redder_than_blue(blue)
    simulator.reset([0, 1], [SCENE, colored(RED)], [5, 5])
    np.testing.assert_array_equal(simulator.render([0, 1])[:, 0], [green, red])


def test_a_snapshot_carries_the_colours(simulator):
    simulator.reset([0, 1], [colored(RED), colored(BLUE)], [5, 6])
    red = simulator.render([0])
    simulator.restore([1], simulator.snapshot([0]))
    np.testing.assert_array_equal(simulator.render([1]), red)


def test_a_colour_for_nothing_names_what_there_is(simulator):
    with pytest.raises(ValueError, match=r"'cube'.*choose from: target"):
        simulator.reset([0], [replace(SCENE, object_rgba={"cube": RED})], [0])
