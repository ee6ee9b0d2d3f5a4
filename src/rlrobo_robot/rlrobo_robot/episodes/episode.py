"""When an episode is over, and why."""

from __future__ import annotations

from dataclasses import dataclass

RUNS = ("HOLD", "ARMED")
"""States of the safety node in which an episode goes on."""


@dataclass(slots=True)
class Episode:
    instruction: str
    max_seconds: float
    began: float
    """[s], on any steady clock"""
    safety_state: str
    steps: int = 0
    """Targets that the policy asked for."""
    judged: bool = False
    """Whether anybody said if it succeeded yet."""
    success: bool = False

    def judge(self, success: bool) -> None:
        """Once it has succeeded it has."""
        self.judged, self.success = True, self.success or success

    def why_over(self, now: float) -> str:
        """In words; "" while it goes on."""
        if self.success:
            return "success"
        if self.safety_state not in RUNS:
            return f"the arm is {self.safety_state}: see the safety node's log, then reset and arm"
        if now - self.began >= self.max_seconds:
            return f"{self.max_seconds:g} s are over"
        return ""
