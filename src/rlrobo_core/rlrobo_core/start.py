"""How a node's process begins. From the standard library alone: what a node imports (torch,
rclpy) takes seconds, and somebody may end it before it has begun."""

from __future__ import annotations

import os
import signal
from importlib import import_module


def start(module: str) -> None:
    """Call `main` of the module. SIGINT or SIGTERM before it looks after signals itself end the
    process at once, without a trace: there is nothing to close yet."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    import_module(module).main()
