"""A bag in rerun, as fast as it can be read.

rlrobo view BAG [--file FILE.rrd]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlrobo.viewer.curves import curves
from rlrobo.viewer.rerun_log import RerunLog
from rlrobo.viewer.robot import RobotWatch
from rlrobo.viewer.sight import Watch
from rlrobo.viewer.training import TrainingWatch
from rlrobo_core.bag_decoding import contents, decoded
from rlrobo_core.bag_reader import Bag, open_bag

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
            f"bag {bag.path} has neither a training's topics nor a robot's; {contents(bag)}"
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
            yield channel.topic, (watch, relative)


def _show(bag: Bag, followed: dict[str, tuple[Watch, str]], log: RerunLog) -> int:
    shown = due = 0
    told = [it.topic for it in bag.of_type(DIAGNOSTICS)]
    wanted = {topic: bag.channels[topic].msgtype for topic in (*followed, *told)}

    def read(topic: str, msg: Any) -> Any:
        """Curves of diagnostics; of other messages whether they told something new."""
        if topic in told:
            return curves(msg)
        watch, relative = followed[topic]
        return watch.see(relative, msg)

    for topic, stamp, value in decoded(bag, wanted, _complain, read):
        if topic in told:
            log.curves(value, stamp * 1e-9)
        elif value and stamp >= due and (sight := followed[topic][0].sight()):
            log.show(sight, stamp * 1e-9)
            shown, due = shown + 1, stamp + PERIOD_NS
    return shown


def _complain(sentence: str) -> None:
    print(f"rlrobo: {sentence}; the rest is shown", file=sys.stderr)
