"""What a run shows, in a real terminal and through a pipe."""

from __future__ import annotations

import io
import os
import pty
from contextlib import suppress
from pathlib import Path

from rlrobo_core.intervals import SuccessRate
from rlrobo_train.progress import Progress, final_line, progress_line

UPDATE = {
    "iteration": 40,
    "wall_s": 185.4,
    "rollout/success": 0.625,
    "loss/policy": -0.0123,
    "policy/entropy": 1.834,
    "rollout/steps_per_s": 1412.3,
}
EVALUATION = {
    "iteration": 40,
    "wall_s": 190.0,
    "eval/success": 0.71,
    "eval/ci_low": 0.644,
    "eval/ci_high": 0.769,
}


def test_a_line_tells_what_is_known() -> None:
    assert progress_line(UPDATE | EVALUATION, minutes=15, iterations=100) == (
        "iteration 40 / 100  3:10 / 15:00  rollout 62.5%  eval 71.0% [64.4, 76.9]  "
        "loss -0.012  entropy 1.83  1,412 steps/s"
    )
    assert progress_line({"iteration": 0, "wall_s": 3725.0}) == "iteration 0  1:02:05"


def test_lost_messages_are_never_silent() -> None:
    assert "lost" not in progress_line(UPDATE | {"graph/messages_lost": 0.0})
    assert progress_line(UPDATE | {"graph/messages_lost": 3.0}).endswith("3 messages lost")


def test_through_a_pipe_every_update_is_a_plain_line() -> None:
    stream = io.StringIO()
    progress = Progress(minutes=15, stream=stream)
    progress.update(EVALUATION)
    progress.note("group 3 dropped: [no answer]")
    progress.update(UPDATE)
    progress.close()
    first, note, last = stream.getvalue().splitlines()
    assert first == progress_line(EVALUATION, minutes=15)
    assert note == "group 3 dropped: [no answer]"
    assert "eval 71.0% [64.4, 76.9]" in last and "rollout 62.5%" in last
    assert "\x1b" not in stream.getvalue()


def read_all(reader: int) -> str:
    """What was written to a terminal that is closed now; one read may give less than all."""
    parts = []
    with suppress(OSError):  # how Linux says that nobody holds the other end
        while part := os.read(reader, 1 << 16):
            parts.append(part)
    os.close(reader)
    return b"".join(parts).decode()


def test_in_a_terminal_the_line_is_redrawn_and_the_cursor_comes_back(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    reader, writer = pty.openpty()
    with open(writer, "w") as terminal:
        progress = Progress(iterations=80, stream=terminal)
        progress.update(EVALUATION)
        progress.note("group 3 dropped: [no answer]")
        progress.update(UPDATE)
        progress.close()
        progress.close()
    shown = read_all(reader)
    assert "eval 71.0% [64.4, 76.9]" in shown
    assert "group 3 dropped: [no answer]" in shown
    assert "\x1b[2K" in shown  # The line was erased to be drawn again.
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_the_last_line_names_run_and_success() -> None:
    line = final_line(Path("runs/a"), SuccessRate(47, 100), SuccessRate(182, 200), 0.0)
    assert "runs/a" in line
    assert "47.0% [37.5, 56.7]" in line and "91.0% [86.2, 94.2]" in line
    assert line.endswith("200 held-out episodes)")
    sampled = final_line(Path("runs/a"), None, SuccessRate(182, 200), 0.25)
    assert sampled.endswith("200 held-out episodes, actions sampled at temperature 0.25)")
