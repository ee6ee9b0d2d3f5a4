"""Sampling, training and the stock model agree about every action's probability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LogitsProcessor, LogitsProcessorList, Qwen2_5_VLForConditionalGeneration

from rlrobo_policy.inputs import PromptEncoder, PromptInputs
from rlrobo_policy.tiny import save_tiny
from rlrobo_policy.tree import action_logits, choose, log_softmax, sample_actions
from rlrobo_policy.vlm import Vlm, load_vlm
from rlrobo_policy.vocabulary import new_token_ids

TEXTS = ("reach the green ball", "pick up the red cube and place it", "stay", "where is it ?")
SYMBOLS, TOKENS = 17, 3


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"), seed=1)


@pytest.fixture(scope="module")
def vlm(checkpoint: Path) -> Vlm:
    torch.set_num_threads(1)
    return load_vlm(str(checkpoint))


@pytest.fixture(scope="module")
def token_V(vlm: Vlm) -> torch.Tensor:
    return new_token_ids(vlm, 64, SYMBOLS)


def encode(vlm: Vlm, side: str = "right", cameras: int = 1) -> PromptInputs:
    images = np.random.default_rng(0).integers(0, 255, (4, cameras, 112, 112, 3), dtype=np.uint8)
    return PromptEncoder(vlm, side)(images, TEXTS)  # pyright: ignore[reportArgumentType]


def uniform(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((4, samples, TOKENS)))


def logprobs(logits: torch.Tensor, index: torch.Tensor, temperature: float) -> torch.Tensor:
    return log_softmax(logits, temperature).gather(-1, index[..., None])[..., 0]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("samples", [1, 8])
@pytest.mark.parametrize("temperature", [1.0, 1.6])
def test_behaviour_logprobs_are_the_trainers(
    vlm: Vlm, token_V: torch.Tensor, side: str, samples: int, temperature: float
) -> None:
    inputs = encode(vlm, side)
    index, behaviour = sample_actions(vlm.model, inputs, token_V, uniform(samples), temperature)
    with torch.no_grad():
        logits = action_logits(vlm.model, inputs, index, token_V)
    assert (logprobs(logits, index, temperature) - behaviour).abs().max() < 1e-5


def test_an_action_of_one_token_needs_no_tree(vlm: Vlm, token_V: torch.Tensor) -> None:
    inputs = encode(vlm)
    index, behaviour = sample_actions(vlm.model, inputs, token_V, uniform(8)[..., :1], 1.0)
    with torch.no_grad():
        logits = action_logits(vlm.model, inputs, index, token_V)
    assert logits.shape == (4, 8, 1, SYMBOLS)
    assert (logprobs(logits, index, 1.0) - behaviour).abs().max() < 1e-5


@pytest.mark.parametrize("cameras", [1, 2])
def test_padding_side_changes_nothing(vlm: Vlm, token_V: torch.Tensor, cameras: int) -> None:
    index = torch.randint(SYMBOLS, (4, 2, TOKENS), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        left = action_logits(vlm.model, encode(vlm, "left", cameras), index, token_V)
        right = action_logits(vlm.model, encode(vlm, "right", cameras), index, token_V)
    assert (left - right).abs().max() < 1e-4


def test_shared_prompt_equals_the_stock_model_one_by_one(
    vlm: Vlm, checkpoint: Path, token_V: torch.Tensor
) -> None:
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    inputs = encode(vlm)
    index, behaviour = sample_actions(vlm.model, inputs, token_V, uniform(3), 1.0)
    patches = len(inputs.pixel_QD) // 4
    for n in range(4):
        prompt = inputs.token_NP[n, inputs.mask_NP[n]]
        for s in range(3):
            ids = torch.cat([prompt, token_V[index[n, s]]])[None]
            with torch.no_grad():
                logits = stock(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    pixel_values=inputs.pixel_QD[n * patches : (n + 1) * patches],
                    image_grid_thw=inputs.grid_I3[n : n + 1],
                    mm_token_type_ids=(ids == stock.config.image_token_id).int(),
                ).logits[0, len(prompt) - 1 : -1]
            alone = log_softmax(logits[:, token_V], 1.0).gather(-1, index[n, s][:, None])[:, 0]
            assert (alone - behaviour[n, s]).abs().max() < 2e-5


class OnlyActions(LogitsProcessor):
    def __init__(self, token_V: torch.Tensor):
        self.token_V = token_V

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        allowed = torch.full_like(scores, -torch.inf)
        allowed[:, self.token_V] = scores[:, self.token_V]
        return allowed


def test_greedy_equals_generate(vlm: Vlm, checkpoint: Path, token_V: torch.Tensor) -> None:
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    inputs = encode(vlm, "left")
    index, _ = sample_actions(vlm.model, inputs, token_V, uniform(1), temperature=0.0)
    generated = stock.generate(
        input_ids=inputs.token_NP,
        attention_mask=inputs.mask_NP.long(),
        pixel_values=inputs.pixel_QD,
        image_grid_thw=inputs.grid_I3,
        mm_token_type_ids=(inputs.token_NP == stock.config.image_token_id).int(),
        logits_processor=LogitsProcessorList([OnlyActions(token_V)]),
        max_new_tokens=TOKENS,
        do_sample=False,
    )
    assert torch.equal(generated[:, inputs.token_NP.shape[1] :], token_V[index[:, 0]])


def test_sampling_follows_the_probabilities() -> None:
    logprob = torch.log_softmax(torch.tensor([0.0, 1.0, -1.0, 0.5]), -1)
    n = 20000
    u = (torch.arange(n) + 0.5) / n
    chosen = choose(logprob.expand(1, n, 4), u[None], temperature=1.0)
    frequency = torch.bincount(chosen[0], minlength=4) / n
    assert (frequency - logprob.exp()).abs().max() < 1e-3


def test_samples_are_a_function_of_their_uniforms(vlm: Vlm, token_V: torch.Tensor) -> None:
    inputs = encode(vlm)
    many, _ = sample_actions(vlm.model, inputs, token_V, uniform(8), 1.0)
    few, _ = sample_actions(vlm.model, inputs, token_V, uniform(8)[:, 2:4], 1.0)
    assert torch.equal(many[:, 2:4], few)


def test_gradients_reach_image_and_words(vlm: Vlm, token_V: torch.Tensor) -> None:
    index = torch.zeros(4, 2, TOKENS, dtype=torch.long)
    action_logits(vlm.model, encode(vlm), index, token_V).sum().backward()
    visual = vlm.model.model.visual.patch_embed.proj.weight.grad
    words = vlm.model.get_input_embeddings().weight.grad
    assert visual is not None
    assert words is not None
    assert visual.abs().max() > 0
    assert words.abs().max() > 0
    vlm.model.zero_grad()
