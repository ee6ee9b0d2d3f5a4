"""How often a checkpoint succeeds in simulation: eval.json with an interval, and a video.

Of several tasks (suite:=rlrobo4) also under shifts that training never saw, and as a table.
"""

from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo.graph import RECORDING, Argument, environment, recorder, required, respawned
from rlrobo_core.shifts import SHIFTS as NAMES
from rlrobo_core.tasks import TASKS, VARIANTS

TASK = Argument(
    "task",
    "reach",
    f"what to do: {', '.join(TASKS)}; several with commas between them; rlrobo4; all",
)
SUITE = Argument("suite", TASK, "several tasks, instead of task; judged under shifts too")
SHIFTS = Argument(
    "shifts",
    "",
    f"none, all, or some of: {', '.join(NAMES)}; empty: all for several tasks, none for one",
)
VARIANT = Argument("variant", "default", "the tasks' numbers: our own or panda_gym's", VARIANTS)
MODEL = Argument("model", "tiny", "tiny, or a Hugging Face id or directory of a Qwen2.5-VL")
CHECKPOINT = Argument(
    "checkpoint", "", "what to evaluate; empty: tiny's shipped one, or the bare model"
)
CODEC = Argument("codec", "tokens", "how actions are written", choices=("tokens", "words"))
DEVICE = Argument("device", "cpu", "where the model runs: cpu, cuda, cuda:1, …")
NUM_ENVS = Argument("num_envs", 16, "environments side by side")
IMAGE_SIZE = Argument("image_size", 112, "height and width of the camera images [px]")
CAMERAS = Argument(
    "cameras", ("auto",), "what the policy sees: [front], [wrist], both; [auto]: as the task needs"
)
PROPRIOCEPTION = Argument(
    "proprioception",
    "auto",
    "tell the policy in words where the gripper is and how far open; auto: as the task needs it",
    choices=("auto", "true", "false"),
)
RANDOMIZE = Argument("randomize", False, "vary lights, colours, camera, friction and mass")
ROBOT = Argument("robot", "primitive", "primitive, menagerie (meshes) or menagerie:FOLDER")
EPISODES = Argument("episodes", 200, "how many")
SEED = Argument("seed", 0, "which held-out episodes")
OUT = Argument("out", "", "where eval.json and the video go; empty: a new folder in runs/")
NAMESPACE = Argument("namespace", "eval", "apart from a training that runs at the same time")
SEEING = [IMAGE_SIZE, CAMERAS, PROPRIOCEPTION]
MODELLING = [VARIANT, MODEL, CHECKPOINT, CODEC, DEVICE, *SEEING]
SCENE = [VARIANT, NUM_ENVS, IMAGE_SIZE, CAMERAS, RANDOMIZE]


def generate_launch_description() -> LaunchDescription:
    arguments = [TASK, SUITE, SHIFTS, *MODELLING, EPISODES, SEED, OUT]
    arguments += [NUM_ENVS, RANDOMIZE, ROBOT, NAMESPACE, *RECORDING]
    tasks = SUITE.parameter()
    evaluation = {"mode": "eval", "eval_seed": SEED.parameter(), "run_dir": OUT.parameter()}
    return LaunchDescription(
        [
            *(argument.declare() for argument in arguments),
            *environment(),
            recorder(),
            respawned("rlrobo_sim", *SCENE, ROBOT, task=tasks, group_size=1),
            respawned("rlrobo_policy", *MODELLING, task=tasks),
            required(
                "rlrobo_train",
                *MODELLING,
                *SCENE,
                EPISODES,
                SHIFTS,
                task=tasks,
                group_size=1,
                **evaluation,
            ),
        ]
    )
