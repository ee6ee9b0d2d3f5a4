"""Launch arguments that mean the same in several launch files."""

from __future__ import annotations

from rlrobo.graph import Argument, as_trained
from rlrobo_core.tasks import TASKS, VARIANTS

TASK = Argument(
    "task", "reach", f"{', '.join(TASKS)}; several with commas between them; rlrobo4; all"
)
VARIANT = Argument("variant", "default", "the tasks' numbers: our own or panda_gym's", VARIANTS)
REWARD = Argument(
    "reward", "dense", "dense: each task's terms; sparse: 1 for success", ("dense", "sparse")
)
MODEL = Argument("model", "tiny", "tiny, or a Hugging Face id or directory of a Qwen2.5-VL")
CHECKPOINT = Argument(
    "checkpoint", "", "the policy's checkpoint; empty: tiny's shipped one, or the bare model"
)
CODEC = Argument("codec", "tokens", "how actions are written", ("tokens", "words"))
DEVICE = Argument("device", "cpu", "where the model runs: cpu, cuda, cuda:1, …")
IMAGE_SIZE = Argument("image_size", 112, "height and width of what the policy sees [px]")
CAMERAS = Argument(
    "cameras", ("auto",), "what the policy sees: [front], [wrist], both; [auto]: as the task needs"
)
PROPRIOCEPTION = Argument(
    "proprioception",
    "auto",
    "tell the policy in words where the gripper is and how far open; auto: as the task needs it",
    ("auto", "true", "false"),
)
HISTORY = Argument("history", 0, "turns before the present one that the prompt tells again")
SENSES = [IMAGE_SIZE, CAMERAS, PROPRIOCEPTION, HISTORY]
POLICY = [VARIANT, MODEL, CHECKPOINT, CODEC, DEVICE, *SENSES]
"""What a policy needs to be loaded, besides its task."""
TRAINED_POLICY = [
    CHECKPOINT,
    *(as_trained(it) for it in (VARIANT, MODEL, CODEC, *SENSES)),
    DEVICE,
]
"""The same, where the checkpoint's settings are the defaults."""

EVAL_TEMPERATURE = Argument(
    "eval_temperature", 0.0, "of the actions that an evaluation takes; 0: the likeliest one"
)
RANDOMIZE = Argument("randomize", False, "vary lights, colours, camera, friction and mass")
ROBOT_MODEL = Argument("robot", "primitive", "primitive, menagerie (meshes) or menagerie:FOLDER")

CRITIC_FROM = Argument(
    "critic_from", "", "checkpoint that holds the critic; empty: the policy's own"
)
JUDGED_BY = Argument("process_reward", "", "directory of the model of scorer:=process")
SEARCH = [
    Argument("best_of", 1, "actions that are weighed against each other before one is taken"),
    Argument(
        "scorer",
        "critic",
        "who prefers one of best_of: a critic or a process reward model, who see in the simulation "
        "where each leads; likelihood: the policy itself",
        ("critic", "process", "likelihood"),
    ),
    Argument("search_temperature", 1.0, "of the actions that are sampled for best_of"),
    CRITIC_FROM,
    JUDGED_BY,
]
"""At test time. A robot cannot try what CRITIC_FROM or JUDGED_BY would judge."""
