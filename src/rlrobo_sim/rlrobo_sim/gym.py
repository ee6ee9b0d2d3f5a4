"""The tasks as Gymnasium environments, for use without rlrobo's policy, trainer or ROS.

    import gymnasium, rlrobo_sim.gym
    env = gymnasium.make("rlrobo/Reach-v0", render_mode="rgb_array")
    envs = gymnasium.make_vec("rlrobo/Reach-v0", num_envs=16)

Actions are normalised (`rlrobo_core.codec`). Success terminates, the task's step limit
truncates, and `info["is_success"]` says which.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import TASKS, Task, make_task
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.outcomes import merge_weights, weigh
from rlrobo_sim.simulator import WorldIds

Info = dict[str, Any]


class Scenes:
    """N scenes of a task with Gymnasium's spaces, each reset and stepped by its index.

    Observations: `image_<camera>` u8[H, W, 3], `ee_pose` f32[7] (base frame), `gripper_width`
    f32[1] [m] and the `instruction` in words.
    """

    def __init__(self, task: str, num_worlds: int, **simulator_options: Any) -> None:
        self.task: Task = make_task(task)
        self.weights = merge_weights(self.task, {})
        self.simulator = MujocoSimulator(self.task, num_worlds, **simulator_options)
        self.instructions = [""] * num_worlds
        self.step_N = np.zeros(num_worlds, dtype=np.int64)
        self.observation_space, self.action_space = self._spaces()

    def _spaces(self) -> tuple[spaces.Dict, spaces.Box]:
        size = self.simulator.image_size
        observation: dict[str, spaces.Space[Any]] = {
            f"image_{camera}": spaces.Box(0, 255, (size, size, 3), np.uint8)
            for camera in self.simulator.cameras
        }
        observation["ee_pose"] = spaces.Box(-np.inf, np.inf, (7,), np.float32)
        observation["gripper_width"] = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        observation["instruction"] = spaces.Text(256, charset=string.printable)
        action = spaces.Box(-1.0, 1.0, (len(self.task.action_dims),), np.float32)
        return spaces.Dict(observation), action

    def reset(self, worlds: WorldIds, rngs: Sequence[np.random.Generator]) -> None:
        scenes = [self.task.sample(rng) for rng in rngs]
        self.simulator.reset(worlds, scenes, [int(rng.integers(2**63)) for rng in rngs])
        self.step_N[worlds] = 0
        for world, scene in zip(worlds, scenes, strict=True):
            self.instructions[world] = scene.instruction

    def step(
        self, worlds: WorldIds, action_MD: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
        """reward_M, terminated_M, truncated_M."""
        before = self.simulator.state(worlds)
        self.simulator.step(worlds, end_effector_target(self.task, before.ee_pose_N, action_MD))
        after = self.simulator.state(worlds)
        self.step_N[worlds] += 1
        reward_M, _ = weigh(self.task, self.weights, before, after)
        success_M = self.task.success(after)
        return reward_M, success_M, ~success_M & (self.step_N[worlds] >= self.task.max_steps)

    def observe(self) -> dict[str, Any]:
        """Of all worlds, batched."""
        worlds = range(self.simulator.num_worlds)
        state = self.simulator.state(worlds)
        image_NC = self.simulator.render(worlds)
        images = {f"image_{name}": image_NC[:, c] for c, name in enumerate(self.simulator.cameras)}
        return images | {
            "ee_pose": state.ee_pose_N.astype(np.float32),
            "gripper_width": state.gripper_width_N[:, None].astype(np.float32),
            "instruction": tuple(self.instructions),
        }


class RlroboEnv(gymnasium.Env[Any, Any]):
    """One scene. `simulator_options` go to `MujocoSimulator` (image_size, cameras, …)."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, task: str, render_mode: str | None = None, **simulator_options: Any):
        self.scenes = Scenes(task, 1, **simulator_options)
        self.observation_space = self.scenes.observation_space
        self.action_space = self.scenes.action_space
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], Info]:
        super().reset(seed=seed)
        self.scenes.reset([0], [self.np_random])
        return self._observe(), {"is_success": False}

    def step(self, action: NDArray[np.float32]) -> tuple[dict[str, Any], float, bool, bool, Info]:
        reward, terminated, truncated = self.scenes.step([0], np.asarray(action)[None])
        info = {"is_success": bool(terminated[0])}
        return self._observe(), float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> NDArray[np.uint8] | None:
        """u8[H, W, 3], the first camera's view, if the render mode is rgb_array."""
        return self.scenes.simulator.render([0])[0, 0] if self.render_mode else None

    def close(self) -> None:
        self.scenes.simulator.close()

    def _observe(self) -> dict[str, Any]:
        return {name: values[0] for name, values in self.scenes.observe().items()}


class RlroboVectorEnv(VectorEnv[Any, Any, Any]):
    """N scenes stepped together. Autoreset mode NEXT_STEP: the step after an episode's last
    one ignores that scene's action, resets it and returns reward 0."""

    metadata = {
        "render_modes": ["rgb_array"],
        "render_fps": 10,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self, task: str, num_envs: int = 1, render_mode: str | None = None, **simulator_options: Any
    ):
        self.num_envs = num_envs
        self.scenes = Scenes(task, num_envs, **simulator_options)
        self.single_observation_space = self.scenes.observation_space
        self.single_action_space = self.scenes.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = render_mode
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]
        self._over_N = np.zeros(num_envs, dtype=bool)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], Info]:
        """World n is seeded with `seed + n`, or with `seed[n]`."""
        seeds = [seed + n for n in range(self.num_envs)] if isinstance(seed, int) else seed
        for n, world_seed in enumerate(seeds or []):
            if world_seed is not None:
                self._rngs[n] = np.random.default_rng(world_seed)
        self.scenes.reset(range(self.num_envs), self._rngs)
        self._over_N[:] = False
        return self.scenes.observe(), {"is_success": np.zeros(self.num_envs, dtype=bool)}

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[dict[str, Any], NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        reward_N = np.zeros(self.num_envs)
        terminated_N, truncated_N = np.zeros((2, self.num_envs), dtype=bool)
        going, over = np.flatnonzero(~self._over_N), np.flatnonzero(self._over_N)
        if len(going):
            results = self.scenes.step(going, actions[going])
            reward_N[going], terminated_N[going], truncated_N[going] = results
        if len(over):
            self.scenes.reset(over, [self._rngs[n] for n in over])
        self._over_N = terminated_N | truncated_N
        info = {"is_success": terminated_N.copy()}
        return self.scenes.observe(), reward_N, terminated_N, truncated_N, info

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        if self.render_mode is None:
            return None
        return tuple(self.scenes.simulator.render(range(self.num_envs))[:, 0])

    def close_extras(self, **kwargs: Any) -> None:
        self.scenes.simulator.close()


def environment_id(task: str) -> str:
    """`rlrobo/PickAndPlace-v0` of `pick_and_place`."""
    return f"rlrobo/{task.title().replace('_', '')}-v0"


for _task in TASKS:
    gymnasium.register(
        environment_id(_task),
        entry_point="rlrobo_sim.gym:RlroboEnv",
        vector_entry_point="rlrobo_sim.gym:RlroboVectorEnv",
        kwargs={"task": _task},
    )
