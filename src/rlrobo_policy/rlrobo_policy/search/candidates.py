"""Several actions for one observation, and who says which is best.

Shape legend: N observations, S actions of each, T tokens of an action.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.types import ActionBatch, ObservationBatch, Observations
from rlrobo_policy.policy import VlmPolicy


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The first action of each observation is the policy's most likely one."""

    observations: Observations
    token_NST: NDArray[np.int32]
    """Ids in the model's vocabulary."""
    logprob_NST: NDArray[np.float32]
    """Of the first action at temperature 1, of the others at that they were sampled at."""
    target_NS: NDArray[np.float32]
    """f32[N, S, 8], end-effector targets."""
    policy_version: int


class ActionScorer(Protocol):
    """Judges actions before they are taken, from what the policy sees: at a robot too. Who judges
    states, as a critic does, needs to be shown where each has led (`policies.Looking`)."""

    def score(self, candidates: Candidates) -> NDArray[np.floating[Any]]:
        """f[N, S], the higher the better; compared within a row only."""
        ...


def draw(
    policy: VlmPolicy, batch: ObservationBatch, samples: int, temperature: float
) -> Candidates:
    """`samples` actions for each row of the batch, whatever it asks for: the most likely one, and
    others sampled at `temperature`. The same ids get the same actions."""
    likeliest = policy.act(_asking(batch, 1, 0.0))
    others = policy.act(_asking(batch, samples - 1, temperature))

    def side_by_side(name: str) -> NDArray[Any]:
        first_N, rest_M = getattr(likeliest, name), getattr(others, name)
        rest_NS = rest_M.reshape(len(first_N), samples - 1, *rest_M.shape[1:])
        return np.concatenate([first_N[:, None], rest_NS], axis=1)

    return Candidates(
        observations=batch.observations,
        token_NST=side_by_side("token_MT"),
        logprob_NST=side_by_side("logprob_MT"),
        target_NS=side_by_side("target_M"),
        policy_version=likeliest.policy_version,
    )


def each_waiting(batch: ObservationBatch) -> ObservationBatch:
    """The batch with a row of its own for each rollout that waits for an action."""
    obs = batch.observations
    one_M = np.ones(len(obs.row_M), np.int32)
    rows = replace(_rows(obs, obs.row_M), rollout_N=obs.rollout_M, samples_N=one_M)
    return replace(batch, observations=rows)


def waiting(batch: ObservationBatch) -> ObservationBatch:
    """The batch without rows that ask for no action (of an evaluation those that end a film)."""
    obs = batch.observations
    return replace(batch, observations=_rows(obs, np.flatnonzero(obs.samples_N)))


def _rows(obs: Observations, row_M: NDArray[np.intp]) -> Observations:
    arrays = [f.name for f in fields(obs) if f.name != "instruction_N"]
    return replace(
        obs,
        instruction_N=tuple(obs.instruction_N[row] for row in row_M),
        **{name: getattr(obs, name)[row_M] for name in arrays},
    )


def _asking(batch: ObservationBatch, samples: int, temperature: float) -> ObservationBatch:
    obs = batch.observations
    asked = replace(obs, samples_N=np.full(len(obs), samples, np.int32))
    request = replace(batch.request, temperature=temperature)
    return replace(batch, observations=asked, request=request)


def answer(
    sequence: int, batch: ObservationBatch, candidates: Candidates, taken_N: NDArray[np.intp]
) -> ActionBatch:
    """Of the candidates for each row, action `taken_N`."""
    obs, rows = batch.observations, np.arange(len(taken_N))
    return ActionBatch(
        sequence=sequence,
        request_id=batch.request.request_id,
        policy_version=candidates.policy_version,
        group_M=obs.group_N,
        rollout_M=obs.rollout_N,
        step_M=obs.step_N,
        token_MT=candidates.token_NST[rows, taken_N],
        logprob_MT=candidates.logprob_NST[rows, taken_N],
        target_M=candidates.target_NS[rows, taken_N],
    )
