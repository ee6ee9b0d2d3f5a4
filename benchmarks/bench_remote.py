"""What asking a policy on another machine costs beside the model itself: the round trip over
loopback, minus what the server says that the model took.

    ./rlrobo bench remote
    ./rlrobo bench remote --server wss://gpu.example:8000 --token-file token    # a real network

Without --server, one runs here in a process of its own, with a tiny model for these cameras and
this image size. Prints a histogram and, with --json FILE, writes what it measured.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from rlrobo_core.tasks import make_task
from rlrobo_core.types import ObservationBatch, Observations, RolloutRequest
from rlrobo_policy.remote.client import RemoteConfig, RemotePolicy
from rlrobo_policy.remote.layout import no_outcomes

EDGES_MS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 25.0, 50.0, np.inf)
TARGET_MS = 10.0


@dataclass(frozen=True)
class Options:
    server: str = ""
    """A server elsewhere; without one, one runs here."""
    token_file: str = ""
    ca_file: str = ""
    task: str = "reach"
    image_size: int = 224
    """[px]"""
    cameras: tuple[str, ...] = ("front", "wrist")
    questions: int = 300
    rate_hz: float = 0.0
    """Questions a second, as a robot asks; 0: one after the other."""
    json: Path | None = None


MAKE_CHECKPOINT = """
import sys
from pathlib import Path
from rlrobo_core.tasks import make_task
from rlrobo_policy.policy import load_policy
folder, task, size, *cameras = sys.argv[1:]
policy = load_policy("tiny", make_task(task), "tokens", tuple(cameras), int(size))
policy.save(Path(folder))
"""


@contextmanager
def server_here(options: Options) -> Iterator[str]:
    """The address of a server in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        what = [folder, options.task, str(options.image_size), *options.cameras]
        subprocess.run([sys.executable, "-c", MAKE_CHECKPOINT, *what], check=True)
        command = [sys.executable, "-m", "rlrobo_policy.remote", "--checkpoint", folder]
        process = subprocess.Popen(
            [*command, "--task", options.task, "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout
            found = re.search(r"ws://\S+", process.stdout.readline())
            if not found:
                raise ValueError("the server did not start; see its error above")
            yield found.group()
        finally:
            process.terminate()
            process.wait()


def observation(options: Options, step: int) -> ObservationBatch:
    """Noise, which nothing on the way can make smaller."""
    rng = np.random.default_rng(step)
    shape = (1, len(options.cameras), options.image_size, options.image_size, 3)
    observations = Observations(
        image_NC=rng.integers(0, 256, shape, dtype=np.uint8),
        ee_pose_N=np.array([[0.55, 0.0, 0.2, 1, 0, 0, 0]], np.float32),
        gripper_width_N=np.zeros(1, np.float32),
        instruction_N=("reach the green ball",),
        group_N=np.zeros(1, np.int64),
        rollout_N=np.zeros(1, np.int32),
        samples_N=np.ones(1, np.int32),
        step_N=np.array([step], np.int32),
    )
    request = RolloutRequest(1, 0, "eval", "trajectory", options.task, 0, (0,), 1, 0, 0.0)
    return ObservationBatch(step, request, observations, no_outcomes(), last=False)


def measure(options: Options, server: str) -> NDArray[np.float64]:
    """f64[questions, 2]: round trip and the model's part of it [s]."""
    config = RemoteConfig(
        server, token_file=options.token_file, ca_file=options.ca_file, deadline_s=60.0
    )
    task = make_task(options.task)
    policy = RemotePolicy(config, task, options.cameras, options.image_size)
    rows: list[tuple[float, float]] = []
    due = time.monotonic()
    try:
        for step in range(options.questions + 5):
            batch = observation(options, step)
            if options.rate_hz:
                due += 1.0 / options.rate_hz
                time.sleep(max(0.0, due - time.monotonic()))
            policy.act(batch)
            assert policy.timing
            rows.append(policy.timing)
    finally:
        policy.close()
    return np.array(rows[5:])  # the first ones warm both sides up


def report(options: Options, measured_N2: NDArray[np.float64]) -> dict[str, Any]:
    beside_ms = (measured_N2[:, 0] - measured_N2[:, 1]) * 1000
    count, _ = np.histogram(beside_ms, EDGES_MS)
    print(
        f"round trip beside the model, {len(beside_ms)} questions of {len(options.cameras)} ",
        end="",
    )
    print(f"cameras, {options.image_size} x {options.image_size}:")
    for low, high, n in zip(EDGES_MS, EDGES_MS[1:], count, strict=False):
        print(f"  {low:5.1f} to {high:5.1f} ms {n:6d} {'#' * round(60 * n / max(count))}")
    percentiles = {f"p{p}": float(np.percentile(beside_ms, p)) for p in (50, 90, 95, 99, 100)}
    print("  " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in percentiles.items()))
    print(f"  the model itself: p50 {np.median(measured_N2[:, 1]) * 1000:.1f} ms; ", end="")
    print(f"{(beside_ms < TARGET_MS).mean():.1%} under the {TARGET_MS:.0f} ms aimed at")
    return {
        "options": asdict(options) | {"json": None},
        "machine": {
            "cpus": os.cpu_count(),
            "load": os.getloadavg(),
            "platform": platform.platform(),
        },
        "beside_model_ms": percentiles,
        "under_target": float((beside_ms < TARGET_MS).mean()),
        "histogram": {"edges_ms": EDGES_MS[:-1], "count": count.tolist()},
    }


def main() -> int:
    options = tyro.cli(Options, description=__doc__.split("\n\n")[0])
    try:
        if options.server:
            figures = report(options, measure(options, options.server))
        else:
            with server_here(options) as server:
                figures = report(options, measure(options, server))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
