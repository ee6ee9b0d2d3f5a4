"""An episode is a conversation: what a policy remembers of those that it is in.

The prompt of an observation begins with the last `history` turns before it. A turn's observation
and its action are recorded as they come, so that a trainer finds the same turns by their ids
(`rlrobo_train/buffer.py`). A policy that was started anew in the middle of an episode does not
know them: it gives no action there, rather than one to another prompt than the recorded one.

Shape legend as in `rlrobo_core.types`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.types import ObservationBatch
from rlrobo_policy.inputs import Past, Turn


class Memory:
    """The last turns of every rollout that the newest batch spoke for: an episode that is over is
    not asked about any more, and so it is forgotten."""

    def __init__(self, history: int, requests: int = 1) -> None:
        """`requests`: whose episodes go on side by side; of more, the one that was silent for
        the longest time is forgotten."""
        self.history, self.requests = history, requests
        self._pasts: dict[int, dict[tuple[int, int], tuple[int, Past]]] = {}
        """request -> (group, rollout) -> the step that comes next, and the turns before it"""

    def before(self, batch: ObservationBatch) -> list[Past | None]:
        """Of each row the turns before it; None where they are not known."""
        obs = batch.observations
        if not self.history:
            return [()] * len(obs)
        known = self._pasts.get(batch.request.request_id, {})
        ids = zip(obs.group_N.tolist(), speakers(batch).tolist(), obs.step_N.tolist(), strict=True)
        return [() if step == 0 else _past(known, group, who, step) for group, who, step in ids]

    def add(
        self,
        batch: ObservationBatch,
        texts: Sequence[str],
        past_N: Sequence[Past | None],
        token_MT: NDArray[np.integer],
    ) -> None:
        """What was said to the rows whose past is known, and the actions that were answered."""
        if not self.history:
            return
        obs, m = batch.observations, 0
        pasts: dict[tuple[int, int], tuple[int, Past]] = {}
        for n, (text, past) in enumerate(zip(texts, past_N, strict=True)):
            group, step, image_C = int(obs.group_N[n]), int(obs.step_N[n]), obs.image_NC[n].copy()
            for rollout in range(obs.rollout_N[n], obs.rollout_N[n] + obs.samples_N[n]):
                if past is not None:
                    turns = (*past, Turn(image_C, text, token_MT[m]))
                    pasts[group, rollout] = step + 1, turns[-self.history :]
                m += 1
        self._pasts.pop(batch.request.request_id, None)
        self._pasts[batch.request.request_id] = pasts
        while len(self._pasts) > self.requests:
            del self._pasts[next(iter(self._pasts))]


def _past(
    known: dict[tuple[int, int], tuple[int, Past]], group: int, rollout: int, step: int
) -> Past | None:
    following, past = known.get((group, rollout), (0, ()))
    return past if following == step else None


def speakers(batch: ObservationBatch) -> NDArray[np.int64]:
    """i64[N], the rollout that each row goes on from: its own, and at a branching point the one
    that was chosen. A branch that ends there is shown as another one's number and has its own."""
    obs, out, request = batch.observations, batch.outcomes, batch.request
    end_N = obs.samples_N == 0
    own_N = obs.rollout_N.astype(np.int64) - np.where(end_N, request.first_end, 0)
    if not request.branching:
        return own_N
    ids_M = zip(out.group_M.tolist(), out.rollout_M.tolist(), out.chosen_M.tolist(), strict=True)
    chosen = {group: rollout for group, rollout, is_chosen in ids_M if is_chosen}
    went_on_N = np.array([chosen.get(group, -1) for group in obs.group_N.tolist()], np.int64)
    at_N = zip(obs.group_N.tolist(), obs.step_N.tolist(), strict=True)
    parting_N = np.array([request.parts(*at) for at in at_N], dtype=bool)
    return np.where(parting_N & ~end_N, went_on_N, own_N)
