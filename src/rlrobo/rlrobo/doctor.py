"""`rlrobo doctor`: says what was found on this machine, and how to cure what was not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

GIB = 2**30


class Finding(NamedTuple):
    what: str
    cure: str = ""
    """Empty where nothing is wrong."""


def python() -> Finding:
    return Finding(f"{platform.python_version()} at {sys.executable}; {platform.platform()}")


def machine() -> Finding:
    import psutil

    memory = psutil.virtual_memory().total / GIB
    found = f"{len(os.sched_getaffinity(0))} cores, {memory:.1f} GiB of memory"
    return Finding(found, "" if memory > 6 else "training needs 6 GiB: take a smaller num_envs")


def disk() -> Finding:
    free = shutil.disk_usage(".").free / GIB
    return Finding(f"{free:.1f} GiB free", "" if free > 2 else "make room: a run takes 1 GiB")


def ros() -> Finding:
    """Sends a message through DDS and waits for it."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from std_msgs.msg import String

    context = rclpy.Context()
    context.init()
    node = rclpy.create_node("doctor", context=context, enable_rosout=False)
    try:
        heard: list[String] = []
        node.create_subscription(String, "~/echo", heard.append, 1)
        publisher = node.create_publisher(String, "~/echo", 1)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        for _ in range(50):
            publisher.publish(String(data="?"))
            executor.spin_once(timeout_sec=0.1)
            if heard:
                break
    finally:
        node.destroy_node()
        context.try_shutdown()
    launcher = "ros2 launch" if importlib.util.find_spec("launch_ros") else "rlrobo's interpreter"
    found = f"{os.environ.get('ROS_DISTRO')}, rclpy at {rclpy.__path__[0]}; launch: {launcher}"
    cure = "a node does not hear itself: check ROS_DOMAIN_ID, RMW_IMPLEMENTATION and a firewall"
    return Finding(found, "" if heard else cure)


def shared_memory() -> Finding:
    size = shutil.disk_usage("/dev/shm").free / 2**20
    found = f"{size:.0f} MiB free in /dev/shm"
    return Finding(found, "" if size > 256 else "in a container: docker run --shm-size=1g …")


def torch() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding(f"{torch.__version__}, CUDA on {torch.cuda.get_device_name()}")
    driver = shutil.which("nvidia-smi") is not None
    cure = "nvidia-smi is here, but torch sees no GPU: check that nvidia-smi runs; then: "
    return Finding(
        f"{torch.__version__}, CPU, {torch.get_num_threads()} threads",
        cure + "rm -r .venv && ./rlrobo build" if driver else "",
    )


def rendering() -> Finding:
    """Renders a real image."""
    backend = os.environ.get("MUJOCO_GL", "glfw")
    try:
        mujoco = import_module("mujoco")

        box = "<mujoco><worldbody><light pos='0 0 3'/><geom size='1 1 1'/></worldbody></mujoco>"
        model = mujoco.MjModel.from_xml_string(box)
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        with mujoco.Renderer(model, 8, 8) as renderer:
            renderer.update_scene(data)
            image = renderer.render()
    except Exception as error:  # whatever the GL library raises
        cure = "sudo apt-get install libegl1 libgl1-mesa-dri libopengl0, or set MUJOCO_GL=osmesa"
        return Finding(f"{backend}: {error}", cure)
    return Finding(
        f"{backend}, mujoco {mujoco.__version__}", "" if image.any() else "image is black"
    )


def packages() -> Finding:
    names = ("transformers", "numpy", "gymnasium", "safetensors")
    return Finding(", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))


CHECKS: tuple[Callable[[], Finding], ...] = (
    python, machine, disk, ros, shared_memory, torch, rendering, packages
)  # fmt: skip


def main(given: list[str]) -> int:
    """Prints every finding; 1 where something needs a cure."""
    healthy = True
    for check in CHECKS:
        try:
            finding = check()
        except Exception as error:  # the doctor reports what is broken
            finding = Finding(f"{type(error).__name__}: {error}", "./rlrobo build")
        healthy = healthy and not finding.cure
        print(f"{'ok ' if not finding.cure else 'BAD'} {check.__name__:14} {finding.what}")
        if finding.cure:
            print(f"    {'':14} cure: {finding.cure}")
    return 0 if healthy else 1
