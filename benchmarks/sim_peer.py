"""Control steps a second of another environment, in its own interpreter; see bench_sim.py.

    python sim_peer.py panda-gym|gymnasium-robotics IMAGE_SIZE SECONDS

IMAGE_SIZE 0: no images. Prints one number. Random actions at 25 Hz, reset after every 50
steps, the environment's own settings otherwise.
"""

from __future__ import annotations

import sys
import time

import gymnasium

EPISODE = 50


def make(peer: str, image_size: int) -> gymnasium.Env:
    if peer == "panda-gym":
        import panda_gym  # noqa: F401  (registers its environments)

        return gymnasium.make(
            "PandaPickAndPlace-v3",
            render_mode="rgb_array",
            renderer="Tiny",
            render_width=image_size or 16,
            render_height=image_size or 16,
        )
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    if image_size == 0:
        return gymnasium.make("FetchPickAndPlace-v4")
    return gymnasium.make(
        "FetchPickAndPlace-v4", render_mode="rgb_array", width=image_size, height=image_size
    )


def steps_per_second(env: gymnasium.Env, image_size: int, seconds: float) -> float:
    env.reset(seed=0)
    env.action_space.seed(0)
    steps, start = -EPISODE, time.perf_counter()  # the first episode warms up
    while steps <= 0 or time.perf_counter() - start < seconds:
        if steps % EPISODE == 0:
            env.reset()
        if steps == 0:
            start = time.perf_counter()
        env.step(env.action_space.sample())
        if image_size:
            env.render()
        steps += 1
    return steps / (time.perf_counter() - start)


if __name__ == "__main__":
    name, size, duration = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    print(steps_per_second(make(name, size), size, duration))
