"""Publishes a recorded bag on its topics, for whoever listens: RViz, a viewer, a training.

./rlrobo launch replay.launch.py bag:=bags/… rate:=2.0
./rlrobo launch sim_train.launch.py train_from:=topics stall_s:=10     # learns from it
"""

from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo.graph import NAMESPACE, VIEWING, Argument, environment, replayer, viewers

BAG = Argument("bag", "", "the bag: its directory, or one of its files")
RATE = Argument("rate", 1.0, "1: as it was recorded; 2: twice as fast; 0: as fast as it is taken")
TOPICS = Argument("topics", "", "only these, with commas between them; empty: all")
TRAIN = Argument("train", False, "wait until a trainer listens")


def generate_launch_description() -> LaunchDescription:
    arguments = [BAG, RATE, TOPICS, TRAIN, NAMESPACE, *VIEWING]
    return LaunchDescription(
        [
            *(argument.declare() for argument in arguments),
            *environment(),
            *viewers("training"),
            replayer(BAG, RATE, TOPICS, TRAIN),
        ]
    )
