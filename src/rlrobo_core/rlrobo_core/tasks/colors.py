"""Colours with names, so that which object is meant can be in the words alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlrobo_core.tasks.base import Rgba

COLORS: dict[str, Rgba] = {
    "red": (0.85, 0.08, 0.08, 1.0),
    "blue": (0.08, 0.22, 0.90, 1.0),
    "yellow": (0.98, 0.85, 0.05, 1.0),
    "pink": (1.0, 0.45, 0.78, 1.0),
    "orange": (1.0, 0.45, 0.0, 1.0),
    "purple": (0.42, 0.08, 0.62, 1.0),
    "brown": (0.36, 0.17, 0.05, 1.0),
}
"""Told apart at 112 pixels, and none like the target's green, the table's beige or the arm's
white and black."""
PALETTE = ("red", "blue", "yellow", "pink")
HELD_OUT_PALETTE = ("orange", "purple", "brown")
"""Colours that training never shows."""
TARGET_GREEN: Rgba = (0.1, 0.75, 0.2, 1.0)


def draw_colors(rng: np.random.Generator, palette: Sequence[str], n: int) -> list[str]:
    """`n` different names of `palette`."""
    return [str(name) for name in rng.permutation(list(palette))[:n]]


def check_palette(palette: Sequence[str], n: int) -> None:
    """ValueError unless `palette` names `n` different known colours."""
    unknown = [name for name in palette if name not in COLORS]
    if unknown:
        raise ValueError(f"unknown colours {unknown}; choose from: {', '.join(COLORS)}")
    if len(set(palette)) < n:
        raise ValueError(
            f"{n} objects need different colours, but the palette has {len(set(palette))}: "
            f"{', '.join(palette)}; name more colours or take fewer distractors"
        )
