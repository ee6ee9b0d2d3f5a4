"""The policy node: `./rlrobo run rlrobo_policy policy`, or `python -m rlrobo_policy`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_policy.node")


if __name__ == "__main__":
    main()
