"""The tiny model is an ordinary checkpoint, and its tokenizer reads every text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from rlrobo_core.codec import Words
from rlrobo_core.prompt import (
    YES_NO,
    held_question,
    instruction_prompt,
    left_question,
    location_question,
    offset_question,
)
from rlrobo_core.tasks import TASKS, make_task
from rlrobo_policy.tiny import NUM_ACTION_ROWS, make_tokenizer, save_tiny

TOKENIZER = make_tokenizer()


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None, derandomize=True)
def test_every_text_comes_back_and_is_never_an_action(text: str) -> None:
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(ids) == text
    assert max(ids, default=0) < len(TOKENIZER)


def test_action_rows_lie_beyond_the_tokenizer(tmp_path: Path) -> None:
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(save_tiny(tmp_path))
    rows = model.get_input_embeddings().weight.shape[0]
    assert rows == len(TOKENIZER) + NUM_ACTION_ROWS
    assert max(TOKENIZER.get_vocab().values()) == len(TOKENIZER) - 1


@pytest.mark.parametrize("task", TASKS)
def test_words_of_instructions_and_actions_are_single_tokens(task: str) -> None:
    instruction = make_task(task).sample(np.random.default_rng(0)).instruction
    words = (*instruction.split(), *(Words(("x", "y", "z", "gripper")).words or ()))
    for word in words:
        assert len(TOKENIZER.encode(word, add_special_tokens=False)) == 1, word
    assert len(TOKENIZER.encode(instruction, add_special_tokens=False)) == len(instruction.split())


def test_a_measurement_is_two_tokens() -> None:
    for whole in range(100):
        for tenth in range(10):
            ids = TOKENIZER.encode(f" {whole}.{tenth}", add_special_tokens=False)
            assert [TOKENIZER.decode([i]) for i in ids] == [f" {whole}", f".{tenth}"]


def test_proprioception_adds_fourteen_tokens() -> None:
    pose = np.array([0.553, -0.031, -0.002, 1.0, 0.0, 0.0, 0.0])
    texts = [instruction_prompt("reach the green ball", pose, 0.04, told) for told in (False, True)]
    assert [len(TOKENIZER.encode(text, add_special_tokens=False)) for text in texts] == [4, 18]


@pytest.mark.parametrize("thing", ["red cube", "orange puck", "black handle", "purple spot"])
def test_words_of_questions_are_single_tokens(thing: str) -> None:
    questions = [ask(thing) for ask in (location_question, offset_question, held_question)]
    for question in [*questions, left_question(thing, "green cube")]:
        ids = TOKENIZER.encode(question, add_special_tokens=False)
        assert len(ids) == len(question.split()), question
    for word in YES_NO:
        assert len(TOKENIZER.encode(word, add_special_tokens=False)) == 1


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    save_tiny(tmp_path / "one", seed=3)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "two")
    again = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "two")
    for (name, one), (_, two) in zip(
        model.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert torch.equal(one, two), name
    text = "reach the green ball"
    assert AutoTokenizer.from_pretrained(tmp_path / "one").encode(text) == TOKENIZER.encode(text)


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    files = [save_tiny(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    a, b, c = ((file / "model.safetensors").read_bytes() for file in files)
    assert a == b
    assert a != c
