"""Instructions are templates: "pick up the {color} cube"."""

from __future__ import annotations

from collections.abc import Sequence
from string import Formatter

import numpy as np


def say(rng: np.random.Generator, templates: Sequence[str], **words: str) -> str:
    """One of the templates, its placeholders filled in."""
    return str(rng.choice(list(templates))).format(**words)


def check_templates(templates: Sequence[str], *placeholders: str) -> None:
    """ValueError unless each template has just these placeholders: one that left out the colour
    would not say which object is meant."""
    if not templates:
        raise ValueError("a task needs at least one instruction")
    for template in templates:
        found = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
        if found != set(placeholders):
            wanted = ", ".join(f"{{{name}}}" for name in placeholders)
            raise ValueError(
                f"the instruction {template!r} must name its objects by these placeholders, each "
                f"of them and no others: {wanted}"
            )
