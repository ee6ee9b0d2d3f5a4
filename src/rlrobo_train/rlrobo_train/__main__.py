"""The train node: `./rlrobo run rlrobo_train train`, or `python -m rlrobo_train`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_train.node")


if __name__ == "__main__":
    main()
