"""What a bag holds, and how it is made whole.

rlrobo bag info PATH
rlrobo bag repair PATH
rlrobo bag export BAG DATASET --task TASK     an arm's episodes as a LeRobot data set
rlrobo bag import DATASET BAG                 and back
"""

from __future__ import annotations

import sys
from pathlib import Path

from rlrobo_core.bag_decoding import definition_problem
from rlrobo_core.bag_reader import open_bag
from rlrobo_core.bag_repair import repair


def info(path: Path) -> list[str]:
    """Topics, types, counts, and what is wrong with them."""
    bag = open_bag(path)
    lines = [f"{path}: {bag.counts.total()} messages"]
    for topic, channel in sorted(bag.channels.items()):
        lines.append(f"{bag.counts[topic]:10d}  {topic}  {channel.msgtype}")
    problems = [*map(definition_problem, bag.channels.values()), *bag.damage]
    return lines + [f"  ! {problem}" for problem in problems if problem]


COMMANDS = {"info": info, "repair": repair}


def main(given: list[str]) -> int:
    if len(given) != 2 or given[0] not in COMMANDS:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print("\n".join(COMMANDS[given[0]](Path(given[1]))))
    except ValueError as error:
        print(f"rlrobo: {error}", file=sys.stderr)
        return 1
    return 0
