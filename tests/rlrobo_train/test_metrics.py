"""Rows come back as they were logged, wherever the file was cut off."""

from __future__ import annotations

import json
import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rlrobo_train.metrics import METRICS_FILE, MetricsLog, Row, cut_metrics, read_metrics

keys = st.sampled_from(["reward/mean", "loss/policy", "eval/success", "time/rollout"])
metrics = st.dictionaries(keys, st.floats(width=32), max_size=4)


def write(directory: Path, rows: list[Row]) -> Path:
    path = directory / METRICS_FILE
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def same(one: Row, other: Row) -> bool:
    """NaN equals NaN here."""
    return one.keys() == other.keys() and all(
        other[key] == value or (math.isnan(value) and math.isnan(other[key]))
        for key, value in one.items()
    )


@given(st.lists(metrics, max_size=3))
def test_what_is_logged_is_read_but_for_the_infinite(tmp_path_factory, rows: list[Row]) -> None:
    directory = tmp_path_factory.mktemp("run")
    log = MetricsLog(directory, wall_s=100.0)
    for i, row in enumerate(rows):
        log.log(row, i)
        assert len(read_metrics(directory)) == i + 1  # At once.
    log.close()
    for i, (row, read) in enumerate(zip(rows, read_metrics(directory), strict=True)):
        assert read.pop("iteration") == i
        assert read.pop("wall_s") >= 100.0
        assert same(read, {k: v if math.isfinite(v) else math.nan for k, v in row.items()})


def test_a_crash_costs_no_more_than_the_row_being_written(tmp_path: Path) -> None:
    rows = [{"iteration": i, "wall_s": 2.5 * i, "reward/mean": 0.1 * i} for i in range(4)]
    path = write(tmp_path, rows)
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        assert read_metrics(tmp_path) == rows[: content[:length].count(b"\n")]


@given(st.lists(st.integers(0, 9)), st.integers(-1, 10))
def test_cut_rows_are_gone_and_the_others_untouched(
    tmp_path_factory, iterations: list[int], last: int
) -> None:
    directory = tmp_path_factory.mktemp("run")
    path = write(directory, [{"iteration": i, "wall_s": n} for n, i in enumerate(iterations)])
    lines = path.read_text().splitlines()
    with path.open("a") as stream:
        stream.write('{"iteration": 3, "wa')
    kept = cut_metrics(directory, last)
    assert kept == read_metrics(directory)
    assert path.read_text().splitlines() == [
        line for line, iteration in zip(lines, iterations, strict=True) if iteration <= last
    ]


def test_a_run_without_metrics_has_nothing_to_cut(tmp_path: Path) -> None:
    assert cut_metrics(tmp_path, 3) == []
