"""The nodes of this package: `./rlrobo run rlrobo record`, `replay` and `view`."""

from rlrobo_core.start import start


def record() -> None:
    start("rlrobo.bags.recorder")


def replay() -> None:
    start("rlrobo.bags.replayer")


def view() -> None:
    start("rlrobo.viewer.node")
