"""Film strips and films: what the page embeds of them, and a sentence on how an episode went."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rlrobo_train.report.data import EvaluationFile

BYTES = 8 * 2**20
"""Of the films, and again of the film strips, that a page embeds at most."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Embedded:
    """Something large that the page unpacks when it is asked for."""

    label: str
    content: str
    """JSON, or a data URL."""


def within_budget(items: Sequence[tuple[T, int]], budget: int) -> list[T]:
    """Of (item, its bytes): the last and the first, then those halfway between what is chosen, as
    many as fit; in their order."""
    order, spans = [len(items) - 1, 0], [(0, len(items) - 1)]
    while spans:
        first, last = spans.pop(0)
        middle = (first + last) // 2
        if first < middle:
            order.append(middle)
            spans += [(first, middle), (middle, last)]
    chosen: set[int] = set()
    for index in dict.fromkeys(order if items else []):
        if items[index][1] <= budget:
            chosen.add(index)
            budget -= items[index][1]
    return [item for index, (item, _) in enumerate(items) if index in chosen]


def films(evaluations: Sequence[EvaluationFile]) -> list[Embedded]:
    """A film each, as data URLs; of too many, some."""
    sized = [(it, it.film, it.film.stat().st_size * 4 // 3) for it in evaluations if it.film]
    kept = within_budget([((it, film), size) for it, film, size in sized], BYTES)
    return [Embedded(_film_label(it), data_url(film)) for it, film in kept]


def strips(records: Sequence[Path]) -> list[Embedded]:
    """A record each, with a verdict on each of its episodes; of too many, some."""
    kept = within_budget([(file, file.stat().st_size) for file in records], BYTES)
    return [_strip(file) for file in kept]


def verdict(steps: Sequence[dict[str, Any]], success: bool) -> str:
    """How an episode went, from its steps as episode_record.py tells them."""
    path = [next(it for it in step["samples"] if it["chosen"]) for step in steps]
    end = "Succeeded" if success else "Failed"
    count = f"{len(path)} step{'s' * (len(path) > 1)}"
    worst = min(range(len(path)), key=lambda i: path[i]["reward"])
    unsure = min(range(len(path)), key=lambda i: path[i]["probability"])
    total = sum(it["reward"] for it in path)
    told = f"{end} after {count}; the rewards sum to {total:+.3f}."
    if path[worst]["reward"] < 0:
        told += f" Most was lost at step {worst + 1} ({path[worst]['reward']:+.3f})."
    told += f" Least sure at step {unsure + 1} (probability {path[unsure]['probability']:.2g})."
    if path[0]["advantage"] is not None and not any(it["advantage"] for it in path):
        told += " No step taught anything: the group did not differ."
    return told.replace("-", "−")


def data_url(file: Path) -> str:
    kind = {".mp4": "video/mp4", ".gif": "image/gif", ".png": "image/png"}[file.suffix]
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"


def _film_label(evaluation: EvaluationFile) -> str:
    return f"iteration {evaluation.iteration} · {evaluation.task} · {evaluation.success:.1%}"


def _strip(file: Path) -> Embedded:
    try:
        record = json.loads(file.read_text())
        for episode in record["episodes"]:
            episode["verdict"] = verdict(episode["steps"], episode["success"])
        kind = "evaluation" if record["phase"] == "eval" else "training"
        label = f"{kind}, iteration {record['iteration']} · {record['task']}"
        return Embedded(label, json.dumps(record, separators=(",", ":")))
    except (ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
        raise ValueError(f"{file} is damaged ({error!r}); delete it to go without") from error
