"""Checkpoints are whole or not there, open with `from_pretrained` and bring back all state."""

from __future__ import annotations

import json
import logging
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2_5_VLForConditionalGeneration

from rlrobo_policy.tiny import save_tiny
from rlrobo_policy.vlm import load_vlm
from rlrobo_train.checkpoint import (
    TEMPORARY,
    checkpoint_paths,
    latest_checkpoint,
    open_checkpoint,
    prune_checkpoints,
    prune_weights,
    publish_weights,
    remove_temporaries,
    save_checkpoint,
)
from rlrobo_train.plain_state import load_state, save_state

Model = Qwen2_5_VLForConditionalGeneration


def processor_files(directory: Path) -> None:
    (directory / "rlrobo.json").write_text(json.dumps({"bins": 64}))


def save(directory: Path, version: int, model: Model) -> Path:
    return save_checkpoint(directory, version, model, processor_files, {"iteration": version})


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def flip_one_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses to write on after so many bytes, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_from_pretrained_opens_the_very_same_model(tmp_path: Path, tiny_model: Model) -> None:
    path = save(tmp_path, 7, tiny_model)
    again = Qwen2_5_VLForConditionalGeneration.from_pretrained(path, local_files_only=True)
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        expected, logits = tiny_model(input_ids=tokens).logits, again(input_ids=tokens).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=0)
    assert path.name == "000007"
    assert json.loads((path / "rlrobo.json").read_text()) == {"bins": 64}


def test_an_optimizer_goes_on_as_if_never_stopped(tmp_path: Path, tiny_model: Model) -> None:
    def step(model: Model, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model(input_ids=torch.randint(0, 64, (2, 8))).logits.square().mean().backward()
        optimizer.step()

    optimizer = torch.optim.AdamW(tiny_model.parameters(), lr=1e-2)
    step(tiny_model, optimizer)
    state = {"iteration": 1, "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
    path = save_checkpoint(tmp_path, 1, tiny_model, processor_files, state)
    step(tiny_model, optimizer)

    resumed = Qwen2_5_VLForConditionalGeneration.from_pretrained(path).train()
    again = torch.optim.AdamW(resumed.parameters(), lr=1e-2)
    saved = open_checkpoint(path).load_state()
    again.load_state_dict(saved["optimizer"])
    torch.set_rng_state(saved["rng"])
    step(resumed, again)
    for name, parameter in resumed.named_parameters():
        torch.testing.assert_close(parameter, tiny_model.get_parameter(name), rtol=0, atol=0)


def test_random_generators_come_back(tmp_path: Path) -> None:
    numpy_rng, python_rng = np.random.default_rng(3), random.Random(3)
    legacy = np.random.RandomState(3)
    state = {
        "numpy": numpy_rng.bit_generator.state,
        "python": python_rng.getstate(),
        "legacy": legacy.get_state(legacy=False),
    }
    save_state(tmp_path, state)
    expected = numpy_rng.random(), python_rng.random(), legacy.rand()
    loaded = load_state(tmp_path)
    numpy_rng.bit_generator.state = loaded["numpy"]
    python_rng.setstate(loaded["python"])
    legacy.set_state(loaded["legacy"])
    assert (numpy_rng.random(), python_rng.random(), legacy.rand()) == expected


def test_plain_values_keep_value_and_type(tmp_path: Path) -> None:
    state = {
        "big": 2**127 + 1,
        "infinite": float("inf"),
        3: (1, "two", [None, True, 0.1]),
        "a.b": torch.tensor(1.0),
        "a": {"b": torch.tensor(2.0)},
        "$tensor": "not a reference",
        "scalar": np.float32(0.5),
        "array": np.array(5, np.int16),
    }
    save_state(tmp_path, state)
    loaded = load_state(tmp_path)
    assert loaded["a.b"] == 1.0 and loaded["a"]["b"] == 2.0
    assert loaded["array"].dtype == np.int16 and loaded["array"].shape == ()
    for key in ("big", "infinite", 3, "$tensor", "scalar"):
        assert loaded[key] == state[key]
    assert type(loaded[3]) is tuple


def test_tensors_that_share_memory_are_saved_each(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    save_state(tmp_path, {"all": base, "part": base[::2]})
    assert torch.equal(load_state(tmp_path)["part"], torch.tensor([0.0, 2.0, 4.0]))


def test_what_is_no_data_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"state\.sampler\.1, a function"):
        save_state(tmp_path, {"sampler": [0, processor_files]})


@pytest.mark.parametrize("file", ["model.safetensors", "trainer_state.json", "rlrobo.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_file_makes_the_one_before_be_used(
    tmp_path: Path,
    tiny_model: Model,
    caplog: pytest.LogCaptureFixture,
    file: str,
    damage: str,
) -> None:
    good, bad = save(tmp_path, 1, tiny_model), save(tmp_path, 2, tiny_model)
    match damage:
        case "flip":
            flip_one_bit(bad / file)
        case "truncate":
            (bad / file).write_bytes((bad / file).read_bytes()[:-1])
        case "delete":
            (bad / file).unlink()
    with caplog.at_level(logging.WARNING):
        found = latest_checkpoint(tmp_path)
    assert found is not None and found.path == good
    [message] = caplog.messages
    assert str(bad) in message and file in message and str(good) in message


def test_without_a_manifest_it_is_half_written(tmp_path: Path, tiny_model: Model) -> None:
    path = save(tmp_path, 1, tiny_model)
    (path / "manifest.json").unlink()
    with pytest.raises(ValueError, match="incomplete"):
        open_checkpoint(path)
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", '{"version": 1, "files": {"a": 3}}', '{"version"'])
def test_whatever_stands_in_a_manifest_the_one_before_is_used(
    tmp_path: Path, tiny_model: Model, content: str
) -> None:
    good, bad = save(tmp_path, 1, tiny_model), save(tmp_path, 2, tiny_model)
    (bad / "manifest.json").write_text(content)
    found = latest_checkpoint(tmp_path)
    assert found is not None and found.path == good


def test_versions_are_numbers_however_many_digits(tmp_path: Path, tiny_model: Model) -> None:
    for version in (999_999, 1_000_000):
        save(tmp_path, version, tiny_model)
        publish_weights(tmp_path / "weights", version, tiny_model)
    found = latest_checkpoint(tmp_path)
    assert found is not None and found.version == 1_000_000
    prune_weights(tmp_path / "weights", 1)
    assert names(tmp_path / "weights") == {"1000000.safetensors"}


def test_a_checkpoint_is_all_that_a_vlm_is_loaded_from(tmp_path: Path) -> None:
    vlm = load_vlm(str(save_tiny(tmp_path / "tiny")))
    state = {"iteration": 3}
    path = save_checkpoint(tmp_path, 3, vlm.model, vlm.save_processor, state)
    again = load_vlm(str(path))
    for name, parameter in vlm.model.named_parameters():
        assert torch.equal(again.model.get_parameter(name), parameter), name
    words = "reach the green ball"
    assert again.tokenizer(words).input_ids == vlm.tokenizer(words).input_ids
    assert open_checkpoint(path).load_state() == state


def test_no_checkpoints_are_no_error(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "none") is None


def test_an_interrupted_write_leaves_nothing_and_spoils_nothing(
    tmp_path: Path, tiny_model: Model
) -> None:
    def interrupted(directory: Path) -> Any:
        raise KeyboardInterrupt

    save(tmp_path, 1, tiny_model)
    for version in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, version, tiny_model, interrupted, {})
        assert names(tmp_path) == {"000001"}
    assert open_checkpoint(tmp_path / "000001").version == 1


def test_a_full_disk_is_said_and_spoils_nothing(tmp_path: Path, tiny_model: Model) -> None:
    save(tmp_path, 1, tiny_model)
    publish_weights(tmp_path / "weights", 1, tiny_model)
    with files_no_larger_than(4096):
        with pytest.raises(ValueError, match=r"cannot write .*000002: .*resume"):
            save(tmp_path, 2, tiny_model)
        with pytest.raises(ValueError, match=r"cannot write .*000002\.safetensors"):
            publish_weights(tmp_path / "weights", 2, tiny_model)
    assert names(tmp_path) == {"000001", "weights"}
    assert names(tmp_path / "weights") == {"000001.safetensors"}
    assert open_checkpoint(tmp_path / "000001").version == 1


def test_the_same_version_is_replaced(tmp_path: Path, tiny_model: Model) -> None:
    save(tmp_path, 1, tiny_model)
    save_checkpoint(tmp_path, 1, tiny_model, processor_files, {"iteration": 5})
    assert open_checkpoint(tmp_path / "000001").load_state() == {"iteration": 5}
    assert names(tmp_path) == {"000001"}


def test_what_a_killed_process_left_is_put_in_order(tmp_path: Path, tiny_model: Model) -> None:
    save(tmp_path, 1, tiny_model)
    (tmp_path / "000001").rename(tmp_path / f"{TEMPORARY}replaced-000001")
    (tmp_path / f"{TEMPORARY}000001").mkdir()
    remove_temporaries(tmp_path)
    assert names(tmp_path) == {"000001"}
    assert open_checkpoint(tmp_path / "000001").version == 1


@pytest.mark.parametrize("keep", [1, 3])
def test_the_first_and_the_last_few_are_kept(tmp_path: Path, tiny_model: Model, keep: int) -> None:
    for version in range(0, 60, 10):
        save(tmp_path, version, tiny_model)
        prune_checkpoints(tmp_path, keep)
        kept = [int(path.name) for path in checkpoint_paths(tmp_path)]
        expected = list(range(0, version + 1, 10))
        assert kept == sorted({0, *expected[-keep:]})


def test_published_weights_make_another_model_the_same(tmp_path: Path, tiny_model: Model) -> None:
    other = Qwen2_5_VLForConditionalGeneration(tiny_model.config)
    path = publish_weights(tmp_path, 3, tiny_model)
    assert not other.load_state_dict(load_file(path), strict=False).unexpected_keys
    for name, tensor in tiny_model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_only_what_trains_is_published(tmp_path: Path, tiny_model: Model) -> None:
    tiny_model.requires_grad_(False)
    tiny_model.get_input_embeddings().requires_grad_(True)
    [(_, tensor)] = load_file(publish_weights(tmp_path, 0, tiny_model)).items()
    assert torch.equal(tensor, tiny_model.get_input_embeddings().weight)


def test_old_weights_are_deleted(tmp_path: Path, tiny_model: Model) -> None:
    for version in range(5):
        publish_weights(tmp_path, version, tiny_model)
        prune_weights(tmp_path, 3)
    assert names(tmp_path) == {f"00000{version}.safetensors" for version in (2, 3, 4)}
