"""Trajectories to learn from: of rollouts that run now, of a training's bags, of a scripted expert
or of a data set.

Shape legend: L steps of a trajectory, C cameras.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.bag_reader import open_bag
from rlrobo_core.bag_records import bags_in, rollouts
from rlrobo_core.shifts import parse_task
from rlrobo_core.tasks import Task
from rlrobo_core.types import ActionBatch, ObservationBatch, Observations, RolloutRequest
from rlrobo_policy.policy import Policy
from rlrobo_sim import datasets
from rlrobo_sim.demonstrations import expert_episodes
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_sim.simulator import Simulator


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """One whole trajectory: what was seen when each of its actions was chosen."""

    instruction: str
    image_LC: NDArray[np.uint8]
    """u8[L, C, H, W, 3]"""
    ee_pose_L: NDArray[np.float32]
    """f32[L, 7]"""
    gripper_width_L: NDArray[np.float32]
    """f32[L] [m]"""
    success: bool

    def __len__(self) -> int:
        return len(self.gripper_width_L)


Row = tuple[Observations, int]
"""One observation of a batch."""


def watch(batches: Iterable[ObservationBatch]) -> Iterator[Watched]:
    """The trajectories of rollouts, each as it ends. One of which an observation is missing is
    left out. ValueError where rollouts branch: what most of them led to is not seen."""
    seen: dict[tuple[int, int, int], dict[int, Row]] = defaultdict(dict)
    for batch in batches:
        if batch.request.branching:
            raise ValueError(
                "these rollouts branch (algorithm:=branch_grpo), so that what most actions led to "
                "is not seen: take rollouts of algorithm:=grpo or ppo"
            )
        number, out, obs = batch.request.request_id, batch.outcomes, batch.observations
        ended_M = out.terminated_M | out.truncated_M
        for m in np.flatnonzero(ended_M):
            rows = seen.pop((number, int(out.group_M[m]), int(out.rollout_M[m])), {})
            if sorted(rows) == list(range(int(out.step_M[m]) + 1)):
                yield _joined([rows[step] for step in sorted(rows)], bool(out.success_M[m]))
        for n in range(len(obs)):
            for rollout in range(obs.rollout_N[n], obs.rollout_N[n] + obs.samples_N[n]):
                seen[number, int(obs.group_N[n]), rollout][int(obs.step_N[n])] = (obs, n)


def _joined(rows: list[Row], success: bool) -> Watched:
    return Watched(
        instruction=rows[0][0].instruction_N[rows[0][1]],
        image_LC=np.stack([obs.image_NC[n] for obs, n in rows]),
        ee_pose_L=np.stack([obs.ee_pose_N[n] for obs, n in rows]),
        gripper_width_L=np.array([obs.gripper_width_N[n] for obs, n in rows], np.float32),
        success=success,
    )


def of_policy(
    simulator: Simulator, task: Task, policy: Policy, episodes: int, seed: int, temperature: float
) -> list[Watched]:
    """Episodes 0 … `episodes` - 1 of `seed`, as the policy samples them."""
    if not episodes:
        return []
    request = RolloutRequest(
        request_id=0,
        iteration=0,
        phase="train",
        form="trajectory",
        task=task.name,
        seed=seed,
        group_ids=tuple(range(episodes)),
        group_size=1,
        min_policy_version=policy.version,
        temperature=temperature,
    )
    turns = converse(RolloutEngine(simulator, task, 1), request, policy)
    return list(watch(batch for batch, _ in turns))


def converse(
    engine: RolloutEngine, request: RolloutRequest, policy: Policy
) -> Iterator[tuple[ObservationBatch, ActionBatch]]:
    """What simulation and policy say in turn, all of a request."""
    batch: ObservationBatch | None = engine.start(request)
    while batch is not None:
        actions = policy.act(batch)
        yield batch, actions
        batch = None if batch.last else engine.act(actions)


def of_expert(
    simulator: Simulator, task: Task, episodes: int, seed: int, noise: float
) -> list[Watched]:
    """The scripted expert's, with noise as in `rlrobo_sim.demonstrations.collect`."""
    if not episodes:
        return []
    moments = expert_episodes(simulator, task, episodes, seed, noise)
    return list(watch(moment.batch for moment in moments))


def of_bags(path: Path, task: Task, cameras: int, image_size: int) -> list[Watched]:
    """Of the rollouts that a training recorded (record:=true), those of the task. ValueError where
    they were seen otherwise."""
    found: list[Watched] = []
    for bag in bags_in(path):
        recorded = (it.record for it in rollouts(open_bag(bag), print))
        batches = (it for it in recorded if isinstance(it, ObservationBatch))
        requests = (it for it in batches if it.request.phase == "train")  # the others are held out
        found += watch(it for it in requests if parse_task(it.request.task)[0] == task.name)
    wanted = (cameras, image_size, image_size, 3)
    if odd := [it for it in found if it.image_LC.shape[1:] != wanted]:
        raise ValueError(
            f"{path} shows {odd[0].image_LC.shape[1]} images of {odd[0].image_LC.shape[2]} px a "
            f"step, and the model reads {cameras} of {image_size}: set cameras and image_size as "
            "recorded, or record another"
        )
    return found


def of_dataset(path: Path, task: Task, cameras: tuple[str, ...], image_size: int) -> list[Watched]:
    """Of demonstrations, LeRobot's or an arm's rosbag2. ValueError as `datasets.fitting`."""
    shown, origin = datasets.read(path)
    shown = datasets.fitting(shown, origin, task, cameras, image_size).in_order()
    trajectories = []
    for episode, success in enumerate(shown.success_E.tolist()):
        rows = np.flatnonzero(shown.episode_N == episode)
        trajectories.append(
            Watched(
                instruction=shown.instruction_N[rows[0]],
                image_LC=shown.image_NC[rows],
                ee_pose_L=shown.ee_pose_N[rows],
                gripper_width_L=shown.gripper_width_N[rows],
                success=success,
            )
        )
    return trajectories
