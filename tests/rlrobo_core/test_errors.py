"""What is told to the user in a sentence, and what keeps its trace."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rlrobo_core.codec import make_codec
from rlrobo_core.errors import spoken, told
from rlrobo_core.tasks import make_task


def test_a_full_disk_is_told_whoever_writes(capsys: pytest.CaptureFixture[str]) -> None:
    """The kernel's own: /dev/full takes nothing."""
    with pytest.raises(SystemExit) as ended, spoken():
        Path("/dev/full").write_text("x")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the disk is full") and "resume:=" in line


def test_our_errors_are_told_and_bugs_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="unknown action codec") as ours:
        make_codec("morse", make_task("reach"))
    assert told(ours.value) and "morse" in capsys.readouterr().err
    with pytest.raises(ValueError, match="reshape") as bug:
        np.zeros(3).reshape(2)
    with pytest.raises(OSError, match="nowhere") as other:
        os.stat("/nowhere")
    assert not told(bug.value) and not told(other.value) and not capsys.readouterr().err
