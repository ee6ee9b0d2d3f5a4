"""The operator's command: `./rlrobo run rlrobo_robot operate arm`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_robot.operate.node")


if __name__ == "__main__":
    main()
