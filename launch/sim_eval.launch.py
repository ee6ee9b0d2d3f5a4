"""How often a checkpoint succeeds in simulation: eval.json with an interval, and a video.

Of several tasks (suite:=rlrobo4) also under shifts that training never saw, and as a table.
"""

from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo.arguments import (
    CAMERAS,
    EVAL_TEMPERATURE,
    IMAGE_SIZE,
    RANDOMIZE,
    REWARD,
    ROBOT_MODEL,
    SEARCH,
    TASK,
    TRAINED_POLICY,
    VARIANT,
)
from rlrobo.graph import (
    RECORDING,
    VIEWING,
    Argument,
    as_trained,
    environment,
    recorder,
    required,
    respawned,
    viewers,
)
from rlrobo_core.shifts import SHIFTS as NAMES

SUITE = Argument("suite", TASK, "several tasks, instead of task; judged under shifts too")
SHIFTS = Argument(
    "shifts",
    "",
    f"none, all, or some of: {', '.join(NAMES)}; empty: all for several tasks, none for one",
)
NUM_ENVS = Argument("num_envs", 16, "environments side by side")
EPISODES = Argument("episodes", 200, "how many")
SEED = Argument("seed", 0, "which held-out episodes")
OUT = Argument("out", "", "where eval.json and the video go; empty: a new folder in runs/")
NAMESPACE = Argument("namespace", "eval", "apart from a training that runs at the same time")
SCENE = [VARIANT, REWARD, NUM_ENVS, IMAGE_SIZE, CAMERAS, RANDOMIZE]


def generate_launch_description() -> LaunchDescription:
    arguments = [*TRAINED_POLICY, *map(as_trained, (TASK, REWARD, EVAL_TEMPERATURE))]
    arguments += [SUITE, SHIFTS, *SEARCH, EPISODES, SEED, OUT, NUM_ENVS, RANDOMIZE, ROBOT_MODEL]
    arguments += [NAMESPACE, *RECORDING, *VIEWING]
    tasks = SUITE.parameter()
    evaluation = {"mode": "eval", "eval_seed": SEED.parameter(), "run_dir": OUT.parameter()}
    return LaunchDescription(
        [
            *(argument.declare() for argument in arguments),
            *environment(),
            recorder(),
            *viewers("training", joint_prefix="fer_"),
            respawned("rlrobo_sim", *SCENE, ROBOT_MODEL, task=tasks, group_size=1),
            respawned("rlrobo_policy", *TRAINED_POLICY, *SEARCH, task=tasks),
            required(
                "rlrobo_train",
                *TRAINED_POLICY,
                *SEARCH,
                *SCENE,
                EPISODES,
                EVAL_TEMPERATURE,
                SHIFTS,
                task=tasks,
                group_size=1,
                **evaluation,
            ),
        ]
    )
