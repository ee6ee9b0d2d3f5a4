"""How a service says no."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Refused(ValueError):
    """A service that was not granted; the sentence names the cure."""


def answered(response: Any, act: Callable[[], str]) -> Any:
    """The response of a SetBool or Trigger service: what `act` says, or why it refuses."""
    try:
        response.success, response.message = True, act()
    except Refused as refusal:
        response.success, response.message = False, str(refusal)
    return response
