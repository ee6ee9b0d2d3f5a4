"""The batched preprocessing is the stock one, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlrobo_policy.inputs import PromptEncoder
from rlrobo_policy.vlm import Vlm, load_vlm

TEXTS = ("reach the green ball", "zyx", "open")


@pytest.fixture(scope="module")
def vlm() -> Vlm:
    return load_vlm("tiny")


def images(cameras: int, size: int = 112) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (3, cameras, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [56, 112, 224])
def test_patches_are_the_image_processors(vlm: Vlm, size: int) -> None:
    image_NC = images(2, size)
    inputs = PromptEncoder(vlm)(image_NC, TEXTS)
    stock = vlm.image_processor(images=list(image_NC.reshape(-1, size, size, 3)), do_resize=False)
    assert np.array_equal(inputs.pixel_QD.numpy(), stock["pixel_values"])
    assert np.array_equal(inputs.grid_I3.numpy(), stock["image_grid_thw"])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("cameras", [1, 2])
def test_positions_are_the_models(vlm: Vlm, side: str, cameras: int) -> None:
    inputs = PromptEncoder(vlm, side)(images(cameras, 224), TEXTS)  # pyright: ignore
    stock, _ = vlm.model.model.get_rope_index(
        inputs.token_NP,
        mm_token_type_ids=(inputs.token_NP == vlm.model.config.image_token_id).int(),
        image_grid_thw=inputs.grid_I3,
        attention_mask=inputs.mask_NP.long(),
    )
    assert torch.equal(stock[:, inputs.mask_NP], inputs.position_3NP[:, inputs.mask_NP])


@pytest.mark.parametrize("text", [*TEXTS, " two  blanks ", "line\nend\n", "", "open 8.0"])
def test_a_text_is_tokenised_as_in_its_place(vlm: Vlm, text: str) -> None:
    content = [{"type": "image"}] * 2 + [{"type": "text", "text": text}]
    chat = vlm.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}],  # pyright: ignore[reportArgumentType]
        tokenize=False,
        add_generation_prompt=True,
    )
    whole = vlm.tokenizer.encode(str(chat), add_special_tokens=False)
    token_NP = PromptEncoder(vlm)(images(2, 56), (text,) * 3).token_NP  # an image is one token
    assert token_NP.tolist() == [whole] * 3


def test_image_size_that_does_not_fit_names_the_cure(vlm: Vlm) -> None:
    with pytest.raises(ValueError, match=r"100x100.*multiples of 56.*image_size:=112"):
        PromptEncoder(vlm)(images(1, 100), TEXTS)


def test_unknown_words_fall_apart_and_come_back(vlm: Vlm) -> None:
    text = "please grasp the übergroße mug, 42 mm left"
    ids = vlm.tokenizer.encode(text, add_special_tokens=False)
    assert vlm.tokenizer.decode(ids) == text
    assert len(vlm.tokenizer.encode("reach the green ball", add_special_tokens=False)) == 4
    assert max(ids) < len(vlm.tokenizer)
