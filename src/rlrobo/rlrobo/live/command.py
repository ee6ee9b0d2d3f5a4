"""`rlrobo graph`: the live graph as a table, or as JSON."""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlrobo.live.listening import look
from rlrobo.live.records import Endpoint, LiveGraph, Node, Topic


def main(given: list[str]) -> int:
    """1 where nothing runs."""
    parser = argparse.ArgumentParser(
        "rlrobo graph", description="The nodes and topics that run now, and what is said on them."
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to listen [s]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--all", action="store_true", help="with rosout and parameter events")
    arguments = parser.parse_args(given)
    if not 0.0 < arguments.seconds <= 3600.0:
        parser.error(f"--seconds is {arguments.seconds:g}; take more than 0, at most 3600")
    graph = look(arguments.seconds, chatter=arguments.all)
    if arguments.json:
        print(json.dumps(graph.to_json(), indent=2))
    elif graph.nodes:
        show(graph, Console())
    if not graph.nodes:
        print(nothing(graph, arguments.seconds), file=sys.stderr)
        return 1
    return 0


def nothing(graph: LiveGraph, seconds: float) -> str:
    return (
        f"rlrobo: no node of ROS domain {graph.domain} was heard within {seconds:g} s: start a "
        "graph (./rlrobo launch …), or set ROS_DOMAIN_ID and ROS_AUTOMATIC_DISCOVERY_RANGE to "
        "those of the one that runs"
    )


def show(graph: LiveGraph, console: Console) -> None:
    console.print(_nodes(graph.nodes))
    console.print(_topics(graph.topics))
    for topic in graph.topics:
        for problem in topic.problems:
            console.print(Text(f"! {topic.name}: {problem}", style="red"))


def _nodes(nodes: tuple[Node, ...]) -> Table:
    table = Table("node", "says", title=f"{len(nodes)} nodes", title_justify="left")
    for node in nodes:
        table.add_row(node.name, Text(node.message or "-", style="red" if node.ill else ""))
    return table


def _topics(topics: tuple[Topic, ...]) -> Table:
    table = Table(title=f"{len(topics)} topics", title_justify="left")
    table.add_column("topic, type", overflow="fold")
    table.add_column("from")
    table.add_column("to")
    for name in ("Hz", "MB/s", "lost"):
        table.add_column(name, justify="right")
    for topic in topics:
        table.add_row(
            Text.assemble(topic.name, "\n", (" | ".join(topic.types), "dim")),
            "\n".join(map(_said, topic.publishers)) or "-",
            "\n".join(map(_said, topic.subscribers)) or "-",
            _rate(topic),
            f"{topic.megabytes_per_s:.2f}" if topic.messages else "",
            _lost(topic),
        )
    return table


def _said(endpoint: Endpoint) -> str:
    """Its node, and what of its QoS is not the default (reliable, volatile)."""
    marks = []
    if endpoint.reliability != "reliable":
        marks.append(endpoint.reliability.replace("_", " "))
    if endpoint.durability != "volatile":
        marks.append("latched")
    return f"{endpoint.node} ({', '.join(marks)})" if marks else endpoint.node


def _rate(topic: Topic) -> str:
    """Nothing where nobody speaks, ? where the type is not installed."""
    if not topic.publishers:
        return ""
    return "?" if topic.rate_hz is None else f"{topic.rate_hz:.1f}"


def _lost(topic: Topic) -> Text:
    return Text("\n".join(f"{n} by {node}" for node, n in topic.lost.items()), style="red")
