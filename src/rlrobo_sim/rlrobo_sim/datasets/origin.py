"""Where demonstrations come from: what a data set must say so that it can be learned from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from rlrobo_core.config import from_values
from rlrobo_core.tasks import Task
from rlrobo_sim.demonstrations import Demonstrations


@dataclass(frozen=True, slots=True)
class Origin:
    task: str
    variant: str
    action_dims: tuple[str, ...]
    """What the components of an action mean, see `rlrobo_core.codec`."""
    max_step: float
    """What 1 in x, y or z stands for [m]."""
    control_hz: float
    """[1/s]"""
    cameras: tuple[str, ...]
    image_size: int
    """[px]"""
    noise: float
    """Standard deviation of the noise on the expert's executed actions, in full steps."""
    seed: int

    @classmethod
    def of(
        cls,
        task: Task,
        variant: str,
        cameras: tuple[str, ...],
        image_size: int,
        noise: float,
        seed: int,
    ) -> Self:
        return cls(
            task=task.name,
            variant=variant,
            action_dims=task.action_dims,
            max_step=task.max_step,
            control_hz=task.control_hz,
            cameras=cameras,
            image_size=image_size,
            noise=noise,
            seed=seed,
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str, source: Path) -> Self:
        try:
            return from_values(cls, json.loads(text))
        except (ValueError, AttributeError) as error:
            raise ValueError(
                f"{source} does not describe demonstrations of rlrobo: {error}"
            ) from None


def fitting(
    shown: Demonstrations, origin: Origin, task: Task, cameras: tuple[str, ...], image_size: int
) -> Demonstrations:
    """The demonstrations as a policy of this task sees them through these cameras. ValueError
    names what differs, and the choices, where they are of another task, action space or camera."""
    wanted = {
        "task": task.name,
        "action_dims": task.action_dims,
        "max_step": task.max_step,
        "control_hz": task.control_hz,
        "image_size": image_size,
    }
    for name, value in wanted.items():
        if (found := getattr(origin, name)) != value:
            raise ValueError(
                f"these demonstrations have {name} {_said(found)}, not {_said(value)}: train on "
                f"task {origin.task!r} ({origin.variant}) with image_size {origin.image_size}, or "
                "collect others with these settings"
            )
    if missing := [camera for camera in cameras if camera not in origin.cameras]:
        raise ValueError(
            f"these demonstrations have no camera {missing[0]!r}; choose from: "
            f"{', '.join(origin.cameras)}"
        )
    return shown.seen_by([origin.cameras.index(camera) for camera in cameras])


def _said(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
