"""The `main` of nodes that must not be torn in the middle of a message: a signal asks them to
stop, where it interrupts the others."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import rclpy
from rclpy.signals import SignalHandlerOptions

from rlrobo_core.errors import is_ours


def run_until_told(make: Callable[[threading.Event], Any]) -> NoReturn:
    """`make(stop)` is run until it is done or a signal has set `stop`. Exit codes as those of all
    nodes: 0, 2 after an error of the user's, 1 after any other."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    code = 0
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = make(stop)
        node.run()
        node.destroy_node()
    except ValueError as error:
        if not is_ours(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except Exception:
        traceback.print_exc()
        code = 1
    finally:
        rclpy.try_shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
