"""Gymnasium's own conformance checks, and that the batch is the single environment N times."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import rlrobo_sim.gym
from rlrobo_core.tasks import TASKS

pytestmark = pytest.mark.filterwarnings("ignore:.*Box.*:UserWarning")


@pytest.mark.parametrize("task", TASKS)
def test_the_environment_conforms(task):
    name = rlrobo_sim.gym.environment_id(task)
    env = gymnasium.make(name, render_mode="rgb_array", image_size=28)
    try:
        check_env(env.unwrapped)
    finally:
        env.close()


def test_a_vector_environment_equals_single_ones():
    envs = gymnasium.make_vec("rlrobo/Reach-v0", num_envs=3, image_size=28)
    env = gymnasium.make("rlrobo/Reach-v0", image_size=28)
    try:
        actions = np.random.default_rng(0).uniform(-1, 1, (14, 3, 3)).astype(np.float32)
        several = [envs.reset(seed=4)[0], *(envs.step(a)[0] for a in actions[:5])]
        for n in range(3):
            alone = [env.reset(seed=4 + n)[0], *(env.step(a)[0] for a in actions[:5, n])]
            for many, one in zip(several, alone, strict=True):
                for key, value in one.items():
                    assert np.array_equal(many[key][n], value), key
    finally:
        envs.close()
        env.close()


def test_an_episode_that_is_over_starts_anew_on_the_next_step():
    envs = gymnasium.make_vec("rlrobo/Reach-v0", num_envs=2, image_size=28)
    try:
        envs.reset(seed=1)
        up = np.tile(np.array([-1.0, 0.0, 1.0], dtype=np.float32), (2, 1))
        truncated = [envs.step(up)[3] for _ in range(12)]
        assert not np.any(truncated[:-1]) and np.all(truncated[-1])
        _, rewards, terminated, truncated, _ = envs.step(up)
        assert not rewards.any() and not terminated.any() and not truncated.any()
        assert envs.step(up)[1].all()
    finally:
        envs.close()
