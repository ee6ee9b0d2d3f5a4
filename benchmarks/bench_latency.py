"""How late a robot's target is, and how even the safety node's clock: the mock arm's camera, the
policy node and the safety node as processes, as real_robot.launch.py starts them.

    ./rlrobo bench latency --frames 2000

Of each frame: from the camera's stamp to the target's arrival in another process, without the time
that the model took. The safety node tells its own jitter, while the policy runs. Prints a histogram
and, with --json FILE, writes what it measured.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# As in a launch file, and before torch is imported: half of the cores for the policy's tensors.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))

import numpy as np
import rclpy
import tyro
from bench_graph import process  # first: it sets the domain
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from std_msgs.msg import String

from rlrobo_core.from_messages import seconds
from rlrobo_core.ros.channels import QOS_COMMAND, QOS_LATCHED
from rlrobo_core.ros.running import run_node, spinning
from rlrobo_core.tasks import make_task
from rlrobo_core.types import ActionBatch, ObservationBatch, PolicyUpdate
from rlrobo_policy.node import PolicyNode
from rlrobo_policy.policy import Policy, load_policy
from rlrobo_robot.operate.node import Operator

EDGES_MS = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.5, 15.0, 20.0, 30.0, 50.0, 100.0, np.inf)
TARGET_MS, JITTER_MS = 15.0, 2.0


@dataclass(frozen=True)
class Options:
    frames: int = 2000
    rate_hz: float = 10.0
    image_size: int = 224
    """[px]"""
    json: Path | None = None
    serve_policy: Path | None = None
    """Of the process that runs the policy: where the model's times go."""


class Timed:
    """A policy that notes how long each answer took [s]."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.version = policy, policy.version
        self.took: list[float] = []

    def act(self, batch: ObservationBatch) -> ActionBatch:
        began = time.perf_counter()
        answer = self.policy.act(batch)
        self.took.append(time.perf_counter() - began)
        return answer

    def load_weights(self, update: PolicyUpdate) -> None:
        self.policy.load_weights(update)


class Audience(Operator):
    """In the operator's place: hears when targets arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []
        """[s], from the stamp of its image to the arrival of each target."""
        self.jitter_ms = ""
        self.heard = threading.Event()
        self.instruction = self.create_publisher(String, "instruction", QOS_LATCHED)
        self.create_subscription(PoseStamped, "target_pose", self._on_target, QOS_COMMAND)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_target(self, msg: PoseStamped) -> None:
        now = self.get_clock().now().nanoseconds * 1e-9
        self.late.append(now - seconds(msg.header.stamp))
        self.heard.set()

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for value in (value for status in msg.status for value in status.values):
            if value.key == "jitter_ms_p99":
                self.jitter_ms = value.value

    def listen(self, frames: int) -> None:
        self.instruction.publish(String(data="reach the green ball"))
        while len(self.late) < frames:
            self.heard.clear()
            if not self.heard.wait(30.0):
                raise ValueError("no target came in 30 s: look at what the nodes say above")


def measure(options: Options, times: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """(whole latencies, the model's part of them) [ms], and the safety node's jitter [ms]."""
    arm = {"image_size": options.image_size, "camera_hz": options.rate_hz}
    given = [word for name, value in arm.items() for word in ("-p", f"{name}:={value}")]
    serve = [f"--image-size={options.image_size}", f"--rate-hz={options.rate_hz}"]
    rclpy.init()
    audience = Audience()
    with ExitStack() as stack:
        stack.enter_context(process("-m", "rlrobo_robot.mock", "--ros-args", *given))
        stack.enter_context(process("-m", "rlrobo_robot.safety"))
        stack.enter_context(process(__file__, *serve, "--serve-policy", str(times)))
        stack.enter_context(spinning(audience))
        time.sleep(5.0)
        audience.demand("arm")
        audience.listen(options.frames)
        jitter_ms = float(audience.jitter_ms)
    audience.destroy_node()
    rclpy.try_shutdown()
    took = json.loads(times.read_text())
    count = min(len(took), len(audience.late))
    return 1e3 * np.array(audience.late[:count]), 1e3 * np.array(took[:count]), jitter_ms


def serve_policy(options: Options) -> int:
    assert options.serve_policy
    policy = load_policy("tiny", make_task("reach"), image_size=options.image_size)
    policy.version = 0
    timed = Timed(policy)
    given = {"edge": "robot", "image_size": options.image_size, "rate_hz": options.rate_hz}
    words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
    try:
        return run_node(lambda: PolicyNode(timed), [sys.argv[0], "--ros-args", *words])
    finally:
        options.serve_policy.write_text(json.dumps(timed.took))


def report(options: Options, whole: np.ndarray, model: np.ndarray, jitter_ms: float) -> None:
    beside = whole - model
    counts, _ = np.histogram(beside, EDGES_MS)
    print(f"from image to target beside the model, {len(beside)} frames at {options.rate_hz:g} Hz:")
    for low, high, count in zip(EDGES_MS, EDGES_MS[1:], counts, strict=False):
        print(f"  {low:5.1f} to {high:5.1f} ms {count:6} {'#' * round(60 * count / counts.max())}")
    at = {q: float(np.percentile(beside, q)) for q in (50, 90, 95, 99, 100)}
    print("  " + ", ".join(f"p{q} {ms:.2f} ms" for q, ms in at.items()))
    print(
        f"  the model itself: p50 {np.median(model):.1f} ms; "
        f"{(beside < TARGET_MS).mean():.1%} under the {TARGET_MS:g} ms aimed at; the safety node's "
        f"100 Hz: 99% within {jitter_ms:.2f} ms (aimed at: {JITTER_MS:g})"
    )
    if options.json:
        figures = {
            "options": {k: str(v) for k, v in asdict(options).items()},
            "machine": {"cpus": os.cpu_count(), "platform": platform.platform()},
            "beside_ms": {f"p{q}": ms for q, ms in at.items()},
            "histogram": {"edges_ms": EDGES_MS[:-1], "count": counts.tolist()},
            "model_ms_p50": float(np.median(model)),
            "jitter_ms_p99": jitter_ms,
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def main(arguments: Any = None) -> int:
    options = tyro.cli(Options, args=arguments, description=__doc__)
    if options.serve_policy:
        return serve_policy(options)
    with tempfile.TemporaryDirectory() as folder:
        report(options, *measure(options, Path(folder) / "times.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
