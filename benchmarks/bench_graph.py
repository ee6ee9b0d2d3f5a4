"""What the ROS graph costs: rollouts through simulation and policy nodes, and the same engine
and policy in one process without ROS, in alternated rounds on the same machine.

    python benchmarks/bench_graph.py --rounds 10 --batches 36 --json graph.json

The graph is the real one: a simulation process, a policy process, and this process in the
trainer's place, which hears every message and counts the lost ones. Both sides do the same
work: as many images rendered, as many actions decoded, in batches of the same size.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

if "--serve-policy" not in sys.argv:  # the child is told its domain
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault(
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    str(Path(__file__).resolve().parents[1] / "src/rlrobo/config/fastdds.xml"),
)

import numpy as np
import rclpy

from rlrobo_core.ros.nodes import Received, RecordNode
from rlrobo_core.ros.running import run_node, spinning
from rlrobo_core.tasks import Task, make_task
from rlrobo_core.types import ActionBatch, ObservationBatch, PolicyUpdate, RolloutRequest
from rlrobo_policy.node import PolicyNode
from rlrobo_policy.policy import Policy, load_policy
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine


@dataclass(frozen=True)
class Settings:
    policy: str
    num_envs: int
    image_size: int
    rounds: int
    """At least so many."""
    steps: int
    """Environment steps through ROS, at least so many."""
    batches: int
    """About so many messages a round and topic."""


class Round(NamedTuple):
    """One request, from start to `last`."""

    env_steps: int
    batches: int
    seconds: float
    lost: int

    @property
    def rate(self) -> float:
        """[environment steps/s]"""
        return self.env_steps / self.seconds


class RandomPolicy:
    """Costs next to nothing, so that what remains is simulation, rendering and the wire."""

    version = 0

    def act(self, batch: ObservationBatch) -> ActionBatch:
        obs = batch.observations
        row_M, count = obs.row_M, int(obs.samples_N.sum())
        target_M = np.column_stack([obs.ee_pose_N, obs.gripper_width_N])[row_M].astype(np.float32)
        target_M[:, :3] += np.random.default_rng(batch.sequence).uniform(-0.05, 0.05, (count, 3))
        return ActionBatch(
            sequence=0,
            request_id=batch.request.request_id,
            policy_version=self.version,
            group_M=obs.group_N[row_M],
            rollout_M=obs.rollout_M,
            step_M=obs.step_N[row_M],
            token_MT=np.zeros((count, 3), np.int32),
            logprob_MT=np.zeros((count, 3), np.float32),
            target_M=target_M,
        )

    def load_weights(self, update: PolicyUpdate) -> None:
        self.version = update.version


class Listener(RecordNode):
    """In the trainer's place."""

    def __init__(self) -> None:
        super().__init__(
            "listener",
            listens_to=(ObservationBatch, ActionBatch),
            speaks=(RolloutRequest,),
        )
        self.lost = self.env_steps = self.batches = 0

    def receive(self, received: Received) -> None:
        self.lost += received.lost
        if isinstance(received.record, ObservationBatch):
            self.env_steps += len(received.record.outcomes)
            self.batches += 1
            self.done = received.record.last

    def work(self) -> None:
        pass

    def time(self, request: RolloutRequest) -> Round:
        self.lost = self.env_steps = self.batches = 0
        self.done = False
        began = time.perf_counter()
        self.publish(request)
        self.run()
        return Round(self.env_steps, self.batches, time.perf_counter() - began, self.lost)


def time_without_ros(engine: RolloutEngine, policy: Policy, request: RolloutRequest) -> Round:
    began = time.perf_counter()
    batch: ObservationBatch | None = engine.start(request)
    env_steps, batches = 0, 1
    while batch and not batch.last:
        batch = engine.act(policy.act(batch))
        assert batch, "the policy answered something else"
        env_steps, batches = env_steps + len(batch.outcomes), batches + 1
    return Round(env_steps, batches, time.perf_counter() - began, 0)


def make_policy(settings: Settings, task: Task) -> Policy:
    if settings.policy == "random":
        return RandomPolicy()
    policy = load_policy(settings.policy, task, image_size=settings.image_size)
    policy.version = 0  # in the trainer's place: these weights will do
    return policy


def serve_policy(settings: Settings) -> int:
    policy = make_policy(settings, make_task("reach"))
    return run_node(lambda: PolicyNode(policy), [sys.argv[0]])


@contextmanager
def process(*command: str) -> Iterator[None]:
    child = subprocess.Popen([sys.executable, *command])
    try:
        yield
    finally:
        child.send_signal(signal.SIGINT)
        child.wait()


@contextmanager
def graph(settings: Settings) -> Iterator[Listener]:
    sim = ["num_envs", settings.num_envs, "image_size", settings.image_size, "group_size", 1]
    parameters = [x for k, v in zip(sim[::2], sim[1::2], strict=True) for x in ("-p", f"{k}:={v}")]
    rclpy.init()
    listener = Listener()
    run_sim = ("-c", "from rlrobo_sim.node import main; main()", "--ros-args", *parameters)
    run_policy = (__file__, "--serve-policy", json.dumps(asdict(settings)))
    with process(*run_sim), process(*run_policy), spinning(listener):
        yield listener
    listener.destroy_node()
    rclpy.try_shutdown()


def requests(settings: Settings) -> Iterator[RolloutRequest]:
    """One a round, without end: groups of one rollout keep every world busy. The first is short."""
    waves = max(1, settings.batches // make_task("reach").max_steps)
    count = waves * settings.num_envs
    for number in itertools.count(1):
        yield RolloutRequest(
            request_id=number,
            iteration=number,
            phase="train",
            form="trajectory",
            task="reach",
            seed=number,
            group_ids=tuple(range(count if number > 1 else settings.num_envs)),
            group_size=1,
            min_policy_version=0,
            temperature=1.0,
        )


def measure(settings: Settings) -> list[tuple[Round, Round]]:
    """(without ROS, with ROS) of each round; a short first one warms both up."""
    task = make_task("reach")
    policy = make_policy(settings, task)
    simulator = MujocoSimulator(task, settings.num_envs, settings.image_size)
    pairs = []
    try:
        engine = RolloutEngine(simulator, task, group_size=1)
        with graph(settings) as listener:
            for request in requests(settings):
                plain = time_without_ros(engine, policy, request)
                ros = listener.time(request)
                pairs.append((plain, ros))
                print(f"round {len(pairs) - 1}: {plain.rate:7.1f} {ros.rate:7.1f}", flush=True)
                steps = sum(ros.env_steps for _, ros in pairs[1:])
                if len(pairs) > settings.rounds and steps >= settings.steps:
                    break
    finally:
        simulator.close()
    return pairs[1:]


def report(settings: Settings, pairs: list[tuple[Round, Round]]) -> dict[str, Any]:
    plain, ros = [a.rate for a, _ in pairs], [b.rate for _, b in pairs]
    ratio = [b / a for a, b in zip(plain, ros, strict=True)]
    table = {"one process": plain, "through ROS": ros, "ratio": ratio}
    print(f"\n{settings}\n{'':14}{'median':>10}{'lowest':>10}{'highest':>10}")
    for name, values in table.items():
        row = (statistics.median(values), min(values), max(values))
        print(f"{name:14}" + "".join(f"{value:10.{2 if name == 'ratio' else 1}f}" for value in row))
    lost, messages = sum(b.lost for _, b in pairs), sum(2 * b.batches - 1 for _, b in pairs)
    steps = sum(b.env_steps for _, b in pairs)
    print(f"{lost} of {messages} messages lost in {steps} environment steps (rates in steps/s)")
    return {
        "settings": asdict(settings),
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform()},
        "rates": table,
        "median": {name: statistics.median(values) for name, values in table.items()},
        "messages": messages,
        "messages_lost": lost,
        "env_steps": steps,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--policy", default="tiny", help="tiny, random, or a checkpoint")
    parser.add_argument("--num-envs", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batches", type=int, default=36, help="messages a round and topic")
    parser.add_argument("--steps", type=int, default=0, help="go on for so many environment steps")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--serve-policy", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve_policy:
        return serve_policy(Settings(**args.serve_policy))
    settings = Settings(
        args.policy, args.num_envs, args.image_size, args.rounds, args.steps, args.batches
    )
    figures = report(settings, measure(settings))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
