"""How many messages were lost, told by the gaps in their sequence numbers."""

from __future__ import annotations


class GapCounter:
    """Counts the messages that one topic lost, publisher by publisher.

    A publisher draws its `session` anew when it starts and counts `sequence` up by one a
    message. An unknown session is a publisher that (re)started or that was joined late, not a
    gap; a sequence that was passed already is a repetition, not a gap either.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._next: dict[int, int] = {}

    def see(self, session: int, sequence: int) -> int:
        """The number of messages missing right before this one."""
        expected = self._next.get(session, sequence)
        self._next[session] = max(expected, sequence + 1)
        missing = max(0, sequence - expected)
        self.lost += missing
        return missing
