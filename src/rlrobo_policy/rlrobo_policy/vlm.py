"""Loading a Qwen2.5-VL with its tokenizer and image processor."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils.logging import disable_progress_bar

from rlrobo_policy.fast_vision import use_fast_vision
from rlrobo_policy.tiny import save_tiny

disable_progress_bar()  # of reading weight shards: it would tear the training's own line


@dataclass(frozen=True, slots=True)
class Vlm:
    """A vision-language model and what prepares its inputs.

    The tokenizer and the image processor stand apart because the stock `Qwen2_5_VLProcessor`
    insists on torchvision for videos, which we do not use; their outputs are the same.
    """

    model: Qwen2_5_VLForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    image_processor: Qwen2VLImageProcessorPil

    def save_processor(self, directory: Path) -> None:
        self.tokenizer.save_pretrained(directory)
        self.image_processor.save_pretrained(directory)

    def save(self, directory: Path) -> None:
        """`load_vlm(directory)` opens it again, and so does plain `from_pretrained`."""
        self.model.save_pretrained(directory)
        self.save_processor(directory)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch has no CUDA, or knows no such name
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"device:={device} is not to be had here: {reason}. Choose cpu, or ask ./rlrobo doctor "
            "why there is no cuda"
        ) from error


def base_of(name: str) -> str:
    """The model that the adapter in this directory was trained on; "" where it holds none."""
    file = Path(name) / "adapter_config.json"
    return json.loads(file.read_text())["base_model_name_or_path"] if file.is_file() else ""


def load_vlm(name: str, device: str = "cpu", dtype: torch.dtype | None = None) -> Vlm:
    """The model `name`: "tiny" (random weights, made in code), a directory, or a Hugging Face
    id such as Qwen/Qwen2.5-VL-3B-Instruct. `dtype` defaults to bfloat16 on CUDA, else float32.

    ValueError where there is no such model or device, with the choices."""
    _check_device(device)
    if name == "tiny":
        with tempfile.TemporaryDirectory() as directory:
            return load_vlm(str(save_tiny(Path(directory))), device, dtype)
    if dtype is None:
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        image_processor = Qwen2VLImageProcessorPil.from_pretrained(name)
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(name, dtype=dtype)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        if base := base_of(name):
            raise ValueError(
                f"{name} is an adapter and its base model {base} does not load: put that back "
                f"there, or name another checkpoint ({error})"
            ) from error
        raise ValueError(
            f"cannot load the model {name!r}: choose 'tiny', a checkpoint directory, or a "
            f"Hugging Face id of a Qwen2.5-VL such as Qwen/Qwen2.5-VL-3B-Instruct ({error})"
        ) from error
    use_fast_vision(model)
    return Vlm(model.to(device), tokenizer, image_processor)  # pyright: ignore[reportArgumentType]
