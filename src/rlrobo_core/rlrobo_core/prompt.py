"""The words around an instruction. Simulation, policy, trainer and robot all read them here."""

from __future__ import annotations


def instruction_prompt(instruction: str) -> str:
    """The user's turn beside the camera images."""
    return instruction


def location_question(thing: str) -> str:
    """A spatial question of the seeing stage; the answer is a place in the base frame."""
    return f"where is the {thing} ?"
