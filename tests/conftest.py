"""What all tests share: a DDS domain of their own, so that no other graph is heard."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("MUJOCO_GL", "egl")


@pytest.fixture(autouse=True)
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    """One domain for this run of the tests: 1 to 100, by the process id."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
