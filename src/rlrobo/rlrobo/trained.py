"""What a checkpoint was trained to see and to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from rlrobo_core.run_files import CHECKPOINTS, CONFIG_FILE, SPEC_FILE

OF_THE_CHECKPOINT = ("codec", "image_size", "cameras", "proprioception", "history")
OLDER = {"proprioception": False, "history": 0}
"""What files mean that do not say it: they are older than the choice."""
OF_ITS_RUN = ("task", "variant", "reward", "model", "eval_temperature")


def trained(checkpoint: str) -> dict[str, Any]:
    """The settings that are known of it, by their names in a run's configuration. What cannot be
    read is left to the node that opens it, which says what is wrong."""
    path = Path(checkpoint)
    if not checkpoint or not path.is_dir():
        return {}
    folder = path.resolve()
    of_run = folder.parent.parent / CONFIG_FILE if folder.parent.name == CHECKPOINTS else None
    spec = _told(folder / SPEC_FILE, OF_THE_CHECKPOINT)
    return (OLDER | spec if spec else {}) | _told(of_run, OF_ITS_RUN)


def _told(file: Path | None, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text()) if file else None  # JSON is YAML
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    if not isinstance(values, dict):
        return {}
    found = {key: values[key] for key in keys if key in values}
    return {key: tuple(it) if isinstance(it, list) else it for key, it in found.items()}
