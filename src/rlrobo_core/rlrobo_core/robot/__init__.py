"""What an arm is to rlrobo: the words and records that its drivers, real or simulated, share."""

from __future__ import annotations

MODES = ("idle", "move", "guiding", "reflex", "user_stopped", "recovering", "other")
"""What an arm's own controller may say that it does: libfranka's RobotMode in small letters."""
MOVABLE = ("idle", "move")
"""Those in which it may be commanded."""
