"""What bags cost: writing and reading 2.4 MB messages, replaying them through DDS, and recording
a rollout of 16 environments with images of 224x224.

    python benchmarks/bench_bag.py --rounds 6 --json bag.json

Files go to the page cache (`--folder`). Every figure stands beside the one per second of processor
time, which is steadier on a machine that others use too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import rclpy
from bench_graph import Listener, Settings, graph, requests  # first: it sets the domain
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from rlrobo_core.bag import BagWriter, make_message
from rlrobo_core.bag_reader import open_bag
from rlrobo_core.bag_records import rollouts
from rlrobo_core.definitions import message_types
from rlrobo_core.types import ActionBatch, ObservationBatch

IMAGE = "sensor_msgs/msg/Image"
TOPIC = "/image"
MB = 1e6


class Speed(NamedTuple):
    """[MB/s], of wall clock and of processor time."""

    wall: float
    cpu: float


@contextmanager
def timed(size: int, into: list[Speed]) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    into.append(Speed(size / wall / MB, size / cpu / MB))


def image_cdr() -> bytes:
    """16 images of 224x224, as one."""
    rng = np.random.default_rng(0)
    stamp = make_message("builtin_interfaces/msg/Time", sec=0, nanosec=0)
    header = make_message("std_msgs/msg/Header", stamp=stamp, frame_id="camera")
    height, width = 16 * 224, 224
    msg = make_message(
        IMAGE,
        header=header,
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=rng.integers(0, 256, height * width * 3, np.uint8),
    )
    return bytes(message_types().serialize_cdr(msg, IMAGE))


def write_and_read(folder: Path, messages: int, rounds: int) -> dict[str, list[Speed]]:
    cdr = image_cdr()
    size, speeds = messages * len(cdr), {"write": [], "read": []}
    for number in range(rounds):
        path = folder / f"written{number}"
        with timed(size, speeds["write"]), BagWriter(path, split_bytes=10**9) as writer:
            writer.add_topic(TOPIC, IMAGE, [])
            for stamp in range(messages):
                writer.write_bytes(TOPIC, IMAGE, cdr, stamp)
        with timed(size, speeds["read"]):
            read = sum(len(message.cdr) for message in open_bag(path).messages())
        assert read == size
        if number + 1 < rounds:
            shutil.rmtree(path)
    return speeds


def replay(path: Path, rounds: int) -> tuple[list[float], int]:
    """MB/s that arrive here from a replay at rate 0, from the first message to the last, and how
    many never arrived."""
    from sensor_msgs.msg import Image

    expected, speeds, missing = open_bag(path).counts[TOPIC], [], 0
    rclpy.init()
    node = Node("listener")
    arrived: list[tuple[float, int]] = []
    # rclpy's types do not know that raw messages are bytes.
    on_message: Any = lambda cdr: arrived.append((time.perf_counter(), len(cdr)))  # noqa: E731
    node.create_subscription(
        Image,
        TOPIC,
        on_message,
        QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.RELIABLE),
        raw=True,
    )
    for _ in range(rounds):
        arrived.clear()
        parameters = ["-p", f"bag:={path}", "-p", "rate:=0.0"]
        command = [sys.executable, "-m", "rlrobo.bags.replayer", "--ros-args", *parameters]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None or (arrived and time.perf_counter() < arrived[-1][0] + 1):
                rclpy.spin_once(node, timeout_sec=0.1)
        missing += expected - len(arrived)
        seconds = arrived[-1][0] - arrived[0][0]
        speeds.append(sum(size for _, size in arrived[1:]) / seconds / MB)
    node.destroy_node()
    rclpy.try_shutdown()
    return speeds, missing


@contextmanager
def recorder(path: Path, listener: Listener) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "rlrobo.bags.recorder", "--ros-args", "-p", f"bag:={path}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while listener.count_subscribers("observations") < 3:  # policy, listener, recorder
            time.sleep(0.1)
        time.sleep(2.0)  # and hears what is latched
        yield psutil.Process(process.pid)
        process.send_signal(signal.SIGINT)


def processor_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def recording(folder: Path, settings: Settings) -> dict[str, Any]:
    """Rounds with and without a recorder in turn, on one graph."""
    rates: dict[str, list[float]] = {"alone": [], "recorded": []}
    share: list[float] = []
    lost = 0
    with graph(settings) as listener:
        asked = requests(settings)
        listener.time(next(asked))  # warms up
        others = [psutil.Process(), *psutil.Process().children(recursive=True)]
        for number in itertools.count():
            rates["alone"].append(listener.time(next(asked)).rate)
            path = folder / f"recorded{number}"
            with recorder(path, listener) as process:
                request = next(asked)
                before = processor_s([process]), processor_s(others)
                done = listener.time(request)
                after = processor_s([process]), processor_s(others)
            rates["recorded"].append(done.rate)
            share.append((after[0] - before[0]) / (after[1] - before[1]))
            lost += lost_of(path, request.request_id, done.batches)
            shutil.rmtree(path)
            print(f"round {number}: {rates['alone'][-1]:.1f} {done.rate:.1f} steps/s", flush=True)
            if number + 1 >= settings.rounds:
                break
    return {"rates": rates, "processor_share": share, "messages_lost": lost}


def lost_of(path: Path, request_id: int, batches: int) -> int:
    """Observation and action messages of the request that are not in the bag."""
    found = [0, 0]
    for record, _ in rollouts(open_bag(path), print):
        match record:
            case ObservationBatch() if record.request.request_id == request_id:
                found[0] += 1
            case ActionBatch() if record.request_id == request_id:
                found[1] += 1
    return (batches - found[0]) + (batches - 1 - found[1])


def report(figures: dict[str, Any]) -> None:
    for name in ("write", "read"):
        wall, cpu = zip(*figures[name], strict=True)
        print(
            f"{name:8}{statistics.median(wall):8.0f} MB/s (best {max(wall):.0f}), "
            f"{statistics.median(cpu):.0f} MB per second of processor time"
        )
    arrived = figures["replay"]
    print(
        f"replay  {statistics.median(arrived):8.0f} MB/s (best {max(arrived):.0f}) through DDS, "
        f"{figures['replay_lost']} messages lost"
    )
    if rollout := figures.get("recording"):
        alone, recorded = rollout["rates"]["alone"], rollout["rates"]["recorded"]
        ratio = statistics.median(b / a for a, b in zip(alone, recorded, strict=True))
        print(
            f"rollout {statistics.median(alone):8.1f} steps/s alone, "
            f"{statistics.median(recorded):.1f} recorded: {1 - ratio:+.1%} (median of pairs); the "
            f"recorder takes {statistics.median(rollout['processor_share']):.1%} of the graph's "
            f"processor time, {rollout['messages_lost']} messages lost"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--messages", type=int, default=200, help="of 2.4 MB")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--batches", type=int, default=36, help="messages of a rollout, about")
    parser.add_argument("--policy", default="tiny", help="tiny, random, or a checkpoint")
    parser.add_argument("--folder", type=Path, help="where bags are written for a while")
    parser.add_argument("--no-rollout", action="store_true", help="files and replay only")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-bag-", dir=args.folder))
    try:
        figures: dict[str, Any] = write_and_read(folder, args.messages, args.rounds)
        written = folder / f"written{args.rounds - 1}"
        figures["replay"], figures["replay_lost"] = replay(written, args.rounds)
        if not args.no_rollout:
            settings = Settings(args.policy, 16, 224, args.rounds, 0, args.batches)
            figures["recording"] = recording(folder, settings)
    finally:
        shutil.rmtree(folder)
    report(figures)
    if args.json:
        machine = {"cpus": os.cpu_count(), "load": os.getloadavg()}
        args.json.write_text(json.dumps({"machine": machine} | figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
