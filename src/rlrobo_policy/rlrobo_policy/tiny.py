"""The embedded default model: a Qwen2.5-VL of 2 million parameters, made here in code.

It is the very class of the 3B model, with a tokenizer of the same kind (byte-level BPE) and
the same image processor, saved by `save_pretrained` and loaded by `from_pretrained`: nothing
downstream can tell the two apart but by size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

CORPUS = """user assistant
reach touch go to move the green red blue yellow white orange purple black gray grey brown pink
pick up and place put push pull slide stack flip turn open close grasp grab lift take bring drop
release hold it its this that one ones other both only not ball cube block box puck disk disc pad
drawer handle target goal spot ring marker tower object thing container side top front back lower
upper left right middle center corner edge table floor robot gripper tool hand arm position
where what which how is are it far held color between distance from by with over under above below
on onto in into inside at of off near next behind around along across through until toward towards
forward backward down stay away again all way straight upright upside rest lie lies let leave make
goes comes stands shove nudge hit send shoot glide tip roll rotate bottom face reaches stops
a an please now slowly gently carefully then so there here first second yes no ? . , :
"""
"""What the tokenizer learns its words from; other words fall apart into bytes, as in Qwen's."""

WHOLE_NUMBERS = tuple(f" {n}" for n in range(100))
TENTHS = tuple(f".{n}" for n in range(10))
"""A measurement such as " 55.3" is two tokens: prompts that tell several stay short."""

PIECES = r" ?\p{L}+| ?\p{N}+|\.\p{N}| ?[^\s\p{L}\p{N}]+|\s"
"""How a text is cut before its pieces become tokens: as in GPT-2, but ".3" is one piece."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen2.5-VL's chat format without its default system message."""

NUM_ACTION_ROWS = 256
"""Rows of the embedding that no word uses; Qwen2.5-VL-3B has 271 of them."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE whose words are those of `CORPUS`, and numbers up to 99.9."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=1,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    words = CORPUS.split()
    texts = [*words, *(f" {word}" for word in words), *WHOLE_NUMBERS, *TENTHS]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )


def token_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Of the special tokens, in their order."""
    ids = tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS))
    assert isinstance(ids, list)
    return ids


def make_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """112 px images become 4 image tokens: few tokens learn fastest (docs/learning.md)."""
    ids = dict(zip(SPECIAL_TOKENS, token_ids(tokenizer), strict=True))
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer) + NUM_ACTION_ROWS,
            "hidden_size": 192,
            "intermediate_size": 384,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "initializer_range": 0.08,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [8, 8, 8],
            },
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 3,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 4,
            "patch_size": 28,
            "spatial_merge_size": 2,
            "temporal_patch_size": 1,
            "window_size": 448,
            "fullatt_block_indexes": [0, 1, 2],
            "out_hidden_size": 192,
            "initializer_range": 0.08,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def save_tiny(directory: Path, seed: int = 0) -> Path:
    """Write a tiny model with random weights; `load_vlm(directory)` opens it."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    config = make_config(tokenizer)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    vision: Any = config.vision_config
    Qwen2VLImageProcessorPil(
        patch_size=vision.patch_size,
        merge_size=vision.spatial_merge_size,
        temporal_patch_size=vision.temporal_patch_size,
    ).save_pretrained(directory)
    return directory
