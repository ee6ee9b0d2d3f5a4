"""A run that another process keeps: of several learners the first one writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from rlrobo_core.run_files import CHECKPOINTS
from rlrobo_train.checkpoint import Checkpoint, latest_checkpoint
from rlrobo_train.metrics import Row
from rlrobo_train.run import RunDirectory


class SilentRun(RunDirectory):
    """The same calls, and nothing is written or locked."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        """Use it as it is."""
        self.path, self.config = path, config
        self._began = time.monotonic()

    @property
    def wall_s(self) -> float:
        """Of this process [s]."""
        return time.monotonic() - self._began

    def log(self, metrics: Row, iteration: int) -> None:
        pass

    def save_checkpoint(
        self,
        version: int,
        model: Any,
        processor_files: Callable[[Path], None],
        state: dict[str, Any],
    ) -> Path:
        return self.path

    def latest_checkpoint(self) -> Checkpoint | None:
        return latest_checkpoint(self.path / CHECKPOINTS)

    def publish_weights(self, version: int, model: nn.Module, spec: str = "") -> Path:
        return self.path

    def finish(self, summary: dict[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass
