"""How a policy searches at test time. Without torch: a node declares its parameters from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Scorer = Literal["critic", "process", "likelihood"]


@dataclass(frozen=True)
class SearchConfig:
    """Among how many actions one is chosen, and by whom."""

    best_of: int = field(default=1, metadata={"range": (1, 4096)})
    """Actions that are weighed against each other before one is taken: the most likely one, and
    others that are sampled. 1: the most likely one is taken."""
    scorer: Scorer = "critic"
    """Who prefers one of best_of. critic, process: what a critic, or a process reward model, says
    of the state after each, which a simulation shows; likelihood: which the policy itself finds
    likeliest."""
    search_temperature: float = field(default=1.0, metadata={"range": (0.01, 10.0)})
    """Of the actions that are sampled for best_of."""
    critic_from: str = ""
    """Checkpoint that holds the critic of scorer:=critic; empty: the policy's own."""

    process_reward: str = ""
    """Directory of the process reward model of scorer:=process."""

    @property
    def looks(self) -> bool:
        """Whether each action is tried in the simulation before one is chosen."""
        return self.best_of > 1 and self.scorer != "likelihood"

    def check_temperature(self, name: str, temperature: float) -> None:
        """ValueError where the actions of a search are to be drawn at a temperature besides."""
        if self.best_of > 1 and temperature:
            raise ValueError(
                f"best_of:={self.best_of} begins with the most likely action and samples the "
                f"others at search_temperature:={self.search_temperature}: set {name}:=0 "
                f"instead of {temperature}, or leave the search out"
            )
