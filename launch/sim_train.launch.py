"""Online GRPO of a vision-language policy in simulation.

 observations (ObservationBatch)
  +---------------+--------------+
  |               v              v
[sim]         [policy] -actions-> [train]
  ^               |  ^           |
  +--- actions ---+  +- policy_update, rollout_request (to sim)
"""

from launch import LaunchDescription
from rlrobo.graph import NAMESPACE, Argument, environment, required, respawned
from rlrobo_core.tasks import TASKS

TASK = Argument("task", "reach", "what to learn", choices=tuple(TASKS))
MODEL = Argument("model", "tiny", "tiny, or a Hugging Face id or directory of a Qwen2.5-VL")
CHECKPOINT = Argument("checkpoint", "", "start from this checkpoint; empty: the shipped one")
IMAGE_SIZE = Argument("image_size", 64, "height and width of the camera images [pixels]")
SEED = Argument("seed", 0, "of everything random in training")
NUM_ENVS = Argument("num_envs", 64, "scenes side by side; a multiple of group_size")
GROUP_SIZE = Argument("group_size", 8, "rollouts (or branches) that are compared with each other")
RANDOMIZE = Argument("randomize", False, "vary lights, colours, camera, friction and mass")
TRAINING = [
    Argument(
        "algorithm",
        "branch_grpo",
        "grpo: whole rollouts from one start; branch_grpo: actions from one state",
        choices=("branch_grpo", "grpo"),
    ),
    Argument("minutes", 15.0, "stop after this time; 0: no limit"),
    Argument("iterations", 0, "stop after this many updates; 0: no limit"),
    Argument("run_dir", "", "where the run is written; empty: a new folder in runs/"),
    Argument("resume", "", "go on with this run"),
    Argument("warm_start", "shipped", "shipped, or scratch: make it anew before the training"),
    Argument("max_policy_lag", 0, "updates that rollouts may lag behind; 0: lock step"),
]
ARGUMENTS = [
    TASK, MODEL, CHECKPOINT, *TRAINING, NUM_ENVS, GROUP_SIZE, SEED, IMAGE_SIZE, RANDOMIZE, NAMESPACE
]  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    scene = [TASK, NUM_ENVS, GROUP_SIZE, IMAGE_SIZE, RANDOMIZE]
    return LaunchDescription(
        [
            *(argument.declare() for argument in ARGUMENTS),
            *environment(),
            respawned("rlrobo_sim", *scene),
            respawned("rlrobo_policy", MODEL, CHECKPOINT, TASK, IMAGE_SIZE, SEED),
            required("rlrobo_train", MODEL, CHECKPOINT, SEED, *scene, *TRAINING),
        ]
    )
