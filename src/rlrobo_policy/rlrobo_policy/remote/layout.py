"""What the two sides say to each other: openpi's names for our observations and actions.

    question    observation/image           u8[H, W, 3] RGB, the camera `front`
                observation/<camera>_image  u8[H, W, 3] RGB, any other camera
                observation/state           f32[8], tool pose (xyz, quaternion xyzw) in the base
                                            frame and finger distance [m], as in our data sets
                prompt                      the instruction
                rlrobo                      what else we know of it: task, temperature, seed, ids
    answer      actions                     f32[H, D], one row a control step, in [-1, 1]
                tokens, logprobs            i32[T], f32[T], of the first row, by our server
                policy_version, server_timing

An action is what it is in our data sets: numbers in [-1, 1] for the task's `action_dims`, from
the pose that is measured when it is used. So no server can send the arm further than one step.

Shape legend: H actions of a chunk, D action dimensions, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import Task
from rlrobo_core.types import (
    ActionBatch,
    ObservationBatch,
    Observations,
    Outcomes,
    RolloutRequest,
)
from rlrobo_policy.remote.wire import Message

PROTOCOL = 1
"""Of the metadata under `rlrobo`; counts up when an old client would misread them."""


@dataclass(frozen=True, slots=True)
class ActionSpace:
    """What the numbers of an action mean."""

    action_dims: tuple[str, ...]
    max_step: float
    """[m]"""
    hold_width: float
    """What the fingers keep where the policy does not command them [m]."""

    @staticmethod
    def of(task: Task) -> ActionSpace:
        return ActionSpace(tuple(task.action_dims), float(task.max_step), float(task.hold_width))


@dataclass(frozen=True, slots=True)
class Served:
    """What a server offers, and what a robot wants; both sides make one and compare."""

    cameras: tuple[str, ...]
    image_size: int
    """[px], square"""
    tasks: dict[str, ActionSpace]
    """By name. The first one is acted for where a client names none."""
    policy_version: int = -1

    @staticmethod
    def of(tasks: Iterable[Task], cameras: tuple[str, ...], image_size: int) -> Served:
        return Served(cameras, image_size, {task.name: ActionSpace.of(task) for task in tasks})

    def metadata(self) -> Message:
        return {"rlrobo": {"protocol": PROTOCOL, **asdict(self)}}

    @staticmethod
    def from_metadata(metadata: Message) -> Served:
        """ValueError where the metadata are not those of an rlrobo server of this protocol."""
        said = metadata.get("rlrobo")
        if not isinstance(said, dict) or said.get("protocol") != PROTOCOL:
            raise ValueError(
                "the server does not say what its policy sees and does (its metadata are "
                f"{str(metadata)[:80]}): start the policy_server of the same rlrobo there, or, if "
                "it is an openpi server whose policy learned from our data sets, set openpi:=true"
            )
        try:
            spaces = {
                str(name): ActionSpace(tuple(it["action_dims"]), it["max_step"], it["hold_width"])
                for name, it in said["tasks"].items()
            }
            cameras = tuple(str(camera) for camera in said["cameras"])
            return Served(cameras, int(said["image_size"]), spaces, _whole(said, "policy_version"))
        except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"the server's metadata are damaged: {error!r}") from error

    def check(self, there: Served) -> None:
        """ValueError, naming each difference, where a server does not offer what is wanted."""
        odd = []
        if set(there.cameras) != set(self.cameras):
            odd.append(f"cameras are {there.cameras} there and {self.cameras} here")
        if there.image_size != self.image_size:
            odd.append(f"image_size is {there.image_size} there and {self.image_size} here")
        for name, space in self.tasks.items():
            if name not in there.tasks:
                odd.append(f"task {name!r} is not among {', '.join(there.tasks)}")
            elif there.tasks[name] != space:
                odd.append(f"actions of {name!r} are {there.tasks[name]} there and {space} here")
        if odd:
            raise ValueError(
                "the server's policy is of another observation or action space: "
                f"{'; '.join(odd)}. Start the policy_server there with a checkpoint for this "
                "robot, or this robot with the server's cameras, image_size and task"
            )


def image_key(camera: str) -> str:
    """openpi's names in its LIBERO policy: the outer camera has none, the wrist's is named."""
    return "observation/image" if camera == "front" else f"observation/{camera}_image"


# The question ----------------------------------------------------------------------------


def question(batch: ObservationBatch, cameras: tuple[str, ...], ours: bool) -> Message:
    """Of a batch of one observation. `ours`: the server is rlrobo's, so that what only it
    understands is said too."""
    obs, request = batch.observations, batch.request
    images = dict(zip(map(image_key, cameras), obs.image_NC[0], strict=True))
    state = np.append(obs.ee_pose_N[0], obs.gripper_width_N[0]).astype(np.float32)
    said: Message = {**images, "observation/state": state, "prompt": obs.instruction_N[0]}
    if ours:
        said["rlrobo"] = {
            "task": request.task,
            "temperature": float(request.temperature),
            "seed": request.seed,
            "iteration": request.iteration,
            "group": int(obs.group_N[0]),
            "rollout": int(obs.rollout_N[0]),
            "step": int(obs.step_N[0]),
        }
    return said


def read_question(said: Message, served: Served) -> ObservationBatch:
    """The batch of one observation; ValueError names what is missing or of another shape."""
    side = served.image_size
    image_C = [
        array_of(said, image_key(camera), np.uint8, (side, side, 3)) for camera in served.cameras
    ]
    state = array_of(said, "observation/state", np.float32, (8,))
    if not np.isfinite(state).all():
        raise ValueError(f"'observation/state' must be numbers, not {state.tolist()}")
    prompt, known = said.get("prompt"), said.get("rlrobo", {})
    if not isinstance(prompt, str):
        raise ValueError("the observation lacks 'prompt', the instruction as text")
    if not isinstance(known, dict):
        raise ValueError("'rlrobo' of the observation must be a map")
    bits = {"seed": 64, "iteration": 64, "group": 64, "rollout": 32, "step": 32}
    ids = {name: _whole(known, name, bits=width) for name, width in bits.items()}
    task, temperature = known.get("task", next(iter(served.tasks))), known.get("temperature", 0.0)
    if not isinstance(task, str) or not isinstance(temperature, int | float) or temperature < 0:
        raise ValueError("'task' must be text, and 'temperature' a number that is not negative")
    request = RolloutRequest(
        request_id=0,
        iteration=ids["iteration"],
        phase="eval",
        form="trajectory",
        task=task,
        seed=ids["seed"],
        group_ids=(ids["group"],),
        group_size=1,
        min_policy_version=0,
        temperature=float(temperature),
    )
    observations = Observations(
        image_NC=np.stack(image_C)[None],
        ee_pose_N=state[None, :7],
        gripper_width_N=state[7:],
        instruction_N=(prompt,),
        group_N=np.array([ids["group"]], np.int64),
        rollout_N=np.array([ids["rollout"]], np.int32),
        samples_N=np.ones(1, np.int32),
        step_N=np.array([ids["step"]], np.int32),
    )
    return ObservationBatch(0, request, observations, no_outcomes(), last=False)


def no_outcomes() -> Outcomes:
    """Of a dialogue that nobody scores."""
    return Outcomes(
        group_M=np.zeros(0, np.int64),
        rollout_M=np.zeros(0, np.int32),
        step_M=np.zeros(0, np.int32),
        reward_M=np.zeros(0, np.float32),
        reward_term_names=(),
        reward_term_MK=np.zeros((0, 0), np.float32),
        terminated_M=np.zeros(0, np.bool_),
        truncated_M=np.zeros(0, np.bool_),
        success_M=np.zeros(0, np.bool_),
        chosen_M=np.zeros(0, np.bool_),
    )


# The answer ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    action_HD: NDArray[np.float32]
    """f32[H, D]"""
    token_T: NDArray[np.int32]
    logprob_T: NDArray[np.float32]
    policy_version: int
    """-1 where the server does not say."""
    infer_s: float
    """What the model took, by the server's own clock [s]; nan where it does not say."""


def answer(actions: ActionBatch, action_D: NDArray[np.float32], infer_s: float) -> Message:
    """Of an answer with one row."""
    return {
        "actions": action_D[None],
        "tokens": actions.token_MT[0],
        "logprobs": actions.logprob_MT[0],
        "policy_version": actions.policy_version,
        "server_timing": {"infer_ms": 1000.0 * infer_s},
    }


def read_answer(said: Message, dims: tuple[str, ...]) -> Answer:
    """ValueError where the actions are not numbers for these dimensions."""
    action_HD = array_of(said, "actions", np.float32, (None, len(dims)))
    if not len(action_HD) or not np.isfinite(action_HD).all():
        raise ValueError("the server's actions are empty or not all numbers")
    timing = said.get("server_timing")
    infer_ms = timing.get("infer_ms") if isinstance(timing, dict) else None
    return Answer(
        action_HD=np.clip(action_HD, -1.0, 1.0),
        token_T=array_of({"tokens": np.zeros(0, np.int32)} | said, "tokens", np.int32, (None,)),
        logprob_T=array_of(
            {"logprobs": np.zeros(0, np.float32)} | said, "logprobs", np.float32, (None,)
        ),
        policy_version=_whole(said, "policy_version", -1),
        infer_s=infer_ms / 1000 if isinstance(infer_ms, int | float) else np.nan,
    )


def array_of(
    said: Message, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> NDArray[Any]:
    """The array of that name; None in the shape is any size. Floats of another width are
    converted; images are not: who sends floats must say what 1 means."""
    found = said.get(name)
    if not isinstance(found, np.ndarray):
        raise ValueError(f"the message lacks the array {name!r}; it has {', '.join(said)[:300]}")
    fits = len(found.shape) == len(shape) and all(
        want in (None, size) for want, size in zip(shape, found.shape, strict=True)
    )
    casting = "same_kind" if np.issubdtype(dtype, np.floating) else "safe"
    if not fits or not np.can_cast(found.dtype, dtype, casting):
        wanted = f"{np.dtype(dtype).name}{list(shape)}".replace("None", "any")
        raise ValueError(f"{name!r} is {found.dtype}{list(found.shape)}, but must be {wanted}")
    return found.astype(dtype)


def _whole(said: Message, name: str, default: int = 0, bits: int = 32) -> int:
    value = said.get(name, default)
    if type(value) is not int or not -(2 ** (bits - 1)) < value < 2 ** (bits - 1):
        raise ValueError(f"{name!r} must be a whole number of {bits} bits, not {str(value)[:40]}")
    return value
