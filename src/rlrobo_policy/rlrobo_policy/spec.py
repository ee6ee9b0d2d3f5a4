"""What a checkpoint was trained to see and to do, saved beside its weights as rlrobo.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rlrobo_core.codec import make_codec
from rlrobo_core.run_files import SPEC_FILE
from rlrobo_core.tasks import Task


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """Observation and action space of a policy."""

    codec: str
    num_symbols: int
    action_dims: tuple[str, ...]
    max_step: float
    """[m]"""
    cameras: tuple[str, ...]
    image_size: int
    """[px], square"""
    proprioception: bool = False
    """Whether the prompt tells where the gripper is and how far it is open. Files that are older
    than the choice lack it."""
    base: str = ""
    """Of an adapter: the fingerprint of the model that it was trained on (lora.py)."""
    history: int = 0
    """Turns of the episode before the present one that the prompt tells again. Older files lack
    it."""

    @staticmethod
    def of(
        task: Task,
        codec: str,
        cameras: tuple[str, ...],
        image_size: int,
        proprioception: bool = False,
        history: int = 0,
    ) -> PolicySpec:
        return PolicySpec(
            codec=codec,
            num_symbols=make_codec(codec, task).num_symbols,
            action_dims=task.action_dims,
            max_step=task.max_step,
            cameras=cameras,
            image_size=image_size,
            proprioception=proprioception,
            history=history,
        )

    def save(self, directory: Path) -> None:
        (directory / SPEC_FILE).write_text(self.to_json() + "\n")

    @staticmethod
    def load(directory: Path) -> PolicySpec | None:
        """None where the directory is a plain Hugging Face model without rlrobo's file; ValueError
        where that is damaged."""
        file = directory / SPEC_FILE
        try:
            return PolicySpec.from_json(file.read_text()) if file.exists() else None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is damaged ({error}): take another checkpoint") from error

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    @staticmethod
    def from_json(text: str) -> PolicySpec:
        values = json.loads(text)
        lists = {name: tuple(values[name]) for name in ("action_dims", "cameras")}
        return PolicySpec(**(values | lists))

    def check(self, checkpoint: PolicySpec, path: str, to_train: bool = False) -> None:
        """ValueError, naming each difference, where the checkpoint is of another space. One that
        writes a token a dimension and this task's dimensions first serves it: writing stops
        there. What is then saved is of this task alone, for only its dimensions were practised.
        `to_train`: one that knows single turns (history 0) may go on to learn to read several."""
        differences = [
            f"{field.name} is {getattr(checkpoint, field.name)!r} there and "
            f"{getattr(self, field.name)!r} here"
            for field in fields(self)
            if field.name != "base"
            and getattr(checkpoint, field.name) != getattr(self, field.name)
            and not (field.name == "action_dims" and self._begins(checkpoint))
            and not (field.name == "history" and to_train and checkpoint.history == 0)
        ]
        if differences:
            raise ValueError(
                f"the checkpoint {path} is of another observation or action space: "
                f"{'; '.join(differences)}. Choose the arguments it was trained with, or another "
                "checkpoint"
            )

    def check_base(self, checkpoint: PolicySpec, path: str) -> None:
        """ValueError where both are adapters, of different models. Older files do not say."""
        if self.base and checkpoint.base and self.base != checkpoint.base:
            raise ValueError(
                f"{path} is an adapter of another base model: of {checkpoint.base}, and the one "
                f"here is {self.base}. Its weights were changed or exchanged since: put back those "
                "that the adapter was trained on, or start a new run from what is there now"
            )

    def _begins(self, checkpoint: PolicySpec) -> bool:
        """Whether the checkpoint's actions begin with the tokens of this action space."""
        count = len(self.action_dims)
        return self.codec == "tokens" and checkpoint.action_dims[:count] == self.action_dims
