"""Which cube the shipped policy goes to is in the words alone."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import torch

from rlrobo_core.codec import end_effector_target
from rlrobo_core.tasks import PickAndPlace
from rlrobo_core.types import HELD_OUT
from rlrobo_policy.policy import VlmPolicy, load_policy, shipped_checkpoint
from rlrobo_policy.tree import sample_actions
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.otherwise import other_instruction, other_roles
from rlrobo_sim.states import initial_scene

TASK = PickAndPlace()
SCENES, STEPS = 24, 5
"""Five steps of 5 cm lead from the start over any cube."""


@pytest.fixture(scope="module")
def policy() -> VlmPolicy:
    torch.set_num_threads(1)
    shipped = str(shipped_checkpoint([TASK.name]))
    return load_policy(shipped, TASK, cameras=TASK.cameras, proprioception=True)


def test_with_other_words_the_same_scene_ends_over_the_other_cube(policy: VlmPolicy) -> None:
    scenes, seeds = zip(*(initial_scene(TASK, HELD_OUT, i) for i in range(SCENES)), strict=True)
    worlds = range(SCENES)
    (roles,) = other_roles(TASK)
    words = {
        "cube": tuple(scene.instruction for scene in scenes),
        "distractor1": tuple(other_instruction(scene, roles) for scene in scenes),
    }
    right = []
    with closing(MujocoSimulator(TASK, SCENES, image_size=112, cameras=TASK.cameras)) as simulator:
        for named, other in roles.items():
            simulator.reset(worlds, scenes, seeds)
            for _ in range(STEPS):
                state = simulator.state(worlds)
                prompts = policy.prompts(
                    words[named],
                    state.ee_pose_N.astype(np.float32),
                    state.gripper_width_N.astype(np.float32),
                )
                action_ND = greedy(policy, simulator.render(worlds), prompts)
                simulator.step(worlds, end_effector_target(TASK, state.ee_pose_N, action_ND))
            tool_N2 = simulator.state(worlds).ee_pose_N[:, :2]
            to_named_N, to_other_N = (
                np.linalg.norm(tool_N2 - np.stack([s.object_pose[it][:2] for s in scenes]), axis=-1)
                for it in (named, other)
            )
            right.append(to_named_N < to_other_N)
    assert np.mean(right) >= 0.9, f"{np.mean(right):.0%} ended nearer to the cube that was named"


def greedy(policy: VlmPolicy, image_NC: np.ndarray, prompts: tuple[str, ...]) -> np.ndarray:
    uniform = torch.zeros(len(prompts), 1, policy.codec.num_tokens)
    inputs = policy.encode_prompts(image_NC, prompts)
    index_N1T, _ = sample_actions(policy.vlm.model, inputs, policy.token_V, uniform, 0.0)
    return policy.codec.decode(index_N1T[:, 0].numpy())
