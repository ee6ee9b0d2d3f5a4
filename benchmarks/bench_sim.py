"""Control steps a second of the simulator: state only, with 224x224 and with 84x84 images.

    python benchmarks/bench_sim.py                     # ours
    python benchmarks/bench_sim.py --peers --json sim.json

`--peers` measures panda-gym 3.0.7 and gymnasium-robotics beside it, in virtual environments of
their own (they need an older mujoco) that are made on first use. Everything runs at 25 Hz with
an arm, a table and a cube, random actions, and a reset every 50 steps; the peers as they come,
ours with shadows and multisampling off. Rounds alternate between the subjects, each in a fresh
process; the table shows the median and min..max.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

CONTROL_HZ = 25.0
EPISODE = 50
MODES = {"state only": 0, "224 image": 224, "84 image": 84}
"""Name -> size of the images, 0 for none."""

PEERS = {
    "panda-gym": ("panda-gym==3.0.7", "pybullet==3.2.7", "gymnasium==0.29.1", "numpy==1.26.4"),
    "gymnasium-robotics": (
        "gymnasium-robotics==1.4.2",
        "gymnasium==1.2.3",
        "mujoco==3.3.7",
        "numpy==2.2.6",
    ),
}


class Subject(NamedTuple):
    name: str
    command: tuple[str, ...]
    """Takes an image size and seconds as its last arguments, prints steps a second."""


def ours_per_second(num_worlds: int, cores: int, image_size: int, seconds: float) -> float:
    """Control steps a second of `num_worlds` worlds together, resets included."""
    from rlrobo_core.tasks import InitialScene, SceneObject
    from rlrobo_core.tasks.reach import Reach
    from rlrobo_sim.mujoco import MujocoSimulator

    cube = SceneObject("cube", "box", (0.02, 0.02, 0.02), (0.9, 0.1, 0.1, 1.0), mass=1.0)
    reach = Reach()
    task = replace(reach, objects=(*reach.objects, cube), action_dims=("x", "y", "z", "gripper"))
    rng, worlds = np.random.default_rng(0), np.arange(num_worlds)

    def scene() -> InitialScene:
        goal = reach.sample(rng)
        x, y = rng.uniform([0.45, -0.15], [0.75, 0.15])
        pose = {"cube": np.array([x, y, 0.02, 0.0, 0.0, 0.0, 1.0])}
        return InitialScene(goal.object_pose | pose, goal.instruction)

    with closing(
        MujocoSimulator(
            task,
            num_worlds,
            image_size=image_size or 16,
            control_hz=CONTROL_HZ,
            num_render_workers=cores,
            num_threads=cores,
        )
    ) as sim:

        def step(number: int) -> None:
            if number % EPISODE == 0:
                sim.reset(worlds, [scene() for _ in worlds], [0] * num_worlds)
            target = np.concatenate(
                [sim.state(worlds).ee_pose_N, rng.uniform(0.0, 0.08, (num_worlds, 1))], axis=1
            )
            target[:, :3] += rng.uniform(-0.05, 0.05, (num_worlds, 3))
            target[:, 3:7] = (1.0, 0.0, 0.0, 0.0)
            sim.step(worlds, target)
            if image_size:
                sim.render(worlds)

        step(0)  # starts the workers
        steps, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            step(steps)
            steps += 1
        return steps * num_worlds / (time.perf_counter() - start)


def subjects(num_worlds: int, peers: bool, cache: Path) -> list[Subject]:
    cores = len(os.sched_getaffinity(0))
    here = (sys.executable, __file__, "--measure")
    listed = [
        Subject(
            f"rlrobo, {num_worlds} worlds, {count} core{'s' * (count > 1)}",
            (*here, str(num_worlds), str(count)),
        )
        for count in dict.fromkeys((cores, 1))
    ]
    if peers:
        script = str(Path(__file__).with_name("sim_peer.py"))
        listed += [Subject(peer, (str(peer_python(peer, cache)), script, peer)) for peer in PEERS]
    return listed


def peer_python(peer: str, cache: Path) -> Path:
    """The interpreter of the peer's virtual environment, made if it is not there."""
    folder = cache / peer
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        print(f"installing {peer} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PEERS[peer]], check=True)
        done.write_text("\n".join(PEERS[peer]))
    return python


def measure(subject: Subject, image_size: int, seconds: float) -> float:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.setdefault("MUJOCO_GL", "egl")
    done = subprocess.run(
        [*subject.command, str(image_size), str(seconds)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{subject.name} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def run(listed: list[Subject], rounds: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """subject -> mode -> steps a second of each round."""
    rates: dict[str, dict[str, list[float]]] = {
        subject.name: {mode: [] for mode in MODES} for subject in listed
    }
    for number in range(rounds):
        for mode, image_size in MODES.items():
            for subject in listed:
                rate = measure(subject, image_size, seconds)
                rates[subject.name][mode].append(rate)
                print(f"round {number + 1}: {subject.name}, {mode}: {rate:.1f}/s", file=sys.stderr)
    return rates


def ratios(rates: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Of our first row to each other row, medians."""
    ours, *others = rates
    return {
        other: {
            mode: statistics.median(rates[ours][mode]) / statistics.median(rates[other][mode])
            for mode in MODES
        }
        for other in others
    }


def print_table(rates: dict[str, dict[str, list[float]]]) -> None:
    print(f"{'control steps/s':32}" + "".join(f"{mode:>26}" for mode in MODES))
    for name, by_mode in rates.items():
        cells = [
            f"{statistics.median(r):.0f} ({min(r):.0f}..{max(r):.0f})" for r in by_mode.values()
        ]
        print(f"{name:32}" + "".join(f"{cell:>26}" for cell in cells))
    for other, by_mode in ratios(rates).items():
        cells = [f"{by_mode[mode]:.1f}x" for mode in MODES]
        print(f"{'first row / ' + other:32}" + "".join(f"{cell:>26}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", action="store_true", help="also panda-gym, gymnasium-robotics")
    parser.add_argument("--worlds", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--json", type=Path, help="write the figures there")
    default_cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    parser.add_argument("--cache", type=Path, default=default_cache / "rlrobo" / "peers")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        worlds, cores, image_size, seconds = arguments.measure
        print(ours_per_second(int(worlds), int(cores), int(image_size), float(seconds)))
        return
    listed = subjects(arguments.worlds, arguments.peers, arguments.cache)
    rates = run(listed, arguments.rounds, arguments.seconds)
    print_table(rates)
    if arguments.json:
        machine = {"cores": len(os.sched_getaffinity(0)), "platform": platform.platform()}
        report = {"control_hz": CONTROL_HZ, "machine": machine}
        report |= {"steps_per_second": rates, "ratios": ratios(rates)}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
