"""Who may import whom, as docs and packages promise; read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"

MAY_IMPORT = {
    "rlrobo_core": {"rlrobo_msgs"},
    "rlrobo_sim": {"rlrobo_core", "rlrobo_msgs"},
    "rlrobo_policy": {"rlrobo_core", "rlrobo_msgs"},
    "rlrobo_robot": {"rlrobo_core", "rlrobo_msgs"},
    "rlrobo_train": {"rlrobo_core", "rlrobo_msgs", "rlrobo_policy", "rlrobo_sim"},
    "rlrobo": {"rlrobo_core", "rlrobo_train"},
}
ROS = {"rclpy", "rlrobo_msgs", "rosidl_runtime_py", "ament_index_python", "launch", "launch_ros"}
HEAVY = {"torch", "transformers", "mujoco", "gymnasium"}


def imported(file: Path) -> Iterator[str]:
    """The packages that the file imports anywhere in it, functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def modules(package: str) -> list[Path]:
    return sorted((SRC / package / package).rglob("*.py"))


def may_use_ros(file: Path) -> bool:
    """The edges: the nodes, the one ROS-aware place of the core, and the bringup."""
    package = file.relative_to(SRC).parts[0]
    core = package == "rlrobo_core" and file.parent.name == "ros"
    return core or file.name == "node.py" or package == "rlrobo"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_lies_below(package: str) -> None:
    for file in modules(package):
        ours = {name for name in imported(file) if name.startswith("rlrobo")} - {package}
        assert ours <= MAY_IMPORT[package], f"{file} imports {ours - MAY_IMPORT[package]}"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_ros_appears_only_at_the_edges(package: str) -> None:
    for file in modules(package):
        ros = ROS & set(imported(file))
        assert not ros or may_use_ros(file), f"{file} imports {ros}"


def test_the_core_needs_only_numpy() -> None:
    for file in modules("rlrobo_core"):
        assert not HEAVY & set(imported(file)), file


def test_every_package_is_covered() -> None:
    assert {path.parent.name for path in SRC.glob("*/setup.py")} == set(MAY_IMPORT)
