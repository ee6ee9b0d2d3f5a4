"""A process that is ended before its node has begun."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SLOW_IMPORT = """
import sys, time, types
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from rlrobo_core.start import start

class Slow(MetaPathFinder, Loader):
    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, self) if name == "slow" else None
    def exec_module(self, module):
        print("importing", flush=True)
        while True:  # one long sleep would not notice a signal that came just before it
            time.sleep(0.01)

sys.meta_path.insert(0, Slow())
start("slow")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_imports_ends_it_without_a_trace(number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_IMPORT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "importing\n"
    process.send_signal(number)
    _out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
