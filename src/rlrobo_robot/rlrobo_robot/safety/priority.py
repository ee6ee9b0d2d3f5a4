"""The safety node goes before what else runs: a policy that keeps every core busy must not make
it late."""

from __future__ import annotations

import os

REAL_TIME = 10
"""Above all ordinary processes, below a robot driver's loop of 1 kHz (Franka's takes 80)."""
NICE = -10


def claim_priority() -> str:
    """Of this process's threads from now on: real-time scheduling (first in, first out) where the
    system allows it, else the best that it does. Says which; to be called before rclpy starts
    threads of its own."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REAL_TIME))
        return f"real-time, priority {REAL_TIME}"
    except PermissionError:
        pass
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        return f"nice {NICE}"
    except PermissionError:
        return "ordinary"
