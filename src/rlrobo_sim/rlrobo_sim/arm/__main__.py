"""The simulated arm: `./rlrobo run rlrobo_sim mujoco_arm`, or `python -m rlrobo_sim.arm`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_sim.arm.node")


if __name__ == "__main__":
    main()
