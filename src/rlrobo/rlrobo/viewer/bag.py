"""A bag in rerun, as fast as it can be read.

rlrobo view BAG [--file FILE.rrd]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from rlrobo.viewer.curves import curves
from rlrobo.viewer.rerun_log import RerunLog
from rlrobo.viewer.robot import RobotWatch
from rlrobo.viewer.sight import Watch
from rlrobo.viewer.training import TrainingWatch
from rlrobo_core.bag_reader import Bag, definition_problem, open_bag
from rlrobo_core.definitions import know, message_types

PERIOD_NS = 10**9 // 30
"""Between two moments that are shown at least: an arm tells its pose more often than one sees."""
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser("rlrobo view", description="A recorded bag in rerun.")
    parser.add_argument("bag", type=Path, help="the bag: its directory, or one of its files")
    parser.add_argument("--file", default="", help="write this .rrd instead of opening rerun")
    parser.add_argument("--gamma", type=float, default=0.5, help="discount of the advantages")
    arguments = parser.parse_args(given)
    try:
        bag = open_bag(arguments.bag)
        for sentence in bag.damage:
            print(f"rlrobo: {sentence}; the rest is shown", file=sys.stderr)
        followed = _followed(bag, arguments.gamma)
        log = RerunLog.open(arguments.file)
        print(log.where)
        shown = _show(bag, followed, log)
    except ValueError as error:
        print(f"rlrobo: {error}", file=sys.stderr)
        return 1
    print(f"{bag.path}: {shown} moments shown")
    if not arguments.file and "browser" in log.where:
        input("Enter ends it: ")
    log.close()
    return 0


def _followed(bag: Bag, gamma: float) -> dict[str, tuple[Watch, str]]:
    """Topic of the bag -> who follows it, under which relative name. ValueError where there is
    nothing to see."""
    found: dict[str, tuple[Watch, str]] = {}
    for watch in (TrainingWatch(gamma), RobotWatch()):
        found |= dict(_heard(bag, watch))
    if not found:
        raise ValueError(
            f"bag {bag.path} has neither a training's topics nor a robot's; it has: "
            f"{', '.join(bag.channels) or 'none'}"
        )
    return found


def _heard(bag: Bag, watch: Watch) -> Iterator[tuple[str, tuple[Watch, str]]]:
    """Its topics, in the first namespace that has the one without which there is nothing."""
    needed, heard = next(iter(watch.TOPICS.items()))
    ends = [it.topic for it in bag.of_type(heard.msgtype) if it.topic.endswith(f"/{needed}")]
    if not ends:
        return
    namespace = min(ends, key=len).removesuffix(needed)
    for relative, heard in watch.TOPICS.items():
        channel = bag.channels.get(namespace + relative)
        if channel and channel.msgtype == heard.msgtype:
            if problem := definition_problem(channel):
                raise ValueError(problem)
            yield channel.topic, (watch, relative)


def _show(bag: Bag, followed: dict[str, tuple[Watch, str]], log: RerunLog) -> int:
    shown, due, types = 0, 0, {it.topic: it.msgtype for it in bag.channels.values()}
    told = [it.topic for it in bag.of_type(DIAGNOSTICS)]
    for topic, stamp, cdr in bag.messages([*followed, *told]):
        know(types[topic])
        msg = message_types().deserialize_cdr(cdr, types[topic])
        if topic in told:
            log.curves(curves(msg), stamp * 1e-9)
            continue
        watch, relative = followed[topic]
        if watch.see(relative, msg) and stamp >= due and (sight := watch.sight()):
            log.show(sight, stamp * 1e-9)
            shown, due = shown + 1, stamp + PERIOD_NS
    return shown
