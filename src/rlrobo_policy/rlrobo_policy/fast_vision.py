"""Three exact shortcuts through Qwen2.5-VL's vision tower, for many images of one size.

The stock tower embeds patches by a 3-D convolution whose stride is its kernel (a matrix
product in disguise, 4-7x slower on a CPU), computes positions and windows image by image in a
Python loop and, without flash attention, attends image by image in another. Each is replaced by
one batched operation with the same result.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionPatchEmbed,
    Qwen2_5_VisionTransformerPretrainedModel,
)
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

ATTENTION = "rlrobo_flash_chunks"
"""transformers hands whole sequences with chunk borders only to implementations that have
"flash" in their name."""


def attend_in_chunks(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    cu_seq_lens_q: torch.Tensor,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """f[1, L, heads, dim] from f[1, heads, L, dim]: full attention inside each chunk."""
    lengths = (cu_seq_lens_q[1:] - cu_seq_lens_q[:-1]).tolist()
    chunks = (lengths[0],) * len(lengths)
    if tuple(lengths) == chunks:
        q, k, v = (x[0].unflatten(1, (-1, lengths[0])).transpose(0, 1) for x in (query, key, value))
        out = F.scaled_dot_product_attention(q, k, v, scale=scaling)  # [chunk, head, token, dim]
        return out.transpose(1, 2).flatten(0, 1)[None], None
    parts = [
        F.scaled_dot_product_attention(q, k, v, scale=scaling)
        for q, k, v in zip(*(x.split(lengths, dim=2) for x in (query, key, value)), strict=True)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _embed_patches(embed: Qwen2_5_VisionPatchEmbed, hidden_states: torch.Tensor) -> torch.Tensor:
    weight = embed.proj.weight.flatten(1)
    return F.linear(hidden_states.to(weight.dtype), weight)


def tile_tables(
    visual: Qwen2_5_VisionTransformerPretrainedModel, grid_I3: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Positions and window order of I images of one size, from those of a single image."""
    images, device = len(grid_I3), grid_I3.device
    merge = visual.spatial_merge_size
    position_ids = get_vision_position_ids(grid_I3[:1], merge)
    window_index, cu_window = get_vision_window_index(
        grid_I3[:1],
        merge,
        visual.window_size,
        visual.config.patch_size,  # pyright: ignore[reportArgumentType]
    )
    offset = torch.arange(images, device=device)[:, None] * len(window_index)
    window_lengths = (cu_window[1:] - cu_window[:-1]).to(device).repeat(images)
    return {
        "position_ids": position_ids.repeat(images, 1),
        "window_index": (window_index.to(device) + offset).flatten(),
        "cu_window_seqlens": F.pad(window_lengths.cumsum(0, dtype=torch.int32), (1, 0)),
    }


def _forward(
    visual: Qwen2_5_VisionTransformerPretrainedModel,
    hidden_states: torch.Tensor,
    grid_thw: torch.Tensor,
    **kwargs: Any,
) -> Any:
    if bool((grid_thw == grid_thw[0]).all()):
        kwargs |= tile_tables(visual, grid_thw)
    return type(visual).forward(visual, hidden_states, grid_thw=grid_thw, **kwargs)


def use_fast_vision(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Take the shortcuts in this model. Where flash attention is in use it stays."""
    visual, embed = model.model.visual, model.model.visual.patch_embed
    # Bound methods, not closures: a deep copy of the model then runs on its own weights.
    visual.forward = MethodType(_forward, visual)
    embed.forward = MethodType(_embed_patches, embed)
    if "flash" not in str(visual.config._attn_implementation):
        AttentionInterface.register(ATTENTION, attend_in_chunks)
        visual.config._attn_implementation = ATTENTION
