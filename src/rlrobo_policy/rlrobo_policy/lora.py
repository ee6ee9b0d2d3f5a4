"""Low-rank adaptation: the base model is frozen, small matrices beside its projections learn.

LoRA (arXiv 2106.09685) through peft. What trains, is published and is saved is then the adapter
alone; a checkpoint names the base model that it belongs to.
"""

from __future__ import annotations

from pathlib import Path

from transformers import Qwen2_5_VLForConditionalGeneration

TARGETS = (
    r"model\.language_model\.layers\.\d+\."
    r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
)
"""Attention and MLP projections of the language model; the vision tower has names like these."""


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
    elif rank:
        _add_adapter(model, name, rank)


def _add_adapter(model: Qwen2_5_VLForConditionalGeneration, name: str, rank: int) -> None:
    if name == "tiny":
        raise ValueError(
            f"lora_rank:={rank} adapts weights that were trained, those of 'tiny' are random: "
            "choose a checkpoint directory or a Hugging Face id, or lora_rank:=0"
        )
    from peft import LoraConfig  # here, for its import takes long

    # The adapter's files name the base: they must find it from any working directory.
    model.name_or_path = str(Path(name).resolve()) if Path(name).is_dir() else name
    # alpha = 2 rank: arXiv 2405.09673, appendix. No dropout: behaviour and trainer must agree.
    model.add_adapter(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS))
