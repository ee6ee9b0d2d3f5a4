"""`./rlrobo` itself: what it says, and the environment that it makes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "rlrobo"


@pytest.fixture(scope="module")
def bootstrap() -> ModuleType:
    loader = SourceFileLoader("bootstrap", str(SCRIPT))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("bootstrap", loader)  # pyright: ignore[reportArgumentType]
    )
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_help_names_every_command() -> None:
    commands = "launch test run bench report compare graph view shell build doctor"
    for command in commands.split():
        assert f"./rlrobo {command}" in call("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lunch"], "no command 'lunch'; there are: launch, test, run"),
        (["launch"], "name a launch file; there are: real_robot, replay, sim_eval"),
        (["launch", "nope.launch.py"], "no launch file 'nope.launch.py'; there are: real_robot"),
        (["bench", "nope"], "no benchmark 'nope'"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_ones(arguments: list[str], message: str) -> None:
    done = call(*arguments)
    assert done.returncode != 0
    assert message in done.stderr


def test_the_environment_is_free_of_another_ros(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", "humble")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/humble")
    monkeypatch.setenv("PYTHONPATH", "/opt/ros/humble/lib/python3.10/site-packages:/mine")
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    env = bootstrap.environment(bootstrap.system_ros())
    assert env["ROS_DISTRO"] == "jazzy"
    assert env["PYTHONPATH"] == "/mine"
    assert env["AMENT_PREFIX_PATH"] == str(bootstrap.VENV)
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in env


def test_a_sourced_jazzy_is_used(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "share/rclpy").mkdir(parents=True)
    (tmp_path / "share/rclpy/package.xml").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(["/absent", str(tmp_path)]))
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    assert bootstrap.system_ros() == tmp_path
    monkeypatch.setenv("ROS_DISTRO", "humble")
    assert bootstrap.system_ros() is None


def test_our_own_wheels_are_not_taken_for_a_systems_ros(bootstrap: ModuleType) -> None:
    assert bootstrap.system_ros() is None or not bootstrap.system_ros().is_relative_to(
        bootstrap.ROOT
    )


def test_the_wheels_paths_are_mended_once(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "share/rclpy/cmake/it.cmake"
    file.parent.mkdir(parents=True)
    python = "/opt/python/cp311-cp311/include/python3.11"
    numpy = "/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include"
    file.write_text(f'set(it "{python};{numpy};/usr/include")')
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "PYTHON", sys.executable)
    bootstrap.mend_wheels()
    paths = file.read_text().split('"')[1].split(";")
    assert paths[2] == "/usr/include"
    assert (Path(paths[0]) / "Python.h").exists()
    assert (Path(paths[1]) / "numpy/arrayobject.h").exists()


def test_a_plain_build_installs_every_file_of_the_packages(tmp_path: Path) -> None:
    """A linked build shows the source folder; a plain one only what setup.py names."""
    for setup in sorted((SCRIPT.parent / "src").glob("*/setup.py")):
        package, built = setup.parent.name, tmp_path / setup.parent.name
        subprocess.run(
            [sys.executable, "setup.py", "egg_info", "-e", tmp_path, "build_py", "-d", built],
            cwd=setup.parent,
            check=True,
            capture_output=True,
        )
        files = [file for file in (setup.parent / package).rglob("*") if file.is_file()]
        assert files
        for file in files:
            if file.suffix != ".pyc":
                assert (built / file.relative_to(setup.parent)).is_file(), file
