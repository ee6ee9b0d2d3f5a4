"""Questions that share their images are answered as if each were asked alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rlrobo_policy.inputs import PromptEncoder
from rlrobo_policy.questions import answer_logits, ask
from rlrobo_policy.tree import action_logits
from rlrobo_policy.vlm import Vlm, load_vlm
from rlrobo_policy.vocabulary import new_token_ids

TEXT_KS = (
    ("where is the gripper ?", "where is the red cube ?", "is it held ?"),
    ("stay", "how far is the gripper from the spot ?. gripper forward 55.3", "reach the ball"),
)
SYMBOLS, TOKENS = 17, 3


@pytest.fixture(scope="module")
def vlm() -> Vlm:
    torch.set_num_threads(1)
    return load_vlm("tiny")


@pytest.mark.parametrize("cameras", [1, 2])
@pytest.mark.parametrize("tokens", [1, TOKENS])
def test_logits_and_gradients_are_those_of_each_question_alone(vlm, cameras, tokens):
    rng = np.random.default_rng(0)
    image_KC = rng.integers(0, 255, (2, cameras, 112, 112, 3), dtype=np.uint8)
    index_KST = torch.from_numpy(rng.integers(0, SYMBOLS, (2, 3, tokens)))
    token_V, encode = new_token_ids(vlm, 64, SYMBOLS), PromptEncoder(vlm)

    together = answer_logits(vlm.model, ask(encode, image_KC, TEXT_KS), index_KST, token_V)
    alone = action_logits(
        vlm.model,
        encode(np.repeat(image_KC, 3, axis=0), tuple(text for texts in TEXT_KS for text in texts)),
        index_KST.flatten(0, 1)[:, None],
        token_V,
    )[:, 0].unflatten(0, (2, 3))
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-5)
    for one, other in zip(gradients(vlm, together), gradients(vlm, alone), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def gradients(vlm: Vlm, logits: torch.Tensor) -> list[torch.Tensor]:
    """Of a loss that depends on every logit, for the weights that all of it goes through."""
    weights = [vlm.model.lm_head.weight, vlm.model.model.visual.patch_embed.proj.weight]
    return list(torch.autograd.grad(torch.log_softmax(logits, -1)[..., 0].mean(), weights))
