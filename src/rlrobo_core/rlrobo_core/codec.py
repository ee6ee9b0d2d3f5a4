"""Action codecs: between normalised actions and the symbols that a language model writes.

A normalised action is f[..., D] in [-1, 1], one number for each of the task's `action_dims`:
x, y, z scale to +-`max_step` metres from the *measured* tool position, `gripper` to the
finger distance [0, 0.08] m. A codec turns it into T symbols out of V and back. Which token
ids the symbols are is the policy's business (`rlrobo_policy.vocabulary`).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.panda import MAX_WIDTH
from rlrobo_core.tasks import Task

Floats = NDArray[np.floating[Any]]
Indices = NDArray[np.integer[Any]]

TOOL_DOWN = np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32)
"""Quaternion xyzw of the tool pointing straight down, x forward (base frame)."""


class ActionCodec(Protocol):
    name: str
    num_tokens: int
    """T, tokens of one action."""
    words: tuple[str, ...] | None
    """The symbols as words of the language; None where they are new tokens of their own."""
    num_symbols: int
    """V"""

    def encode(self, action_ND: Floats) -> Indices:
        """i64[N, T] in [0, V)."""
        ...

    def decode(self, index_NT: Indices) -> NDArray[np.float32]:
        """f32[N, D]; `decode(encode(a))` is the nearest action that the codec can say."""
        ...

    def soft_targets(self, action_ND: Floats, sigma: float) -> NDArray[np.float32]:
        """f32[N, T, V], rows sum to 1: the target of imitation, smeared over neighbouring
        symbols where these have an order (`sigma` in symbols; 0: one-hot)."""
        ...


class Bins:
    """One token a dimension out of `num_symbols` uniform bins on [low, high]: RT-2's scheme
    (arXiv 2307.15818, section 3.2). An odd number of bins can say exactly "do not move"."""

    name = "tokens"
    words: tuple[str, ...] | None = None

    def __init__(self, dims: int, num_symbols: int = 17, low: float = -1.0, high: float = 1.0):
        self.num_tokens, self.num_symbols = dims, num_symbols
        self.centers_V = np.linspace(low, high, num_symbols, dtype=np.float32)

    def encode(self, action_ND: Floats) -> Indices:
        low, high = self.centers_V[0], self.centers_V[-1]
        fraction = (np.asarray(action_ND) - low) / (high - low)
        return np.clip(np.rint(fraction * (self.num_symbols - 1)), 0, self.num_symbols - 1).astype(
            np.int64
        )

    def decode(self, index_NT: Indices) -> NDArray[np.float32]:
        return self.centers_V[index_NT]

    def soft_targets(self, action_ND: Floats, sigma: float) -> NDArray[np.float32]:
        if sigma == 0:
            return np.eye(self.num_symbols, dtype=np.float32)[self.encode(action_ND)]
        width = self.centers_V[1] - self.centers_V[0]
        clipped = np.clip(action_ND, self.centers_V[0], self.centers_V[-1])
        offset_NTV = (self.centers_V - clipped[..., None]) / width
        weight_NTV = np.exp(-0.5 * (offset_NTV / sigma) ** 2)
        return (weight_NTV / weight_NTV.sum(-1, keepdims=True)).astype(np.float32)


class Words:
    """One word a step, as in the RLROBO project: the word's direction at full step, or stay."""

    name = "words"
    num_tokens = 1
    NAMES: dict[str, tuple[str, str]] = {
        "x": ("forward", "backward"),
        "y": ("left", "right"),
        "z": ("up", "down"),
        "gripper": ("open", "close"),
    }
    """dimension -> (positive, negative). REP-103: x forward, y left, z up."""

    def __init__(self, dims: tuple[str, ...]):
        self.words: tuple[str, ...] | None = (
            "stay",
            *(word for dim in dims for word in self.NAMES[dim]),
        )
        self.num_symbols = 1 + 2 * len(dims)
        unit_DD = np.eye(len(dims), dtype=np.float32)
        signed = np.stack([unit_DD, -unit_DD], axis=1).reshape(-1, len(dims))
        self.directions_VD = np.concatenate([np.zeros((1, len(dims)), np.float32), signed])

    def _distance_NV(self, action_ND: Floats) -> Floats:
        return np.linalg.norm(np.asarray(action_ND)[:, None] - self.directions_VD, axis=-1)

    def encode(self, action_ND: Floats) -> Indices:
        return self._distance_NV(action_ND).argmin(-1)[:, None]

    def decode(self, index_NT: Indices) -> NDArray[np.float32]:
        return self.directions_VD[index_NT[:, 0]]

    def soft_targets(self, action_ND: Floats, sigma: float) -> NDArray[np.float32]:
        del sigma  # words have no neighbours
        return np.eye(self.num_symbols, dtype=np.float32)[self.encode(action_ND)]


class Choices:
    """One of several words, for questions that such a word answers. Its "actions" are indices,
    f[N, 1]. Not a codec of actions, but taught like one."""

    name = "choices"
    num_tokens = 1

    def __init__(self, words: tuple[str, ...]):
        self.words: tuple[str, ...] | None = words
        self.num_symbols = len(words)

    def encode(self, action_ND: Floats) -> Indices:
        return np.asarray(action_ND).astype(np.int64)

    def decode(self, index_NT: Indices) -> NDArray[np.float32]:
        return index_NT.astype(np.float32)

    def soft_targets(self, action_ND: Floats, sigma: float) -> NDArray[np.float32]:
        del sigma  # words have no neighbours
        return np.eye(self.num_symbols, dtype=np.float32)[self.encode(action_ND)]


CODECS = ("tokens", "words")


def make_codec(name: str, task: Task) -> ActionCodec:
    """The codec of that name for the task's action dimensions; ValueError names the choices."""
    if name == "tokens":
        return Bins(len(task.action_dims))
    if name == "words":
        return Words(task.action_dims)
    raise ValueError(f"unknown action codec {name!r}; choose one of: {', '.join(CODECS)}")


def end_effector_target(task: Task, ee_pose_N: Floats, action_ND: Floats) -> NDArray[np.float32]:
    """f32[N, 8], pose in the base frame and gripper width: where a normalised action sends the
    tool, counted from its measured pose `ee_pose_N` (f[N, 7]). The tool points down; the
    gripper keeps `task.hold_width` where the task does not command it."""
    action_ND = np.clip(action_ND, -1.0, 1.0)
    target_N8 = np.zeros((len(action_ND), 8), dtype=np.float32)
    target_N8[:, :3] = ee_pose_N[:, :3]
    target_N8[:, 3:7] = TOOL_DOWN
    target_N8[:, 7] = task.hold_width
    for column, dim in enumerate(task.action_dims):
        if dim == "gripper":
            target_N8[:, 7] = (action_ND[:, column] + 1.0) / 2.0 * MAX_WIDTH
        else:
            target_N8[:, "xyz".index(dim)] += action_ND[:, column] * task.max_step
    return target_N8


def normalised_action(task: Task, ee_pose_N: Floats, target_N8: Floats) -> NDArray[np.float32]:
    """f32[N, D], the action that `end_effector_target` made `target_N8` of, to rounding."""
    columns = [
        target_N8[:, 7] / MAX_WIDTH * 2.0 - 1.0
        if dim == "gripper"
        else (target_N8[:, "xyz".index(dim)] - ee_pose_N[:, "xyz".index(dim)]) / task.max_step
        for dim in task.action_dims
    ]
    return np.stack(columns, axis=1).astype(np.float32)
