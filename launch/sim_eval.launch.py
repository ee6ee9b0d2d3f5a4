"""How often a checkpoint succeeds in simulation: eval.json with an interval, and a video."""

from launch import LaunchDescription
from rlrobo.graph import Argument, environment, required, respawned
from rlrobo_core.tasks import TASKS

TASK = Argument("task", "reach", "what to do", choices=tuple(TASKS))
MODEL = Argument("model", "tiny", "tiny, or a Hugging Face id or directory of a Qwen2.5-VL")
CHECKPOINT = Argument("checkpoint", "", "what to evaluate; empty: the shipped warm start")
IMAGE_SIZE = Argument("image_size", 64, "height and width of the camera images [pixels]")
NUM_ENVS = Argument("num_envs", 16, "scenes side by side")
RANDOMIZE = Argument("randomize", False, "vary lights, colours, camera, friction and mass")
EVALUATION = [
    Argument("episodes", 200, "how many"),
    Argument("seed", 0, "the episodes are those of the held-out seeds from this one on"),
    Argument("out", "", "where eval.json and the video go; empty: beside the checkpoint"),
]
NAMESPACE = Argument("namespace", "eval", "so that an evaluation can run beside a training")
ARGUMENTS = [TASK, MODEL, CHECKPOINT, *EVALUATION, NUM_ENVS, IMAGE_SIZE, RANDOMIZE, NAMESPACE]


def generate_launch_description() -> LaunchDescription:
    scene = [TASK, NUM_ENVS, IMAGE_SIZE, RANDOMIZE]
    return LaunchDescription(
        [
            *(argument.declare() for argument in ARGUMENTS),
            *environment(),
            respawned("rlrobo_sim", *scene, group_size=1),
            respawned("rlrobo_policy", MODEL, CHECKPOINT, TASK, IMAGE_SIZE),
            required("rlrobo_train", MODEL, CHECKPOINT, *scene, *EVALUATION, mode="eval"),
        ]
    )
