"""A configuration is filled from loose values, or says in one sentence why not."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from rlrobo_core.config import as_in_run, field_docs, from_values


@dataclass(frozen=True)
class Base:
    seed: int = 0
    """Seed of everything
    random."""


@dataclass(frozen=True)
class Config(Base):
    model: str = "tiny"
    """Which model."""
    algorithm: Literal["grpo", "ppo"] = "grpo"
    rate: float = field(default=1.0, metadata={"range": (0.0, 2.0)})
    """Learning rate [1/step]."""
    cameras: tuple[str, ...] = ("front",)
    record: bool = False


@dataclass(frozen=True)
class Needy:
    checkpoint: str


def test_docstrings_under_fields_are_read_through_inheritance():
    docs = field_docs(Config)
    assert docs["seed"] == "Seed of everything random."
    assert docs["rate"] == "Learning rate [1/step]."
    assert docs["algorithm"] == ""


def test_defaults_stay_and_values_are_taken():
    config = from_values(Config, {"cameras": ["front", "wrist"], "record": True})
    assert config == Config(cameras=("front", "wrist"), record=True)


def test_yaml_guesses_are_understood():
    config = from_values(Config, {"rate": 1, "model": 7})
    assert (config.rate, config.model) == (1.0, "7")
    assert isinstance(config.rate, float)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sed": 1}, ["'sed'", "seed", "model"]),
        ({"seed": "one"}, ["'seed'", "whole number", "'one'"]),
        ({"seed": 1.5}, ["'seed'", "whole number", "1.5"]),
        ({"seed": True}, ["'seed'", "whole number"]),
        ({"record": "yes"}, ["'record'", "true or false"]),
        ({"algorithm": "sac"}, ["'algorithm'", "grpo, ppo", "'sac'"]),
        ({"rate": 3.0}, ["'rate'", "[0.0, 2.0]", "3.0"]),
        ({"cameras": "front"}, ["'cameras'", "a list"]),
        ({"cameras": [True]}, ["'cameras'", "text"]),
    ],
)
def test_what_is_wrong_is_named_with_the_choices(values, words):
    with pytest.raises(ValueError) as error:
        from_values(Config, values)
    assert all(word in str(error.value) for word in words)


def test_what_has_no_default_is_asked_for():
    with pytest.raises(ValueError, match="checkpoint:=<value>"):
        from_values(Needy, {})


def test_a_resumed_run_says_what_it_shares(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 7\ncameras: [wrist]\nmodel: other\nminutes: 3\n")
    config = as_in_run(Config(rate=0.5, model="tiny"), str(tmp_path), but=["model"])
    assert config == Config(seed=7, cameras=("wrist",), rate=0.5)
    assert as_in_run(config, "") is config
    with pytest.raises(ValueError, match=r"resume:=.*missing is no run directory"):
        as_in_run(config, str(tmp_path / "missing"))
