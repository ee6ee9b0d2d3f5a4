"""The robot's description: Franka's own with its meshes where it is installed, else ours."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from rlrobo_core.urdf import panda_urdf


def description(prefix: str) -> str:
    """URDF whose links' names begin with `prefix`: franka_description's where xacro and it are
    there and it has an arm of that name (fer_, fr3_)."""
    try:
        share = Path(get_package_share_directory("franka_description"))
        xacro = import_module("xacro")
    except (PackageNotFoundError, ImportError):
        return panda_urdf(prefix)
    arm = prefix.rstrip("_")
    file = share / "robots" / arm / f"{arm}.urdf.xacro"
    if not file.is_file():
        return panda_urdf(prefix)
    return xacro.process_file(str(file), mappings={"hand": "true"}).toprettyxml()
