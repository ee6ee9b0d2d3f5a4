"""A prompt is answered the same whoever stands beside it in the batch: the shipped model, real
images, words of different lengths."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch

from rlrobo_core.tasks import Reach
from rlrobo_policy.inputs import PromptEncoder
from rlrobo_policy.policy import VlmPolicy, load_policy, shipped_checkpoint
from rlrobo_policy.tree import action_logits, log_softmax, sample_actions
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.states import initial_scene

MOST = 64
WORDS = (
    "reach the green ball",
    "stay",
    "pick up the red cube and place it on the blue one",
    "up ?",
)


class Asked(NamedTuple):
    image_NC: np.ndarray
    texts: tuple[str, ...]
    uniform_NST: torch.Tensor


class Answers(NamedTuple):
    index_NST: torch.Tensor
    logprob_NST: torch.Tensor


@pytest.fixture(scope="module")
def policy() -> VlmPolicy:
    torch.set_num_threads(1)
    return load_policy(str(shipped_checkpoint(["reach"])), Reach())


@pytest.fixture(scope="module")
def asked() -> Asked:
    task = Reach()
    simulator = MujocoSimulator(task, MOST, image_size=112, num_render_workers=0)
    try:
        drawn = [initial_scene(task, 0, group) for group in range(MOST)]
        simulator.reset(np.arange(MOST), [scene for scene, _ in drawn], [seed for _, seed in drawn])
        image_NC = simulator.render(np.arange(MOST))
    finally:
        simulator.close()
    texts = tuple(f"{WORDS[n % len(WORDS)]}{' now' * (n % 5)}" for n in range(MOST))
    uniform_NST = torch.from_numpy(np.random.default_rng(0).random((MOST, 1, 3)))
    return Asked(image_NC, texts, uniform_NST)


def decode(
    policy: VlmPolicy, asked: Asked, rows: slice, temperature: float, side: str = "right"
) -> Answers:
    encode = PromptEncoder(policy.vlm, side)  # pyright: ignore[reportArgumentType]
    inputs = encode(asked.image_NC[rows], asked.texts[rows])
    uniform = asked.uniform_NST[rows]
    return Answers(*sample_actions(policy.vlm.model, inputs, policy.token_V, uniform, temperature))


@pytest.fixture(scope="module", params=[0.0, 1.0], ids=["greedy", "sampled"])
def alone(request: pytest.FixtureRequest, policy: VlmPolicy, asked: Asked) -> tuple[float, Answers]:
    """Every prompt decoded by itself, without any padding."""
    each = [decode(policy, asked, slice(n, n + 1), request.param) for n in range(MOST)]
    return request.param, Answers(*map(torch.cat, zip(*each, strict=True)))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("count", [1, 7, MOST])
def test_a_batch_says_what_its_prompts_say_alone(policy, asked, alone, count, side) -> None:
    temperature, expected = alone
    for first in range(0, MOST - count + 1, max(count, 16)):
        rows = slice(first, first + count)
        found = decode(policy, asked, rows, temperature, side)
        assert torch.equal(found.index_NST, expected.index_NST[rows])
        assert (found.logprob_NST - expected.logprob_NST[rows]).abs().max() < 1e-5
    assert len(set(map(len, asked.texts[:7]))) > 3  # so that there is padding


def test_training_reads_a_batch_as_its_prompts_alone(policy, asked, alone) -> None:
    temperature, expected = alone
    inputs = policy.encode_prompts(asked.image_NC, asked.texts)
    assert not inputs.mask_NP.all()
    with torch.no_grad():
        logits = action_logits(policy.vlm.model, inputs, expected.index_NST, policy.token_V)
    logprob = log_softmax(logits, temperature).gather(-1, expected.index_NST[..., None])[..., 0]
    assert (logprob - expected.logprob_NST).abs().max() < 1e-5
