"""How fast a policy acts and learns, without ROS, on a CPU or a CUDA machine.

    ./rlrobo bench policy
    python benchmarks/bench_policy.py --model qwen2.5-vl-3b --random-weights --device cuda

Prints a table and, with --json FILE, writes what it measured. Every figure is the median of the
rounds with their range; MFU is model FLOP/s over --peak-tflops.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from rlrobo_policy.fast_vision import use_fast_vision
from rlrobo_policy.inputs import PromptEncoder, PromptInputs
from rlrobo_policy.tiny import SPECIAL_TOKENS, make_tokenizer, token_ids
from rlrobo_policy.tree import action_logits, log_softmax, sample_actions
from rlrobo_policy.vlm import Qwen2VLImageProcessorPil, Vlm, load_vlm
from rlrobo_policy.vocabulary import new_token_ids

SYMBOLS, TOKENS = 17, 3


@dataclass(frozen=True)
class Options:
    model: str = "tiny"
    """tiny, qwen2.5-vl-3b (with --random-weights), a directory or a Hugging Face id."""
    random_weights: bool = False
    """The architecture alone: nothing is downloaded."""
    device: str = "cpu"
    image_size: int = 112
    """[px]"""
    batch_sizes: tuple[int, ...] = (1, 4, 16, 64)
    """Observations."""
    samples: tuple[int, ...] = (1, 8)
    """Actions an observation."""
    update_observations: int = 16
    """Observations of one GRPO update, 8 actions each."""
    rounds: int = 5
    peak_tflops: float = 0.0
    """Of the device, for the MFU; 0 leaves it out (H200, bf16 dense: 989)."""
    json: Path | None = None


class Timing(NamedTuple):
    """[s]"""

    median: float
    low: float
    high: float


def qwen_3b_config() -> Qwen2_5_VLConfig:
    """Qwen/Qwen2.5-VL-3B-Instruct (its config.json), our tokenizer's ids for images."""
    ids = dict(zip(SPECIAL_TOKENS, token_ids(make_tokenizer()), strict=True))
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 128000,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [16, 24, 24],
            },
        },
        vision_config={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "out_hidden_size": 2048,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def load(options: Options) -> Vlm:
    if options.model != "qwen2.5-vl-3b":
        return load_vlm(options.model, options.device)
    if not options.random_weights:
        raise ValueError(
            "qwen2.5-vl-3b is an architecture: add --random-weights, or name the weights, "
            "Qwen/Qwen2.5-VL-3B-Instruct"
        )
    dtype = torch.bfloat16 if options.device.startswith("cuda") else torch.float32
    torch.set_default_dtype(dtype)
    with torch.device(options.device):
        model = Qwen2_5_VLForConditionalGeneration(qwen_3b_config())
    torch.set_default_dtype(torch.float32)
    use_fast_vision(model)
    return Vlm(model, make_tokenizer(), Qwen2VLImageProcessorPil())


def timed(run: Callable[[], Any], options: Options) -> Timing:
    run()
    seconds = []
    for _ in range(options.rounds):
        began = time.perf_counter()
        run()
        if options.device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return Timing(statistics.median(seconds), min(seconds), max(seconds))


def prompts(vlm: Vlm, count: int, options: Options) -> PromptInputs:
    shape = (count, 1, options.image_size, options.image_size, 3)
    images = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    return PromptEncoder(vlm)(images, ("reach the green ball",) * count).to(options.device)


def flops(vlm: Vlm, inputs: PromptInputs, samples: int) -> float:
    """Of a forward pass: 2 N a token (Kaplan et al., arXiv 2001.08361, section 2.1), patches
    through the vision tower and tokens through the language model; attention left out."""
    vision = sum(p.numel() for p in vlm.model.model.visual.parameters())
    text = sum(p.numel() for p in vlm.model.model.language_model.layers.parameters())
    tokens = int(inputs.mask_NP.sum()) + len(inputs.mask_NP) * samples * (TOKENS - 1)
    return 2.0 * (vision * len(inputs.pixel_QD) + text * tokens)


def act(vlm: Vlm, count: int, samples: int, options: Options) -> dict[str, Any]:
    """From images in memory to actions, preprocessing included."""
    token_V = new_token_ids(vlm, 64, SYMBOLS).to(options.device)
    uniform = torch.rand(count, samples, TOKENS, device=options.device)
    timing = timed(
        lambda: sample_actions(vlm.model, prompts(vlm, count, options), token_V, uniform, 1.0),
        options,
    )
    return {
        "observations": count,
        "samples": samples,
        **timing._asdict(),
        "actions_per_s": count * samples / timing.median,
        "flop_per_s": flops(vlm, prompts(vlm, count, options), samples) / timing.median,
    }


def update(vlm: Vlm, options: Options) -> dict[str, Any]:
    """Forward, backward and AdamW on `update_observations` x 8 actions."""
    count, samples = options.update_observations, 8
    token_V = new_token_ids(vlm, 64, SYMBOLS).to(options.device)
    index = torch.randint(SYMBOLS, (count, samples, TOKENS), device=options.device)
    optimizer = torch.optim.AdamW(vlm.model.parameters(), lr=1e-9)
    inputs = prompts(vlm, count, options)

    def step() -> None:
        logits = action_logits(vlm.model, inputs, index, token_V)
        (-log_softmax(logits, 1.0).gather(-1, index[..., None]).mean()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    timing = timed(step, options)
    return {
        "observations": count,
        "samples": samples,
        **timing._asdict(),
        "flop_per_s": 3.0 * flops(vlm, inputs, samples) / timing.median,
    }


def main() -> None:
    options = tyro.cli(Options)
    vlm = load(options)
    acting = [act(vlm, n, s, options) for n in options.batch_sizes for s in options.samples]
    result: dict[str, Any] = {
        "options": {k: str(v) for k, v in asdict(options).items()},
        "parameters": sum(p.numel() for p in vlm.model.parameters()),
        "act": acting,
        "update": update(vlm, options),
    }
    if options.device.startswith("cuda"):
        result["peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
    show(result, options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def show(result: dict[str, Any], options: Options) -> None:
    size = result["parameters"] / 1e6
    table = Table(title=f"{options.model}, {size:,.1f} M parameters, {options.device}")
    for column in ("", "observations", "samples", "ms (range)", "actions/s", "MFU"):
        table.add_column(column, justify="right")
    for name, row in [*(("act", row) for row in result["act"]), ("update", result["update"])]:
        mfu = row["flop_per_s"] / (options.peak_tflops * 1e12) if options.peak_tflops else None
        table.add_row(
            name,
            str(row["observations"]),
            str(row["samples"]),
            f"{row['median'] * 1e3:.1f} ({row['low'] * 1e3:.1f}-{row['high'] * 1e3:.1f})",
            f"{row['actions_per_s']:,.0f}" if "actions_per_s" in row else "",
            f"{mfu:.1%}" if mfu is not None else "",
        )
    Console().print(table)
    if "peak_memory_gib" in result:
        print(f"peak memory {result['peak_memory_gib']:.1f} GiB")


if __name__ == "__main__":
    main()
