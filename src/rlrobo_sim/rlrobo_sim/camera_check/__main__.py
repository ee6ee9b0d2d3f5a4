"""The camera check: `./rlrobo run rlrobo_sim camera_check`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_sim.camera_check.node")


if __name__ == "__main__":
    main()
