"""The shortcuts through the vision tower change nothing but the time."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from rlrobo_policy.fast_vision import use_fast_vision

VISION = {
    "depth": 3,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "patch_size": 14,
    "out_hidden_size": 48,
    "window_size": 56,  # 2x2 merged tokens: images below are cut into windows
    "fullatt_block_indexes": [2],
}
TEXT = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 4, 4]},
}


@pytest.fixture
def twins(tmp_path: Path) -> list[Qwen2_5_VLForConditionalGeneration]:
    """The stock model and the fast one, of the same weights."""
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config=TEXT,
        vision_config=VISION,
        image_token_id=60,
        video_token_id=61,
        vision_start_token_id=62,
        vision_end_token_id=63,
    )
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(tmp_path)
    models = [
        Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32)
        for _ in range(2)
    ]
    use_fast_vision(models[1])
    return models


@pytest.mark.parametrize(
    "grids",
    [[(1, 8, 8)] * 5, [(1, 6, 10)] * 2, [(1, 8, 8), (1, 4, 12)], [(1, 4, 4)]],
    ids=["equal", "not square", "different", "one"],
)
def test_equal_to_the_stock_tower_gradients_too(
    twins: list[Qwen2_5_VLForConditionalGeneration], grids: list[tuple[int, int, int]]
) -> None:
    count = sum(int(np.prod(grid)) for grid in grids)
    pixels = torch.randn(count, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(1))
    outputs, gradients = [], []
    for model in twins:
        visual = model.model.visual
        output = visual(pixels, grid_thw=torch.tensor(grids)).pooler_output
        output.square().sum().backward()
        outputs.append(output.detach())
        gradients.append(visual.patch_embed.proj.weight.grad.clone())
        visual.zero_grad()
    assert (outputs[0] - outputs[1]).abs().max() < 1e-5
    assert (gradients[0] - gradients[1]).abs().max() < 1e-4 * gradients[0].abs().max()


def test_a_copy_runs_on_its_own_weights(twins: list[Qwen2_5_VLForConditionalGeneration]) -> None:
    visual = copy.deepcopy(twins[1]).model.visual
    pixels = torch.randn(64, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(1))
    grid = torch.tensor([(1, 8, 8)])
    with torch.no_grad():
        before = visual(pixels, grid_thw=grid).pooler_output
        for parameter in twins[1].parameters():
            parameter.zero_()
        assert torch.equal(visual(pixels, grid_thw=grid).pooler_output, before)
        assert not twins[1].model.visual(pixels, grid_thw=grid).pooler_output.any()
