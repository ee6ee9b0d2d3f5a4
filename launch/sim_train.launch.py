"""Online GRPO of a vision-language policy in simulation.

 observations (ObservationBatch)
  +---------------+--------------+
  |               v              v
[sim]         [policy] -actions-> [train]
  ^               |  ^           |
  +--- actions ---+  +- policy_update, rollout_request (to sim)

With process_reward:=… one more node, [process], listens to observations and says scores to [train].
"""

from launch import LaunchDescription  # pyright: ignore[reportAttributeAccessIssue]
from rlrobo.arguments import (
    CAMERAS,
    CODEC,
    DEVICE,
    EVAL_TEMPERATURE,
    IMAGE_SIZE,
    POLICY,
    PROPRIOCEPTION,
    RANDOMIZE,
    REWARD,
    ROBOT_MODEL,
    TASK,
    VARIANT,
)
from rlrobo.graph import (
    NAMESPACE,
    RECORDING,
    VIEWING,
    Argument,
    environment,
    recorder,
    required,
    respawned,
    viewers,
)

LORA_RANK = Argument("lora_rank", 0, "train an adapter of this rank (peft); 0: the whole model")
SEED = Argument("seed", 0, "of everything random in training")
NUM_ENVS = Argument("num_envs", 256, "environments side by side; a multiple of group_size")
WORKERS = [
    Argument("workers", 0, "processes that each own an equal share of num_envs; 0: the sim node"),
    Argument("worker_deadline_s", 60.0, "a worker that is silent for so long is replaced [s]"),
]
GROUP_SIZE = Argument("group_size", 8, "rollouts, or branches, that are compared with each other")
TRAIN_FROM = Argument(
    "train_from",
    "simulation",
    "simulation; a bag or a directory of bags: without one; topics: what a replay publishes",
)
PROCESS_REWARD = Argument(
    "process_reward", "", "directory of a process reward model, whose reward is added"
)
GAMMA = Argument("gamma", "auto", "discount of the return; auto: 0.5, of ppo 0.99")
WARM_START = Argument(
    "warm_start",
    "shipped",
    "scratch: make tiny's warm start anew before the training",
    choices=("shipped", "scratch"),
)
RESUME = Argument("resume", "", "go on with this run, its task, scenes and model")
TRAINING = [
    TRAIN_FROM,
    Argument(
        "algorithm",
        "branch_grpo",
        "grpo: whole rollouts from one start; branch_grpo: actions from one state; ppo: a critic",
        choices=("branch_grpo", "grpo", "ppo"),
    ),
    Argument(
        "curriculum",
        "none",
        "whose turn it is of several tasks: none: in turn; paper: the harder the likelier; "
        "frontier: likeliest what succeeds half of the time",
        choices=("none", "paper", "frontier"),
    ),
    Argument(
        "curriculum_starts",
        "none",
        "how hard the starts are: none: as they come; paper: the harder the likelier; frontier: "
        "likeliest from where half of the rollouts succeed",
        choices=("none", "paper", "frontier"),
    ),
    Argument("curriculum_tau", 0.25, "temperature of both curricula's draws"),
    Argument("branch_steps", 1, "steps that a branch is followed before the episode goes on"),
    Argument(
        "follow",
        "sampled",
        "how a branch goes on after its first action; greedy: by the likeliest ones, untrained",
        choices=("sampled", "greedy"),
    ),
    GAMMA,
    Argument("gae_lambda", 0.95, "how far ahead an advantage looks before it trusts the critic"),
    Argument(
        "critic",
        "shared",
        "of ppo: on the policy's backbone, or on a copy of it",
        choices=("shared", "separate"),
    ),
    Argument("critic_warmup", 5, "updates at the beginning in which the critic alone learns"),
    Argument("critic_from", "", "begin with the critic of this checkpoint"),
    PROCESS_REWARD,
    Argument("process_weight", 0.5, "of the process reward, beside the task's own"),
    Argument(
        "process_shaping",
        "potential",
        "potential: gamma phi(s') - phi(s), what is best stays best; plain: phi(s')",
        choices=("potential", "plain"),
    ),
    Argument("learning_rate", 2e-4, "of AdamW"),
    Argument("anneal_lr", False, "the rate falls linearly to 0 over the budget"),
    Argument("lr_warmup", 0, "AdamW steps over which the rate rises from near 0"),
    Argument("temperature", 1.0, "of the actions that are sampled for training"),
    Argument("minutes", 10.0, "train for this time; 0: no limit"),
    Argument("iterations", 0, "train for this many updates; 0: no limit"),
    Argument("run_dir", "", "where the run is written; empty: a new folder in runs/"),
    Argument("max_policy_lag", 0, "updates that a rollout's policy may lag behind; 0: lock step"),
    Argument("stall_s", 60.0, "after this silence ask again; train_from:=topics: it is over [s]"),
    Argument("groups_per_iteration", 0, "of an update; 0: as many as run at once, at least 16"),
    Argument("minibatch_size", 384, "actions of one optimizer step, about"),
    Argument("min_actions", 0, "an update waits until so many actions teach something"),
    Argument("epochs", 1, "passes over an iteration's actions"),
    Argument("target_kl", 0.0, "an update ends where the policy has moved so far; 0: never"),
    Argument("kl_coef", 0.0, "weight of the divergence from where training began"),
    Argument("episodes", 200, "episodes of an evaluation"),
    Argument("eval_every", 20, "updates between evaluations; 0: only before and after"),
    EVAL_TEMPERATURE,
]
MODELLING = [TASK, *POLICY, WARM_START, LORA_RANK, SEED, RESUME]
JUDGING = [PROCESS_REWARD, TASK, VARIANT, CODEC, DEVICE, IMAGE_SIZE, CAMERAS]
JUDGING += [PROPRIOCEPTION, RESUME]
SCENE = [TASK, VARIANT, REWARD, NUM_ENVS, *WORKERS, GROUP_SIZE, IMAGE_SIZE, CAMERAS]
SCENE += [RANDOMIZE, RESUME]


def generate_launch_description() -> LaunchDescription:
    arguments = [TASK, *TRAINING, *SCENE, *MODELLING, ROBOT_MODEL, NAMESPACE, *RECORDING, *VIEWING]
    simulated = TRAIN_FROM.equals("simulation")
    return LaunchDescription(
        [
            *(argument.declare() for argument in dict.fromkeys(arguments)),
            *environment(),
            recorder(),
            *viewers("training", GAMMA, joint_prefix="fer_"),
            respawned("rlrobo_sim", *SCENE, ROBOT_MODEL, condition=simulated),
            respawned("rlrobo_policy", *MODELLING, condition=simulated),
            respawned("rlrobo_train/process", *JUDGING, condition=PROCESS_REWARD.differs("")),
            required("rlrobo_train", *MODELLING, *SCENE, *TRAINING),
        ]
    )
