"""An arm's bag to demonstrations: a recording, or a data set that we wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.bag_decoding import Complain, decoded
from rlrobo_core.bag_reader import Bag, open_bag
from rlrobo_core.from_messages import (
    gripper_from_msg,
    image_from_msg,
    nanoseconds,
    pose_from_msg,
)
from rlrobo_core.preprocess import policy_image
from rlrobo_core.tasks import make_task
from rlrobo_sim.datasets.origin import Origin
from rlrobo_sim.datasets.rosbag import format
from rlrobo_sim.datasets.rosbag.format import (
    ACTION,
    ACTION_TYPE,
    EPISODE,
    FACT,
    INSTRUCTION,
    MARK,
    topics,
)
from rlrobo_sim.datasets.rosbag.trajectory import Episodes, Trajectory
from rlrobo_sim.demonstrations import Demonstrations

Keep = Literal["all", "judged", "succeeded"]


def warn(sentence: str) -> None:
    print(f"warning: {sentence}", file=sys.stderr)


def read(path: Path) -> tuple[Demonstrations, Origin]:
    """A data set that says what it is of. What of it cannot be read is named and left out;
    ValueError where nothing is left."""
    bag = open_bag(path)
    origin = origin_of(bag)
    if origin is None:
        raise ValueError(
            f"bag {path} does not say of which task it is (no {FACT!r} in {MARK}): if an arm's "
            f"episodes were recorded in it, make a data set of them by: rlrobo bag export {path} "
            "DIRECTORY --task TASK"
        )
    return read_recorded(bag, origin), origin


def origin_of(bag: Bag) -> Origin | None:
    """None of a recording: an arm does not know for which task a policy drives it."""
    told = bag.facts.get(FACT)
    return None if told is None else Origin.from_json(told, bag.path / MARK)


def read_recorded(
    bag: Bag,
    origin: Origin,
    keep: Keep = "all",
    namespace: str = "",
    complain: Complain = warn,
) -> Demonstrations:
    """The episodes that ended, with what was commanded as the actions of `origin`'s task, seen by
    its cameras. ValueError where a topic is missing or of another type or definition, and where no
    episode is left."""
    kept = [it for it in trajectories(bag, origin, namespace, complain) if _is_kept(it, keep)]
    if not kept:
        raise ValueError(
            f"bag {bag.path} holds no episode to keep ({keep}): an episode is what lies between "
            "an instruction and its result, as by: rlrobo run rlrobo_robot operate episode …"
        )
    return _as_demonstrations(kept)


def trajectories(
    bag: Bag, origin: Origin, namespace: str, complain: Complain
) -> Iterator[Trajectory]:
    """Episode after episode, as they ended. ValueError as in `read_recorded`."""
    labelled = FACT in bag.facts
    wanted = topics(origin.cameras, "gripper" in origin.action_dims)
    wanted |= {ACTION: ACTION_TYPE} if labelled else {}
    prefix = f"/{namespace.strip('/')}".rstrip("/")
    placed = {prefix + name: msgtype for name, msgtype in wanted.items()}
    task = make_task(origin.task, origin.variant)
    episodes = Episodes(task, origin.cameras, labelled, complain)

    def read(topic: str, msg: Any) -> Any:
        return _value(placed[topic], msg, origin.image_size)

    for topic, recorded, value in decoded(bag, placed, complain, read):
        name = topic.removeprefix(prefix)
        if name == EPISODE:
            yield from episodes.end(value)
        elif name != INSTRUCTION:
            stamp, said = value
            episodes.hear(name, recorded if stamp is None else stamp, said)
        elif value.data:
            episodes.begin(value.data)
    episodes.close()


def _value(msgtype: str, msg: Any, image_size: int) -> Any:
    """What is kept of a message; of a stamped one with its stamp [ns]. ValueError where it is no
    image or no number."""
    match msgtype:
        case format.IMAGE_TYPE:
            return nanoseconds(msg.header.stamp), policy_image(
                image_from_msg(msg, "rgb8"), image_size
            )
        case format.POSE_TYPE:
            return nanoseconds(msg.header.stamp), _finite(pose_from_msg(msg.pose))
        case format.JOINTS_TYPE:
            return nanoseconds(msg.header.stamp), _finite(gripper_from_msg(msg))
        case format.ACTION_TYPE:
            return None, _finite(msg.data)
    return msg


def _finite(values: Any) -> NDArray[np.floating[Any]]:
    if not np.isfinite(values).all():
        raise ValueError("it is not all numbers")
    return np.asarray(values)


def _is_kept(it: Trajectory, keep: Keep) -> bool:
    return keep == "all" or (it.success if keep == "succeeded" else it.judged)


def _as_demonstrations(kept: Sequence[Trajectory]) -> Demonstrations:
    lengths = [len(it.ee_pose_L) for it in kept]
    return Demonstrations(
        image_NC=np.concatenate([it.image_LC for it in kept]),
        ee_pose_N=np.concatenate([it.ee_pose_L for it in kept]),
        gripper_width_N=np.concatenate([it.gripper_width_L for it in kept]),
        instruction_N=tuple(
            it.instruction for it, length in zip(kept, lengths, strict=True) for _ in range(length)
        ),
        action_ND=np.concatenate([it.action_LD for it in kept]),
        episode_N=np.repeat(np.arange(len(kept)), lengths),
        step_N=np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        success_E=np.array([it.success for it in kept]),
    )
