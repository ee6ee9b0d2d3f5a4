"""Several learners that are one: each has its own environments, all make the same update.

    torchrun --nproc-per-node 2 -m rlrobo_train.local --task reach

Every learner (a process; on GPUs one a device) holds the policy and the optimiser. It rolls out
its share of an iteration's groups and weighs them. Which actions an AdamW step learns from is
drawn over all of them, as one process would draw it; each learner takes the gradient of its own,
and the sum of the gradients, each weighed with its share of the step's actions, is what all of
them step with. So the update is that of one process that has rolled out all of it, up to the
order of sums. Everything else that must be one, as the task that is drawn next or whether time is
up, is decided on what all have said. The first learner alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Learners:
    """This process among all. Every method that talks to the others must be called by all of them,
    in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this learner keeps the run."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """This learner's part, in order; parts differ by one at most."""
        first, last = (len(items) * rank // self.size for rank in (self.rank, self.rank + 1))
        return list(items[first:last])

    def gather(self, thing: T) -> list[T]:
        """What every learner says, in order of rank."""
        if self.size == 1:
            return [thing]
        said: list[Any] = [None] * self.size
        dist.all_gather_object(said, thing)
        return said

    def joined(self, items: Sequence[T]) -> list[T]:
        """The items of all learners."""
        return [item for of_one in self.gather(list(items)) for item in of_one]

    def concatenated(self, values_M: NDArray[Any]) -> NDArray[Any]:
        """The values of all learners."""
        return np.concatenate(self.gather(values_M))

    def first(self, thing: T) -> T:
        """What the first learner says."""
        return self.gather(thing)[0]

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Of all learners, in place. Of a parameter that nobody has a gradient of there is none
        afterwards either, as where the critic alone learns."""
        if self.size == 1:
            return
        device = parameters[0].device
        known = torch.tensor([p.grad is not None for p in parameters], device=device).float()
        dist.all_reduce(known)
        learned = [p for p, times in zip(parameters, known.tolist(), strict=True) if times]
        for parameter in learned:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for dtype in dict.fromkeys(parameter.dtype for parameter in learned):
            _sum([p.grad for p in learned if p.dtype == dtype and p.grad is not None])


ALONE = Learners()


def _sum(gradients: list[torch.Tensor]) -> None:
    """One message instead of one for each."""
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


@contextmanager
def learners() -> Iterator[Learners]:
    """The processes that torchrun has started, or this one alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    # Gradients travel as where they are; what is told in words is on the CPU.
    cuda = torch.cuda.is_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield Learners(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def own_device(device: str) -> str:
    """`cuda` means the one that torchrun gives this learner."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if device == "cuda" and rank else device


def check_shares(size: int, num_envs: int, groups: int, members: int, episodes: int) -> None:
    """ValueError where learners could not own equal shares of the environments and of the groups
    of an iteration."""
    if num_envs % (size * members):
        fitting = max(1, num_envs // (size * members)) * size * members
        raise ValueError(
            f"num_envs:={num_envs} cannot be shared out equally among {size} learners in groups "
            f"of {members}; take num_envs:={fitting}"
        )
    if groups % size:
        raise ValueError(
            f"{groups} groups of an iteration cannot be shared out equally among {size} learners; "
            f"take groups_per_iteration:={max(1, groups // size) * size}"
        )
    if episodes < size:
        raise ValueError(
            f"episodes:={episodes} are fewer than {size} learners, and each judges some; take "
            f"episodes:={size} or more"
        )
