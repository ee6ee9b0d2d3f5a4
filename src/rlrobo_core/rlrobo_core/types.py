"""The records that flow through rlrobo, from camera image to policy update.

A rollout is a dialogue of two batched records: an `ObservationBatch` asks (and says what
became of the previous actions), an `ActionBatch` answers. Everything is paired by
`(group, rollout, step)`, never by arrival order, so a recorded bag replays unchanged.

Shape legend (used in names everywhere):
    _N  observations in a batch           _M  actions in a batch (M = sum of samples_N)
    _C  cameras                           _T  action tokens of one action
    _G  rollouts of one group             _K  reward terms
Poses are [x, y, z, qx, qy, qz, qw] in the robot's base frame, metres, unit quaternion xyzw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Phase = Literal["train", "eval"]
Form = Literal["trajectory", "branch", "probe", "branch_ends", "probe_ends", "episode", "look"]

HELD_OUT = 2**31
"""Seeds from here upwards are held out: evaluation uses them, training never does."""
NO_ACTION = -1
"""Stands where a token would."""

FILMED = 9
"""Of an evaluation's first groups the end is seen too, which its film shows."""


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """What the trainer asks the simulation for: some groups of rollouts, all under one policy."""

    request_id: int
    """Counts up by one; observations and actions that answer the request carry it."""
    iteration: int
    """The update that these rollouts are for."""
    phase: Phase
    form: Form
    """`trajectory`: the members of a group run on by themselves from a common start.
    `branch`: every `branch_steps` steps all members continue from the state of one of them.
    `probe`: the same, and only their first actions there are drawn; then each takes the most
    likely ones, so that what tells them apart is that one action. The first parting is at a
    random step.
    `branch_ends`, `probe_ends`: as these, and what is seen after the last step that a branch is
    followed is shown as well (`shows_end`).
    `episode`: as `trajectory`, and what is seen where a rollout is cut off is shown as well.
    `look`: as `branch`, but what came of every member's action is shown first, and who answers
    says which of them the episode goes on with (search at test time)."""
    task: str
    seed: int
    """Group `g` starts from `numpy.random.default_rng((seed, g))`; see `HELD_OUT`."""
    group_ids: tuple[int, ...]
    group_size: int
    min_policy_version: int
    """Actions of an older policy do not answer this request."""
    temperature: float
    """Sampling temperature; 0 takes the most likely action."""
    branch_steps: int = 1
    """Control steps that the members of a branching group are followed by themselves."""

    @property
    def branching(self) -> bool:
        """Whether a group is one episode, which goes on with one of its members at a time."""
        return self.form in ("branch", "probe", "branch_ends", "probe_ends", "look")

    @property
    def probing(self) -> bool:
        """Whether only the first actions of branches are drawn."""
        return self.form in ("probe", "probe_ends")

    @property
    def first_end(self) -> int:
        """The rollout that the end of member 0 is shown as, the others' counting on from it: where
        a branch ends, its own number may speak for those who go on from another one's state."""
        return self.group_size if self.form in ("branch_ends", "probe_ends") else 0

    def first_parting(self, group: int) -> int:
        """The step before which the members of a group are all in one state. Drawn for each group
        of a `probe`, so that every step of an episode is probed in some group."""
        if not self.probing:
            return 0
        # Not (seed, group), which places the scene, and not (seed, group, n), which draws branches.
        return int(np.random.default_rng((self.seed, group, 0, 1)).integers(self.branch_steps))

    def parts(self, group: int, step: int) -> bool:
        """Whether the members of a group are in one state there, and go on by themselves."""
        since = step - self.first_parting(group)
        return since >= 0 and since % self.branch_steps == 0 if self.branching else step == 0

    def parted(self, group: int, step: int) -> int:
        """Where they parted last; 0 before the first time."""
        since = step - self.first_parting(group)
        return step - since % self.branch_steps if self.branching and since >= 0 else 0

    def explores(self, group: int, step: int) -> bool:
        """Whether the actions there are drawn at `temperature`; else the most likely is taken."""
        return not self.probing or self.parts(group, step)

    def branches_end(self, group: int, step: int) -> bool:
        """Whether members that have gone on by themselves part anew there: of all but one, what
        they see then is nobody's next observation."""
        return step > self.first_parting(group) and self.parts(group, step)

    def shows_end(
        self, group: int, step: int, *, terminated: bool, truncated: bool, chosen: bool
    ) -> bool:
        """Whether what a member sees after its action at that step is shown in a row that asks for
        no action, for no other row shows it, and more would have come of it."""
        if terminated:
            return False
        if truncated:
            return self.form == "episode" or self.first_end > 0
        return self.first_end > 0 and not chosen and self.branches_end(group, step + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """N camera observations. Row n speaks for the `samples_N[n]` rollouts
    `rollout_N[n], rollout_N[n] + 1, …` of its group, which are in the same state there
    (at a common start, or at a branching point), so that it is rendered and encoded once.
    A row with `samples_N[n]` 0 asks for no action: it is what a rollout sees after its last
    step. Of one that was cut off by the limit of steps (truncated) a critic says with it what
    was still to come (form `episode`), of a branch the process reward model what it led to (see
    `RolloutRequest.first_end`); of an evaluation it ends the film (`FILMED`)."""

    image_NC: NDArray[np.uint8]
    """u8[N, C, H, W, 3], RGB."""
    ee_pose_N: NDArray[np.float32]
    """f32[N, 7], measured pose of the tool centre point."""
    gripper_width_N: NDArray[np.float32]
    """f32[N], measured distance of the fingers [m]."""
    instruction_N: tuple[str, ...]
    group_N: NDArray[np.int64]
    rollout_N: NDArray[np.int32]
    samples_N: NDArray[np.int32]
    step_N: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.group_N)

    @property
    def row_M(self) -> NDArray[np.int64]:
        """i64[M], the row that speaks for each rollout that waits for an action."""
        return np.repeat(np.arange(len(self)), self.samples_N)

    @property
    def rollout_M(self) -> NDArray[np.int32]:
        """i32[M], the rollouts that wait for an action, in the order of an answer's rows."""
        first_M = np.repeat(np.cumsum(self.samples_N) - self.samples_N, self.samples_N)
        offset_M = np.arange(len(first_M)) - first_M
        return (self.rollout_N[self.row_M] + offset_M).astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What became of M actions."""

    group_M: NDArray[np.int64]
    rollout_M: NDArray[np.int32]
    step_M: NDArray[np.int32]
    reward_M: NDArray[np.float32]
    """f32[M], the weighted sum of the terms."""
    reward_term_names: tuple[str, ...]
    reward_term_MK: NDArray[np.float32]
    """f32[M, K], unweighted."""
    terminated_M: NDArray[np.bool_]
    truncated_M: NDArray[np.bool_]
    success_M: NDArray[np.bool_]
    chosen_M: NDArray[np.bool_]
    """False for a branch that the episode did not go on with; always True in trajectories."""

    def __len__(self) -> int:
        return len(self.group_M)


@dataclass(frozen=True, slots=True, eq=False)
class ObservationBatch:
    """One message a control step, for all environments: the outcomes of the last actions and
    the observations that wait for the next ones. `last` closes the request (N may be 0)."""

    sequence: int
    """Counts up by one a message of this publisher; a gap is a lost message."""
    request: RolloutRequest
    observations: Observations
    outcomes: Outcomes
    last: bool
    render_s: float = 0.0
    """Wall clock that rendering these images took [s]."""

    @property
    def judges(self) -> bool:
        """Whether it asks which member each group goes on with (form `look`). Row m shows the
        state after the action of `outcomes` row m; the answer is a row a group that names the
        member, and whose action has no tokens. The outcomes come again with `chosen_M` then."""
        asks_nothing = not self.observations.samples_N.any()
        return self.request.form == "look" and not self.last and asks_nothing


@dataclass(frozen=True, slots=True, eq=False)
class ActionBatch:
    """The answer to one `ObservationBatch`: one action for each rollout that it speaks for,
    in the order of its rows (see also `ObservationBatch.judges`)."""

    sequence: int
    request_id: int
    policy_version: int
    group_M: NDArray[np.int64]
    rollout_M: NDArray[np.int32]
    step_M: NDArray[np.int32]
    token_MT: NDArray[np.int32]
    """i32[M, T], ids in the model's vocabulary; `NO_ACTION` in rows that the policy has no answer
    to, because it does not know what was said before. Simulation and trainer drop their groups."""
    logprob_MT: NDArray[np.float32]
    """f32[M, T], log-probabilities under the distribution that was sampled from: logits over
    the allowed action tokens of each position, divided by the request's temperature (by 1
    where that is 0). The trainer computes its own in the same way."""
    target_M: NDArray[np.float32]
    """f32[M, 8], end-effector target: pose (7) and gripper width [m]."""

    def __len__(self) -> int:
        return len(self.group_M)

    @property
    def said_M(self) -> NDArray[np.bool_]:
        """bool[M], whether there is an action."""
        return (self.token_MT != NO_ACTION).all(axis=-1)

    def answers(self, asked: ObservationBatch) -> bool:
        """Whether these are the actions of all rollouts that wait there, in the order asked."""
        obs = asked.observations
        return (
            not asked.last
            and self.request_id == asked.request.request_id
            and np.array_equal(self.group_M, obs.group_N[obs.row_M])
            and np.array_equal(self.rollout_M, obs.rollout_M)
            and np.array_equal(self.step_M, obs.step_N[obs.row_M])
        )


@dataclass(frozen=True, slots=True, eq=False)
class ScoreBatch:
    """What the process reward model says of the observations of one `ObservationBatch`, row by
    row: a score is of whoever the row speaks for."""

    sequence: int
    request_id: int
    group_N: NDArray[np.int64]
    rollout_N: NDArray[np.int32]
    step_N: NDArray[np.int32]
    score_N: NDArray[np.float32]
    """f32[N] in [0, 1], how far on its way to success the rollout is."""

    def __len__(self) -> int:
        return len(self.group_N)


@dataclass(frozen=True, slots=True)
class PolicyUpdate:
    """A new policy: the file of safetensors that holds its weights."""

    version: int
    path: str
