"""The sim node: `./rlrobo run rlrobo_sim sim`, or `python -m rlrobo_sim`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_sim.node")


if __name__ == "__main__":
    main()
