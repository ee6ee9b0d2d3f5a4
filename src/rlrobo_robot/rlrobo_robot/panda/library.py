"""panda-py: the only place that imports it, and what is checked before anything may move.

Its wheels on PyPI (panda-python) bring libfranka 0.9.2, which speaks to a Panda (FER) with system
4.2.1 or newer and to no FR3 (panda_py.exceptions.LIBFRANKA_FOR_SERVER_VERSION).
"""

from __future__ import annotations

import importlib
import math
import socket
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.panda import HAND_YAW, TCP_Z
from rlrobo_core.rotation import of_matrix, turn_between

Array = NDArray[np.float64]

VERSION = "1.1.1"
"""Of panda-python: what this driver was written for."""
ARM_PORT, HAND_PORT = 1337, 1338
"""TCP ports of libfranka's research interface on the control unit."""
PATIENCE = 3.0
"""[s] for the control unit to answer."""
PANDA_SERVER = 5
"""Version of the research interface of a Panda with system 4.2.1 or newer. Older Pandas have 3
and 4, an FR3 6 and more."""
TOLERANCE = 1e-3
"""[m], [rad]"""


def load() -> ModuleType:
    """The library; ValueError where it is not installed."""
    try:
        for module in ("controllers", "libfranka"):
            importlib.import_module(f"panda_py.{module}")
        return importlib.import_module("panda_py")
    except ImportError as error:
        raise ValueError(
            f"robot:=panda needs the library panda-python ({error}); install it in rlrobo's "
            f"environment: ./rlrobo shell pip install panda-python=={VERSION}"
        ) from None


def check_reachable(robot_ip: str, port: int = ARM_PORT) -> None:
    """ValueError where nobody answers: libfranka itself would wait for a minute."""
    if not robot_ip:
        raise ValueError(
            "robot_ip is empty; give the address of the arm's control unit: robot_ip:=172.16.0.2"
        )
    try:
        socket.create_connection((robot_ip, port), PATIENCE).close()
    except ConnectionRefusedError:
        raise ValueError(
            f"{robot_ip} refuses port {port}; activate FCI in Desk (https://{robot_ip}), and check "
            "that robot_ip is that of the arm's control unit"
        ) from None
    except OSError as error:
        raise ValueError(
            f"no answer from robot_ip {robot_ip!r} within {PATIENCE:g} s ({error}); check the "
            f"cable, this machine's address, and that https://{robot_ip} shows Desk"
        ) from None


def connect(library: Any, robot_ip: str) -> Any:
    """A `panda_py.Panda` that may be driven; ValueError for a wrong arm, or one that refuses."""
    check_reachable(robot_ip)
    try:
        panda = library.Panda(robot_ip)
    except library.IncompatibleVersionError as error:
        raise ValueError(wrong_arm(robot_ip, error.server_version)) from None
    except RuntimeError as error:
        raise ValueError(
            f"the arm at {robot_ip} cannot be controlled: {error}; unlock its joints and activate "
            f"FCI in Desk (https://{robot_ip}), and end whatever else drives it"
        ) from None
    version = panda.get_robot().server_version()
    if version != PANDA_SERVER:
        raise ValueError(wrong_arm(robot_ip, version))
    check_hand(np.array(panda.get_state().F_T_EE))
    return panda


def wrong_arm(robot_ip: str, version: int) -> str:
    speaks = f"the arm at {robot_ip} speaks version {version} of Franka's research interface"
    if version > PANDA_SERVER:
        return f"{speaks}: it is an FR3, not a Panda; use robot:=fr3"
    return f"{speaks}, older than {PANDA_SERVER}: update its system to 4.2.1 or newer"


def check_hand(hand_F16: Array) -> None:
    """ValueError where the end effector, f64[16] column by column in the flange's frame, is not
    the Hand's tool centre point, whose pose the policy was trained with."""
    x, y, z, *quaternion = pose_of(hand_F16).tolist()
    hand = (0.0, 0.0, math.sin(HAND_YAW / 2), math.cos(HAND_YAW / 2))
    way, turn = math.dist((x, y, z), (0.0, 0.0, TCP_Z)), math.hypot(*turn_between(hand, quaternion))
    if max(way, turn) > TOLERANCE:
        raise ValueError(
            f"the arm's end effector is {way:.4f} m and {turn:.3f} rad off the Franka Hand's tool "
            f"centre point ({TCP_Z} m from the flange); choose Franka Hand as end effector in Desk"
        )


def pose_of(transform_F16: Array) -> Array:
    """f64[7] of libfranka's f64[16], column by column."""
    matrix = transform_F16.reshape(4, 4).T
    return np.concatenate([matrix[:3, 3], of_matrix(matrix[:3, :3])])
