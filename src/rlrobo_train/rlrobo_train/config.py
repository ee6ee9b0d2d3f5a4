"""What a training run is configured by. ROS parameters are declared from it (`node.py`), and
the whole of it is saved with the run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal, TypeVar

from rlrobo_core.shifts import shift_names
from rlrobo_core.task_set import AUTO, Senses, Told, make_tasks, senses_for, task_names
from rlrobo_core.types import Form
from rlrobo_policy.search.config import SearchConfig
from rlrobo_train.grpo import GrpoConfig
from rlrobo_train.ppo import PpoConfig
from rlrobo_train.process_reward.shaping import Shaping
from rlrobo_train.schedule import Curriculum
from rlrobo_train.trainer import UpdateConfig

Algorithm = Literal["grpo", "branch_grpo", "ppo"]
WORKER_START_S = 60.0
"""A new simulation process is expected to speak after this time [s]."""
U = TypeVar("U", bound=UpdateConfig)


@dataclass(frozen=True)
class TrainConfig(PpoConfig, GrpoConfig, SearchConfig):
    """The training node's parameters; those of the update are inherited from `UpdateConfig`,
    `GrpoConfig` and `PpoConfig`, those of a search at test time from `SearchConfig`."""

    mode: Literal["train", "eval"] = "train"
    """train, or eval: judge a checkpoint and stop."""
    task: str = "reach"
    """What to learn; several tasks with commas between them, rlrobo4, or all: one an iteration."""
    variant: Literal["default", "panda_gym"] = "default"
    """The tasks' numbers: our own, or panda_gym's."""
    reward: Literal["dense", "sparse"] = "dense"
    """dense: as each task weighs its reward terms; sparse: 1 for success, else nothing (the
    simulation weighs; kept with the run)."""
    model: str = "tiny"
    """tiny, or a Hugging Face id or directory of a Qwen2.5-VL."""
    checkpoint: str = ""
    """Start from this checkpoint; empty: the shipped warm start of the tiny model, or the bare
    model where another is named."""
    warm_start: Literal["shipped", "scratch"] = "shipped"
    """scratch: make the tiny model's warm start anew before the training."""
    codec: str = "tokens"
    """How actions are written: tokens, words."""
    cameras: tuple[str, ...] = AUTO
    """Cameras that the policy sees; auto: those that the task needs."""
    proprioception: Told = "auto"
    """Whether the prompt tells where the gripper is and how far it is open; auto: where the task
    needs it."""
    history: int = field(default=0, metadata={"range": (0, 10000)})
    """Turns of the episode before the present one that the prompt tells again; a checkpoint that
    was trained with 0 may go on with more."""
    image_size: int = field(default=112, metadata={"range": (16, 2048)})
    """Height and width of the camera images [px]."""
    device: str = "cpu"
    """Where the model is trained: cpu, cuda, cuda:1, …"""
    lora_rank: int = field(default=0, metadata={"range": (0, 4096)})
    """Train an adapter of this rank on a frozen model; 0: train the whole model. Embeddings are
    frozen too: take codec:=words where the model has not learned the action tokens yet."""
    algorithm: Algorithm = "branch_grpo"
    """grpo: whole rollouts from one start; branch_grpo: actions from one state; ppo: episodes
    from starts of their own, and a critic."""
    gamma: str = "auto"
    """Discount of the return; auto: the algorithm's own, 0.5 of GRPO and 0.99 of ppo."""
    critic_from: str = ""
    """Begin with the critic of this checkpoint; empty: with one that knows nothing (ppo). With
    best_of: the critic that chooses; empty: the checkpoint's own."""
    curriculum: Curriculum = "none"
    """Of several tasks, whose turn it is. none: one after the other; paper: drawn, the harder the
    likelier; frontier: drawn, likeliest what succeeds half of the time."""
    curriculum_starts: Curriculum = "none"
    """How hard the starts are that training draws. none: as they come; paper: the harder the
    likelier; frontier: likeliest those from which half of the rollouts succeed."""
    curriculum_tau: float = field(default=0.25, metadata={"range": (0.01, 100.0)})
    """Temperature of both draws: the higher, the more alike the chances."""
    process_reward: str = ""
    """Directory of a process reward model, whose reward is added; empty: none. With scorer:=process
    the one that chooses."""
    process_weight: float = field(default=0.5, metadata={"range": (0.0, 1000.0)})
    """Weight of the process reward beside the task's own."""
    process_shaping: Shaping = "potential"
    """potential: gamma phi(s') - phi(s), which leaves what is best as it is; plain: phi(s')."""
    branch_steps: int = field(default=1, metadata={"range": (1, 10000)})
    """Steps that every branch is followed before the episode goes on with one of them
    (branch_grpo). The first is cheapest, for the branches share its observation."""
    follow: Literal["sampled", "greedy"] = "sampled"
    """How a branch goes on after its first action (branch_grpo). sampled: drawn too, and trained;
    greedy: by the most likely actions, so that the first is judged by itself."""
    num_envs: int = field(default=256, metadata={"range": (1, 65536)})
    """Environments side by side, a multiple of group_size."""
    workers: int = field(default=0, metadata={"range": (0, 4096)})
    """Simulation processes that each own an equal share of num_envs, watched and replaced; 0: none
    (the simulation's; kept with the run)."""
    worker_deadline_s: float = field(default=60.0, metadata={"range": (0.1, 3600.0)})
    """A worker that is silent for so long is taken for stalled [s]."""
    group_size: int = field(default=8, metadata={"range": (1, 4096)})
    """Rollouts, or branches, that are compared with each other (not in ppo)."""
    groups_per_iteration: int = field(default=0, metadata={"range": (0, 65536)})
    """Groups (in branching and in ppo: episodes) that one update learns from; 0: as many as run
    side by side, at least 16."""
    temperature: float = field(default=1.0, metadata={"range": (0.01, 10.0)})
    """Of the actions sampled for training."""
    max_policy_lag: int = field(default=0, metadata={"range": (0, 16)})
    """Updates that a rollout's policy may lag behind; 0: rollout and update take turns."""
    minutes: float = field(default=10.0, metadata={"range": (0.0, 1e6)})
    """Train for this time; 0: no limit."""
    iterations: int = field(default=0, metadata={"range": (0, 10**9)})
    """Train for this many updates; 0: no limit."""
    seed: int = field(default=0, metadata={"range": (0, 2**31 - 1)})
    """Of everything random in training."""
    randomize: bool = False
    """Vary lights, colours, camera, friction and mass (the simulation does; kept with the run)."""
    episodes: int = field(default=200, metadata={"range": (1, 100000)})
    """Episodes of an evaluation."""
    eval_seed: int = field(default=0, metadata={"range": (0, 2**31 - 1)})
    """Which held-out episodes: evaluation's seed is 2^31 + eval_seed, training's are below."""
    eval_temperature: float = field(default=0.0, metadata={"range": (0.0, 10.0)})
    """Of the actions that an evaluation takes; 0: the most likely one."""
    shifts: str = ""
    """What a checkpoint is tested under besides (mode eval): none, all, or names of shifts with
    commas between them; empty: all where several tasks are judged, none for one."""
    eval_every: int = field(default=20, metadata={"range": (0, 10**9)})
    """Updates between evaluations during training; 0: only before and after."""
    checkpoint_every: int = field(default=10, metadata={"range": (1, 10**9)})
    """Updates between checkpoints."""
    train_from: str = "simulation"
    """simulation: ask it for rollouts; a bag, or a directory of bags: learn from what was recorded;
    topics: learn from what others ask for on the graph, as where a bag is replayed."""
    run_dir: str = ""
    """Where the run is written; empty: a new folder in runs/."""
    resume: str = ""
    """Go on with this run."""
    stall_s: float = field(default=60.0, metadata={"range": (1.0, 1e6)})
    """Ask again after this time without a message [s], with workers not before a minute after
    worker_deadline_s; give up after ten times that. With train_from:=topics the replay is over
    after stall_s."""

    @property
    def tasks(self) -> tuple[str, ...]:
        return task_names(self.task)

    @property
    def senses(self) -> Senses:
        tasks = make_tasks(self.task, self.variant).values()
        return senses_for(tasks, self.cameras, self.proprioception)

    @property
    def tested_shifts(self) -> tuple[str, ...]:
        if self.mode == "train":
            return ()
        return shift_names(self.shifts or ("all" if len(self.tasks) > 1 else "none"))

    @property
    def form(self) -> Form:
        """Of the rollouts that are asked for. What branches led to is drawn where it is judged."""
        if self.algorithm != "branch_grpo":
            return "episode" if self.algorithm == "ppo" else "trajectory"
        if self.follow == "greedy":
            return "probe_ends" if self.process_reward else "probe"
        return "branch_ends" if self.process_reward else "branch"

    @property
    def members(self) -> int:
        """Rollouts of a group: one where the critic is what a rollout is compared with."""
        return 1 if self.algorithm == "ppo" else self.group_size

    @property
    def groups(self) -> int:
        """Groups of one iteration."""
        return self.groups_per_iteration or max(16, self.num_envs // self.members)

    @property
    def silence_s(self) -> float:
        """How long nothing may come before the graph is asked again [s]: with workers not before
        one that stalls has been replaced and the new one has begun."""
        replaced_s = self.worker_deadline_s + WORKER_START_S
        return max(self.stall_s, replaced_s) if self.workers else self.stall_s

    @property
    def grpo(self) -> GrpoConfig:
        return self._update(GrpoConfig)

    @property
    def ppo(self) -> PpoConfig:
        return self._update(PpoConfig)

    @property
    def discount(self) -> float:
        """Of the return that the algorithm looks at."""
        return self.ppo.gamma if self.algorithm == "ppo" else self.grpo.gamma

    def _update(self, cls: type[U]) -> U:
        given = {f.name: getattr(self, f.name) for f in fields(cls)}
        del given["gamma"]
        if self.gamma != "auto":
            given["gamma"] = float(self.gamma)
        return cls(**given)
