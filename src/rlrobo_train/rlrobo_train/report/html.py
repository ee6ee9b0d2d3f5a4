"""Small pieces of HTML. What comes from a run is escaped here and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from rlrobo_train.report.strips import Embedded


def section(anchor: str, title: str, *content: str) -> str:
    """Nothing where there is no content."""
    inside = "\n".join(part for part in content if part)
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>\n{inside}\n</section>' * bool(inside)


def paragraph(text: str, kind: str = "note") -> str:
    return f'<p class="{kind}">{escape(text)}</p>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """`header` is text; the cells of `rows` are HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def details(summary: str, *content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{''.join(content)}</details>"


def tile(label: str, value: str, below: str = "") -> str:
    """`value` and `below` are HTML."""
    return f'<div class="tile"><span>{escape(label)}</span><b>{value}</b><em>{below}</em></div>'


def interval(rate: float, low: float, high: float) -> str:
    """A rate with its 95% interval, as numbers and drawn on a scale from 0 to 100%."""
    place = f"--low:{low:.4f};--high:{high:.4f};--rate:{rate:.4f}"
    return (
        f'<span class="interval"><span class="scale" style="{place}"><i></i><u></u></span>'
        f"<b>{rate:.1%}</b> <small>[{100 * low:.1f}, {100 * high:.1f}]</small></span>"
    )


def script_data(anchor: str, data: Any) -> str:
    """What scripts read: anything as JSON; text, which is JSON or a data URL, as it is."""
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    # In JSON < stands in strings only, and no tag can begin or end without it.
    safe = text.replace("<", "\\u003c")
    return f'<script type="application/json" id="{anchor}">{safe}</script>'


def chooser(anchor: str, embedded: Sequence[Embedded], chosen: int) -> str:
    """A menu of large things, each in an element `<anchor>-<index>` until it is asked for."""
    options = "".join(
        f'<option value="{i}"{" selected" * (i == chosen)}>{escape(it.label)}</option>'
        for i, it in enumerate(embedded)
    )
    stored = "\n".join(script_data(f"{anchor}-{i}", it.content) for i, it in enumerate(embedded))
    return f'<select id="{anchor}">{options}</select>\n{stored}'


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
