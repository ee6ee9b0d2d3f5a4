"""The node: `./rlrobo run rlrobo_train process`, or `python -m rlrobo_train.process_reward`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_train.process_reward.node")


if __name__ == "__main__":
    main()
