"""The head that the process reward model's scores come from: what was seen, read linearly.

Shape legend: M steps, F numbers of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

FILE = "process_reward.safetensors"


class Head(nn.Module):
    """A logistic regression on standardised numbers; its score is 0.5 before it has learned."""

    def __init__(self, numbers: int):
        super().__init__()
        self.says = nn.Linear(numbers, 1)
        nn.init.zeros_(self.says.weight)
        nn.init.zeros_(self.says.bias)
        self.mean_F: torch.Tensor
        self.scale_F: torch.Tensor
        self.register_buffer("mean_F", torch.zeros(numbers))
        self.register_buffer("scale_F", torch.ones(numbers))

    def forward(self, number_MF: torch.Tensor) -> torch.Tensor:
        """f32[M], logits."""
        return self.says((number_MF - self.mean_F) / self.scale_F)[:, 0]

    def learn(
        self, lessons: Sequence[tuple[torch.Tensor, torch.Tensor]], weight_decay: float
    ) -> None:
        """To tell yes from no. `lessons` (f32[M, F], 1 for yes or 0 for no) of each task: in the
        loss all tasks have an equal share, and in each its two answers, however rare one is. With
        the weight decay there is one best head, which L-BFGS finds."""
        number_MF = torch.cat([numbers for numbers, _ in lessons])
        yes_M = torch.cat([yes for _, yes in lessons])
        share_M = torch.cat([_balanced(yes) for _, yes in lessons]) / len(lessons)
        self.mean_F.copy_(number_MF.mean(0))
        # Of what hardly varies no head should make much: a millimetre is noise.
        self.scale_F.copy_(number_MF.std(0).clamp(min=1e-3))
        optimizer = torch.optim.LBFGS(
            self.parameters(), max_iter=500, line_search_fn="strong_wolfe"
        )

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            fit = F.binary_cross_entropy_with_logits(
                self(number_MF), yes_M, share_M, reduction="sum"
            )
            total = fit + 0.5 * weight_decay * self.says.weight.square().sum()
            total.backward()
            return total

        optimizer.step(loss)  # pyright: ignore[reportArgumentType]

    def save(self, directory: Path) -> None:
        save_file(self.state_dict(), directory / FILE)

    def load(self, directory: Path) -> None:
        """ValueError where the directory's is of another backbone, or broken."""
        try:
            self.load_state_dict(load_file(directory / FILE))
        except Exception as error:  # safetensors raises its own, torch RuntimeError
            raise ValueError(
                f"{directory / FILE} is damaged or of another backbone "
                f"({str(error).splitlines()[-1].strip()}): make the model anew with `./rlrobo run "
                "rlrobo_train process_reward`"
            ) from error


def _balanced(yes_M: torch.Tensor) -> torch.Tensor:
    """f32[M], half for each answer."""
    return torch.where(yes_M == 1, 0.5 / yes_M.sum(), 0.5 / (1 - yes_M).sum())
