"""How fast a policy acts and learns, without ROS, on a CPU or a CUDA machine.

    ./rlrobo bench policy
    python benchmarks/bench_policy.py --model qwen2.5-vl-3b --random-weights --device cuda

Prints a table and, with --json FILE, writes what it measured. Every figure is the median of the
rounds with their range; MFU is model FLOP/s over --peak-tflops. The shortcuts, one prompt for all
actions of an observation, one batch for many observations and the batched vision tower, are
compared with doing without in alternated rounds.
"""

from __future__ import annotations

import json
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from rlrobo_policy.fast_vision import use_fast_vision
from rlrobo_policy.inputs import PromptEncoder, PromptInputs
from rlrobo_policy.lora import add_adapter
from rlrobo_policy.tiny import SPECIAL_TOKENS, make_tokenizer, token_ids
from rlrobo_policy.tree import action_logits, log_softmax, sample_actions
from rlrobo_policy.vlm import Qwen2VLImageProcessorPil, Vlm, load_vlm
from rlrobo_policy.vocabulary import new_token_ids
from rlrobo_train.loss import policy_loss

SYMBOLS, TOKENS = 17, 3


@dataclass(frozen=True)
class Options:
    model: str = "tiny"
    """tiny, qwen2.5-vl-3b (with --random-weights), a directory or a Hugging Face id."""
    random_weights: bool = False
    """The architecture alone: nothing is downloaded."""
    device: str = "cpu"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on CUDA, else float32."""
    lora_rank: int = 0
    """Update an adapter of this rank; 0: the whole model."""
    image_size: int = 112
    """[px]"""
    batch_sizes: tuple[int, ...] = (1, 4, 16, 64)
    """Observations."""
    samples: tuple[int, ...] = (1, 8)
    """Actions an observation."""
    update_observations: int = 16
    """Observations of one GRPO update, 8 actions each; 0: none."""
    rounds: int = 5
    latency_rounds: int = 50
    """Of one observation and one action, for the 95th percentile."""
    compare_observations: int = 8
    """Observations, 8 actions each, of the comparisons; 0: none."""
    decode_observations: int = 64
    """Observations that are decoded in one batch and one by one."""
    peak_tflops: float = 0.0
    """Of the device, for the MFU; 0 leaves it out (H200, bf16 dense: 989)."""
    json: Path | None = None


class Timing(NamedTuple):
    """[s]"""

    median: float
    low: float
    high: float

    @staticmethod
    def of(seconds: list[float]) -> Timing:
        return Timing(statistics.median(seconds), min(seconds), max(seconds))


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
    usual = "bfloat16" if on_cuda(options) else "float32"
    dtype: torch.dtype = getattr(torch, usual if options.dtype == "auto" else options.dtype)
    if options.model != "qwen2.5-vl-3b":
        return load_vlm(options.model, options.device, dtype)
    if not options.random_weights:
        raise ValueError(
            "qwen2.5-vl-3b is an architecture: add --random-weights, or name the weights, "
            "Qwen/Qwen2.5-VL-3B-Instruct"
        )
    torch.set_default_dtype(dtype)
    with torch.device(options.device):
        model = Qwen2_5_VLForConditionalGeneration(qwen_3b_config())
    torch.set_default_dtype(torch.float32)
    use_fast_vision(model.eval())
    return Vlm(model, make_tokenizer(), Qwen2VLImageProcessorPil())


def seconds_of(run: Callable[[], Any], options: Options) -> float:
    began = time.perf_counter()
    run()
    if on_cuda(options):
        torch.cuda.synchronize()
    return time.perf_counter() - began


def timed(run: Callable[[], Any], options: Options, rounds: int = 0) -> list[float]:
    """Seconds of each round, after one that warms up."""
    seconds_of(run, options)
    return [seconds_of(run, options) for _ in range(rounds or options.rounds)]


def compared(
    name: str, without: Callable[[], Any], ours: Callable[[], Any], options: Options
) -> dict[str, Any]:
    """How many times as fast `ours` is: alternated rounds, the ratio of each pair."""
    for warm_up in (without, ours):
        seconds_of(warm_up, options)
    pairs = [
        (seconds_of(without, options), seconds_of(ours, options)) for _ in range(options.rounds)
    ]
    return {
        "name": name,
        "without": Timing.of([a for a, _ in pairs])._asdict(),
        "ours": Timing.of([b for _, b in pairs])._asdict(),
        "ratio": Timing.of([a / b for a, b in pairs])._asdict(),
    }


def prompts(vlm: Vlm, count: int, options: Options) -> PromptInputs:
    shape = (count, 1, options.image_size, options.image_size, 3)
    images = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    return PromptEncoder(vlm)(images, ("reach the green ball",) * count).to(options.device)


def flops(vlm: Vlm, inputs: PromptInputs, samples: int) -> float:
    """Of a forward pass: 2 N a token (Kaplan et al., arXiv 2001.08361, section 2.1), patches
    through the vision tower, merged patches through its merger, tokens through the language
    model. Left out: attention's own products, padding, and the few rows of the output layer."""
    visual = vlm.model.model.visual
    merger = parameters(visual.merger)
    patches = len(inputs.pixel_QD)
    vision = (parameters(visual) - merger) * patches + merger * patches / visual.spatial_merge_unit
    tokens = int(inputs.mask_NP.sum()) + len(inputs.mask_NP) * samples * (TOKENS - 1)
    return 2.0 * (vision + parameters(vlm.model.model.language_model.layers) * tokens)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def acts(vlm: Vlm, count: int, samples: int, options: Options) -> Callable[[], Any]:
    """From images in memory to actions, preprocessing included."""
    token_V = new_token_ids(vlm, 64, SYMBOLS).to(options.device)
    uniform = torch.rand(count, samples, TOKENS, device=options.device)
    return lambda: sample_actions(vlm.model, prompts(vlm, count, options), token_V, uniform, 1.0)


def act(vlm: Vlm, count: int, samples: int, options: Options) -> dict[str, Any]:
    timing = Timing.of(timed(acts(vlm, count, samples, options), options))
    return {
        "observations": count,
        "samples": samples,
        **timing._asdict(),
        "actions_per_s": count * samples / timing.median,
        "flop_per_s": flops(vlm, prompts(vlm, count, options), samples) / timing.median,
    }


def latency(vlm: Vlm, options: Options) -> dict[str, float]:
    """[s], one observation in, one action out."""
    seconds = timed(acts(vlm, 1, 1, options), options, options.latency_rounds)
    return {"median": statistics.median(seconds), "p95": float(np.quantile(seconds, 0.95))}


@contextmanager
def stock_vision(vlm: Vlm) -> Iterator[None]:
    """The vision tower as transformers has it."""
    visual = vlm.model.model.visual
    fast = visual.config._attn_implementation
    del visual.forward, visual.patch_embed.forward  # the class's own show again
    visual.config._attn_implementation = "sdpa"
    try:
        yield
    finally:
        use_fast_vision(vlm.model)
        visual.config._attn_implementation = fast


def comparisons(vlm: Vlm, options: Options) -> list[dict[str, Any]]:
    count, samples = options.compare_observations, 8
    inputs = prompts(vlm, count, options)

    @torch.no_grad()
    def see() -> None:
        vlm.model.model.visual(inputs.pixel_QD.to(vlm.model.dtype), grid_thw=inputs.grid_I3)

    def see_stock() -> None:
        with stock_vision(vlm):
            see()

    many = options.decode_observations
    alone = acts(vlm, 1, 1, options)

    def one_by_one() -> None:
        for _ in range(many):
            alone()

    shared = acts(vlm, count, samples, options)
    repeated = acts(vlm, count * samples, 1, options)
    return [
        compared(f"one prompt for {samples} actions", repeated, shared, options),
        compared(f"one batch of {many}", one_by_one, acts(vlm, many, 1, options), options),
        compared(f"vision tower, {count} images", see_stock, see, options),
    ]


def update(vlm: Vlm, options: Options) -> dict[str, Any]:
    """Forward, GRPO loss, backward and AdamW on `update_observations` x 8 actions."""
    count, samples = options.update_observations, 8
    token_V = new_token_ids(vlm, 64, SYMBOLS).to(options.device)
    index = torch.randint(SYMBOLS, (count, samples, TOKENS), device=options.device)
    trained = [p for p in vlm.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-9)
    inputs = prompts(vlm, count, options)
    advantage = torch.randn(count, samples, device=options.device)
    with torch.no_grad():
        logprob = log_softmax(action_logits(vlm.model, inputs, index, token_V), 1.0)
    behaviour = logprob.gather(-1, index[..., None])[..., 0]

    def step() -> None:
        logits = action_logits(vlm.model, inputs, index, token_V)
        policy_loss(logits, index, behaviour, advantage, 1.0, 0.2, 0.28, 0.003).total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    timing = Timing.of(timed(step, options))
    return {
        "observations": count,
        "samples": samples,
        **timing._asdict(),
        "flop_per_s": 3.0 * flops(vlm, inputs, samples) / timing.median,
    }


def on_cuda(options: Options) -> bool:
    return options.device.startswith("cuda")


def peak_memory_gib(options: Options) -> float:
    """So far: of the tensors on a GPU, or of this whole process."""
    if on_cuda(options):
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    options = tyro.cli(Options)
    vlm = load(options)
    if options.lora_rank:
        add_adapter(vlm.model, options.model, options.lora_rank)
    acting = [act(vlm, n, s, options) for n in options.batch_sizes for s in options.samples]
    result: dict[str, Any] = {
        "options": {k: str(v) for k, v in asdict(options).items()},
        "machine": {
            "device": torch.cuda.get_device_name() if on_cuda(options) else platform.processor(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "parameters": parameters(vlm.model),
        "latency": latency(vlm, options),
        "act": acting,
        "compare": comparisons(vlm, options) if options.compare_observations else [],
        "peak_memory_acting_gib": peak_memory_gib(options),
        "update": update(vlm, options) if options.update_observations else None,
        "peak_memory_gib": peak_memory_gib(options),
    }
    show(result, options)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def show(result: dict[str, Any], options: Options) -> None:
    size = result["parameters"] / 1e6
    table = Table(title=f"{options.model}, {size:,.1f} M parameters, {options.device}")
    for column in ("", "observations", "samples", "ms (range)", "actions/s", "MFU"):
        table.add_column(column, justify="right")
    rows = [("act", row) for row in result["act"]]
    if result["update"]:
        rows.append(("update", result["update"]))
    for name, row in rows:
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
    delay = result["latency"]
    print(
        f"one action: median {delay['median'] * 1e3:.1f} ms, 95% {delay['p95'] * 1e3:.1f} ms\n"
        f"peak memory: acting {result['peak_memory_acting_gib']:.2f} GiB, "
        f"learning too {result['peak_memory_gib']:.2f} GiB"
    )
    for row in result["compare"]:
        ratio = Timing(**row["ratio"])
        print(
            f"{row['name']}: {ratio.median:.1f} times as fast ({ratio.low:.1f}-{ratio.high:.1f}), "
            f"{row['ours']['median'] * 1e3:.1f} for {row['without']['median'] * 1e3:.1f} ms"
        )


if __name__ == "__main__":
    main()
