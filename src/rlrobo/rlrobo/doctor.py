"""Says what the set-up found on this machine, and how to cure what it did not."""

from __future__ import annotations


def main(given: list[str]) -> int:
    return 0
