"""Low-rank adaptation: the base model is frozen, small matrices beside its projections learn.

LoRA (arXiv 2106.09685) through peft. What trains, is published and is saved is then the adapter
alone; a checkpoint names the base model that it belongs to, and both carry its fingerprint: an
adapter fits every model of the same shape and makes sense beside one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

TARGETS = (
    r"model\.language_model\.layers\.\d+\."
    r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
)
"""Attention and MLP projections of the language model; the vision tower has names like these."""
AT_ONCE = 2**24
"""Values of a base that are looked at together: bounds memory."""


def train_adapter(model: Qwen2_5_VLForConditionalGeneration, name: str, rank: int) -> None:
    """From here on only an adapter trains: the one that was loaded with the model `name`, or,
    at `rank` > 0, a new one that changes nothing yet. Neither: the whole model trains.

    ValueError where the loaded adapter is of another rank, or a new one has no base to name."""
    if model._hf_peft_config_loaded:
        saved = model.peft_config["default"].r  # pyright: ignore[reportAttributeAccessIssue]
        if rank not in (0, saved):
            raise ValueError(
                f"{name} holds an adapter of rank {saved}, not {rank}: set lora_rank:={saved}"
            )
        for parameter_name, parameter in model.named_parameters():
            parameter.requires_grad_(".lora_" in parameter_name)
    elif rank and name == "tiny":
        raise ValueError(
            f"lora_rank:={rank} adapts weights that were trained, those of 'tiny' are random: "
            "choose a checkpoint directory or a Hugging Face id, or lora_rank:=0"
        )
    elif rank:
        add_adapter(model, name, rank)


def fingerprint(model: Qwen2_5_VLForConditionalGeneration) -> str:
    """By which a base is known again: "" where nothing is frozen, else a hash over names, shapes
    and values of what is. The same on every device: values count as the bfloat16 that they round
    to, and their bits are summed as whole numbers, exact in any order."""
    digest = hashlib.sha256()
    frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    for name, parameter in frozen.items():
        flat = parameter.detach().flatten()
        bits = (part.to(torch.bfloat16).view(torch.int16) for part in flat.split(AT_ONCE))
        sums = sum(int(part.sum(dtype=torch.int64)) for part in bits)
        digest.update(f"{name} {tuple(parameter.shape)} {sums}\n".encode())
    return digest.hexdigest()[:16] if frozen else ""


def add_adapter(model: Qwen2_5_VLForConditionalGeneration, name: str, rank: int) -> None:
    """A new one, which changes nothing yet, on the base `name`."""
    from peft import LoraConfig  # here, for its import takes long

    # The adapter's files name the base: they must find it from any working directory.
    model.name_or_path = str(Path(name).resolve()) if Path(name).is_dir() else name
    # alpha = 2 rank: arXiv 2405.09673, appendix. No dropout: behaviour and trainer must agree.
    model.add_adapter(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS))
