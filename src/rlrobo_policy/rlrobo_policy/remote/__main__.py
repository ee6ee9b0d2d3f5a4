"""The policy server: `./rlrobo run rlrobo_policy policy_server`, or, without ROS,
`python -m rlrobo_policy.remote`."""

from rlrobo_core.start import start


def main() -> None:
    start("rlrobo_policy.remote.command")


if __name__ == "__main__":
    main()
