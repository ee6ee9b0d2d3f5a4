"""The life of a node's process: it spins in the background, and ends on a signal or an error with
an exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from rlrobo_core.errors import told
from rlrobo_core.ros.nodes import PlainNode


@contextmanager
def spinning(node: PlainNode) -> Iterator[None]:
    """Meanwhile the node's messages are received in a background thread. What breaks there
    stops the node and is raised here."""
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    failures: list[BaseException] = []

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            pass
        except BaseException as error:
            failures.append(error)
        finally:
            node.stop()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join()
    if failures:
        raise failures[0]


def run_node(make: Callable[[], PlainNode], args: list[str] | None = None) -> int:
    """The `main` of a node, from `rclpy.init` to the exit code: 0 when it is done or was asked
    to end by SIGINT or SIGTERM, 2 after an error of the user's, in one line on stderr.

    The signal interrupts the main thread (KeyboardInterrupt) wherever it is, in the middle of a
    computation too; from then on signals are ignored, so that closing is not torn. A node that
    breaks as it is made is then no bug: a module in C whose import is interrupted (torch) says
    ImportError instead.
    """
    node: PlainNode | None = None
    interrupted = False

    def interrupt(number: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        ignore_signals()
        if node:
            node.stop()  # should the KeyboardInterrupt be swallowed on its way
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        try:
            node = make()
            # All that was imported stays: to look through it for garbage takes torch's and
            # transformers' objects 0.2 s, in the middle of an action.
            gc.freeze()
            with spinning(node):
                node.run()
        finally:
            ignore_signals()
            if node:
                node.close()
                node.destroy_node()
    except KeyboardInterrupt:
        return 0
    except Exception as error:
        if interrupted and node is None:
            return 0
        if not told(error):
            raise
        return 2
    finally:
        rclpy.try_shutdown()
    return 0


def run_and_exit(make: Callable[[], PlainNode]) -> NoReturn:
    """`run_node`, and end the process at once: all that must be closed is closed by then, and
    taking the interpreter apart costs a process with torch in it a second or more."""
    try:
        code = run_node(make)
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def ignore_signals() -> None:
    """By a handler that does nothing: of SIG_IGN Python complains on stderr where both signals
    came at once, in the middle of an import."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
