"""From a command line to a policy server that listens."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from rlrobo_core.errors import spoken
from rlrobo_core.task_set import make_tasks, widest_task
from rlrobo_core.tasks import TASKS, Task, make_task
from rlrobo_policy.remote.layout import Served
from rlrobo_policy.remote.server import PolicyServer, ServerConfig, door_of
from rlrobo_policy.spec import PolicySpec

CONVERSATIONS = 64
"""Connections whose episodes are remembered, where the policy reads former turns."""


@dataclass(frozen=True)
class Command:
    """Serve a checkpoint to robots on other machines (docs/remote.md)."""

    checkpoint: Path
    """Directory of a checkpoint, runs/<run>/checkpoints/<version>."""
    server: tyro.conf.OmitArgPrefixes[ServerConfig]
    task: str = ""
    """Task or tasks to act for, as in training; all that the checkpoint's actions fit without."""
    variant: Literal["default", "panda_gym"] = "default"
    """The tasks' numbers: our own, or panda_gym's."""
    device: str = "cpu"
    """Where the model runs: cpu, cuda, cuda:1, …"""


def fitting_tasks(spec: PolicySpec, variant: str) -> dict[str, Task]:
    """The tasks whose action space is the checkpoint's."""
    tasks = [make_task(name, variant) for name in TASKS]
    fitting = {
        task.name: task
        for task in tasks
        if (task.action_dims, task.max_step) == (spec.action_dims, spec.max_step)
    }
    if not fitting:
        raise ValueError(
            f"no task has the checkpoint's actions, {', '.join(spec.action_dims)} of at most "
            f"{spec.max_step} m; choose --task and --variant as in its training"
        )
    return fitting


def make_server(command: Command) -> PolicyServer:
    """ValueError where the directory is no checkpoint of ours, or of another space."""
    spec = PolicySpec.load(command.checkpoint)
    if spec is None:
        raise ValueError(
            f"{command.checkpoint} holds no rlrobo.json, so it is no checkpoint of a policy; give "
            "runs/<run>/checkpoints/<version>"
        )
    tasks = (
        make_tasks(command.task, command.variant)
        if command.task
        else fitting_tasks(spec, command.variant)
    )
    door_of(command.server)  # what is wrong there is told before a large model is loaded
    from rlrobo_policy.conversation import Memory
    from rlrobo_policy.policy import load_policy

    policy = load_policy(
        str(command.checkpoint),
        widest_task(tasks.values()),
        spec.codec,
        spec.cameras,
        spec.image_size,
        device=command.device,
        proprioception=spec.proprioception,
        others=tasks.values(),
        history=spec.history,
    )
    name = command.checkpoint.resolve().name
    policy.version = int(name) if name.isdecimal() else 0
    policy.memory = Memory(spec.history, requests=CONVERSATIONS)
    served = Served.of(tasks.values(), spec.cameras, spec.image_size)
    return PolicyServer(policy, tasks, served, command.server, spec.history)


async def serve_until_signal(server: PolicyServer) -> None:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with server.listening() as port:
        where = f"{server.scheme}://{server.config.host}:{port}"
        print(f"[policy_server] {', '.join(server.tasks)} at {where}", flush=True)
        await ended.wait()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="[policy_server] %(message)s")
    logging.getLogger("websockets").setLevel(logging.WARNING)
    with spoken():
        asyncio.run(serve_until_signal(make_server(tyro.cli(Command))))
