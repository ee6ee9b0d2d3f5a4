"""Scheduling belongs to a process, so each claim is made in one of its own."""

from __future__ import annotations

import subprocess
import sys

CLAIM = """
import os
from concurrent.futures import ThreadPoolExecutor
from rlrobo_robot.safety.priority import REAL_TIME, NICE, claim_priority
{before}
claimed = claim_priority()
def check():
    real_time = os.sched_getscheduler(0) == os.SCHED_FIFO
    assert real_time == claimed.startswith("real-time"), claimed
    if real_time:
        assert os.sched_getparam(0).sched_priority == REAL_TIME
    if claimed.startswith("nice"):
        assert os.getpriority(os.PRIO_PROCESS, 0) == NICE
check()
threads = ThreadPoolExecutor()  # those of rclpy are made later too
threads.submit(check).result()
print(claimed)
"""

REFUSED = """
def refuse(*_):
    raise PermissionError
os.sched_setscheduler = refuse
"""


def claimed(before: str = "") -> str:
    run = [sys.executable, "-c", CLAIM.format(before=before)]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()


def test_what_is_claimed_is_what_the_system_does():
    assert claimed().split(",")[0] in ("real-time", "nice -10", "ordinary")


def test_without_real_time_it_takes_what_it_is_given():
    assert claimed(REFUSED) in ("nice -10", "ordinary")
    assert claimed(REFUSED + "os.setpriority = refuse") == "ordinary"
