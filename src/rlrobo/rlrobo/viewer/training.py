"""Follows one environment of a training or an evaluation, episode after episode.

Shape legend: G members of a group, L steps since they parted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlrobo.viewer.sight import Array, Candidate, Heard, Sight
from rlrobo_core import panda
from rlrobo_core.from_messages import from_msg
from rlrobo_core.types import ActionBatch, ObservationBatch, Observations, Outcomes, RolloutRequest
from rlrobo_train.advantages import group_advantages, returns_to_go

MIN_STD = 0.01
"""The trainer's."""


class TrainingWatch:
    """See `Watch`. Whichever episode is the first of its batch is followed to its end: of a
    trajectory group one rollout, of a branching group whichever branch it goes on with.

    The actions that the members of the group took where they last parted are its candidates;
    their advantages are of the rewards so far, as the trainer computes them."""

    TOPICS: Mapping[str, Heard] = {
        "observations": Heard("rlrobo_msgs/msg/ObservationBatch"),
        "actions": Heard("rlrobo_msgs/msg/ActionBatch"),
    }

    def __init__(self, gamma: float = 0.5) -> None:
        self._gamma = gamma
        self._request: RolloutRequest | None = None
        self._group, self._rollout, self._version = -1, 0, -1
        self._joints = panda.NEUTRAL
        self._trail: list[Array] = []
        self._forget_parting(0)

    def see(self, topic: str, msg: Any) -> bool:
        record = from_msg(msg)
        match record:
            case ObservationBatch():
                return self._observe(record)
            case ActionBatch():
                return self._act(record)
        return False

    def sight(self) -> Sight | None:
        if not self._trail:
            return None
        self._joints = panda.inverse(self._tool, self._joints)
        return Sight(
            tool=self._tool,
            joints=self._joints,
            solved=True,
            gripper_width=self._width,
            trail_L=np.array(self._trail),
            text="\n".join((self._instruction, self._place(), *self._told)),
            target=self._target_of.get(self._rollout),
            image=self._image,
            candidates=self._candidates(),
            numbers=self._numbers,
        )

    # ------------------------------------------------------------------ what comes in

    def _observe(self, batch: ObservationBatch) -> bool:
        if batch.judges:
            return False  # the choice comes with the next one
        if self._request is None or batch.request.request_id != self._request.request_id:
            self._request, self._group = batch.request, -1
        news = self._reap(batch.outcomes)
        row = self._row(batch.observations)
        if row is None:
            row = self._begin(batch.observations)
        if row is None:
            return news
        self._look(batch.observations, row)
        return True

    def _begin(self, obs: Observations) -> int | None:
        """Follow another episode: one that begins, where one does."""
        waiting = np.flatnonzero(obs.samples_N)  # not what ends here
        if not len(waiting):
            return None
        row = int(waiting[obs.step_N[waiting].argmin()])
        self._group, self._rollout = int(obs.group_N[row]), int(obs.rollout_N[row])
        self._joints, self._trail, self._told = panda.NEUTRAL, [], ()
        self._numbers: dict[str, float] = {}
        self._forget_parting(int(obs.step_N[row]))
        return row

    def _look(self, obs: Observations, row: int) -> None:
        self._step = int(obs.step_N[row])
        self._tool = obs.ee_pose_N[row].astype(np.float64)
        self._width = float(obs.gripper_width_N[row])
        self._image = obs.image_NC[row, 0].copy()
        self._instruction = obs.instruction_N[row]
        if not self._trail or not np.array_equal(self._trail[-1], self._tool[:3]):
            self._trail.append(self._tool[:3])

    def _act(self, batch: ActionBatch) -> bool:
        if not self._trail or self._request is None:
            return False
        mine_M = (batch.group_M == self._group) & (batch.step_M == self._step)
        if batch.request_id != self._request.request_id or not mine_M.any():
            return False
        if self._parts(self._step):
            self._forget_parting(self._step)
        self._version = batch.policy_version
        targets = batch.target_M[mine_M, :7].astype(np.float64)
        self._target_of = dict(zip(batch.rollout_M[mine_M].tolist(), targets, strict=True))
        if self._step == self._parted:
            self._tried = self._target_of
        return True

    def _reap(self, out: Outcomes) -> bool:
        """What became of the group's last actions."""
        mine_M = out.group_M == self._group
        if self._request is None or not mine_M.any():
            return False
        late = int(out.step_M[mine_M][0]) - self._parted
        for m in np.flatnonzero(mine_M):
            rewards = self._rewards_of.setdefault(int(out.rollout_M[m]), [])
            if len(rewards) == late:  # not one that was told before
                rewards.append(float(out.reward_M[m]))
        if self._request.branching:
            self._chosen = set(out.rollout_M[mine_M & out.chosen_M].tolist())
            self._rollout = min(self._chosen, default=self._rollout)
        for m in np.flatnonzero(mine_M & (out.rollout_M == self._rollout)):
            self._tell(out, int(m))
        return True

    def _tell(self, out: Outcomes, m: int) -> None:
        terms = dict(zip(out.reward_term_names, out.reward_term_MK[m].tolist(), strict=True))
        reward = float(out.reward_M[m])
        ended = " success" if out.success_M[m] else " ended" if out.truncated_M[m] else ""
        told = ", ".join(f"{name} {value:.3g}" for name, value in terms.items())
        self._told = (f"reward {reward:+.3f}{ended}", told)
        self._numbers = {"reward/step": reward} | {f"reward/{k}": v for k, v in terms.items()}

    # ------------------------------------------------------------------ small things

    def _row(self, obs: Observations) -> int | None:
        """Of the observations, the one that speaks for the rollout that is followed."""
        mine_N = (obs.group_N == self._group) & (obs.rollout_N <= self._rollout)
        rows = np.flatnonzero(mine_N & (self._rollout < obs.rollout_N + obs.samples_N))
        return int(rows[0]) if len(rows) else None

    def _parts(self, step: int) -> bool:
        return self._request.parts(self._group, step) if self._request else step == 0

    def _forget_parting(self, step: int) -> None:
        self._parted = step
        self._tried: dict[int, Array] = {}
        self._target_of: dict[int, Array] = {}
        self._rewards_of: dict[int, list[float]] = {}
        self._chosen: set[int] = set()

    def _candidates(self) -> tuple[Candidate, ...]:
        if len(self._tried) < 2:
            return ()
        advantage_of = self._advantages()
        return tuple(
            Candidate(target[:3], advantage_of.get(rollout), rollout in self._chosen)
            for rollout, target in self._tried.items()
        )

    def _advantages(self) -> dict[int, float]:
        """Of the members' rewards since they parted; a member that has ended gets no more."""
        if not self._rewards_of:
            return {}
        length = max(map(len, self._rewards_of.values()))
        reward_GL = np.array([it + [0.0] * (length - len(it)) for it in self._rewards_of.values()])
        return_G1 = returns_to_go(reward_GL, self._gamma)[:, :1]
        advantage_G1 = group_advantages(return_G1, np.ones_like(return_G1, bool), MIN_STD)
        return dict(zip(self._rewards_of, advantage_G1[:, 0].tolist(), strict=True))

    def _place(self) -> str:
        assert self._request is not None
        of = self._request
        return (
            f"{of.task}, {of.phase} {of.iteration}, group {self._group}, step {self._step}, "
            f"policy {self._version}"
        )
