"""Two nodes of one name would answer each other's messages: the second launch is refused.

A name is claimed by an abstract Unix socket, which the kernel gives back when its holder ends,
however that ends. It is seen by all processes that share the machine's network, as DDS is.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import ExitStack

from rlrobo.interpreter.names import LaunchError


def claim(nodes: Iterable[str]) -> ExitStack:
    """Holds the full names of nodes (`/namespace/name`) until it is closed; LaunchError where
    another launch on this machine holds one."""
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    with ExitStack() as held:
        for node in nodes:
            holder = held.enter_context(socket.socket(socket.AF_UNIX))
            try:
                holder.bind(f"\0rlrobo/{domain}{node}")
            except OSError:
                raise LaunchError(
                    f"node {node} runs already on this machine in ROS domain {domain}: end that "
                    "launch first, or keep them apart by namespace:=… or ROS_DOMAIN_ID"
                ) from None
        return held.pop_all()
