"""What the trainer tells of itself in its diagnostics, as numbers."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

PREFIX = "metrics/"
"""Of the keys that the training node gives its metrics."""


def curves(diagnostics: Any) -> dict[str, float]:
    """By slash keys, of a DiagnosticArray; what is no number is left out."""
    found: dict[str, float] = {}
    for status in diagnostics.status:
        for it in status.values:
            if it.key.startswith(PREFIX):
                with suppress(ValueError):
                    found[it.key.removeprefix(PREFIX)] = float(it.value)
    return {key: value for key, value in found.items() if math.isfinite(value)}
