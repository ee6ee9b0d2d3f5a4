"""A real Qwen2.5-VL, as small as its class allows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

sys.path.insert(0, str(Path(__file__).parent))  # learner_peer, under pytest's importlib mode
# The same examples in every run, and no limit of time: the machine may be busy.
settings.register_profile("rlrobo", deadline=None, derandomize=True)
settings.load_profile("rlrobo")

TEXT = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1e4,
        "mrope_section": [2, 1, 1],
    },
}
VISION = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_heads": 2,
    "patch_size": 14,
    "out_hidden_size": 16,
    "fullatt_block_indexes": [0],
}


@pytest.fixture
def tiny_model() -> Qwen2_5_VLForConditionalGeneration:
    """A few thousand random weights, input and output embeddings tied."""
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(text_config=TEXT, vision_config=VISION, tie_word_embeddings=True)
    return Qwen2_5_VLForConditionalGeneration(config)
