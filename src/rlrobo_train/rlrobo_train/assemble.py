"""From a configuration to a conductor: which policy, which run directory, new or resumed."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
import yaml

from rlrobo_core.bag_records import bags_in
from rlrobo_core.config import from_values
from rlrobo_core.intervals import SuccessRate
from rlrobo_core.run_files import CONFIG_FILE
from rlrobo_core.task_set import make_tasks, widest_task
from rlrobo_policy.policy import VlmPolicy, default_start, load_policy
from rlrobo_policy.process_reward import backbone_of, check_fits
from rlrobo_policy.search.policies import check_search
from rlrobo_sim.experts import EXPERTS
from rlrobo_sim.workers.pool import check_workers
from rlrobo_train.checkpoint import MANIFEST, open_checkpoint
from rlrobo_train.conductor import Conductor
from rlrobo_train.config import TrainConfig
from rlrobo_train.evaluation import Rates
from rlrobo_train.examination import examined
from rlrobo_train.grpo import GrpoTrainer
from rlrobo_train.learners import ALONE, Learners, check_shares, own_device
from rlrobo_train.ppo import PpoConfig, PpoTrainer
from rlrobo_train.replayed import BagReading, Listener
from rlrobo_train.run import RunDirectory
from rlrobo_train.silent_run import SilentRun
from rlrobo_train.trainer import Trainer, trained_weights
from rlrobo_train.warm_start import WarmStartConfig, warm_start

BUDGET = ("minutes", "iterations", "resume", "stall_s", "device")
"""What a resumed run takes from the command line; the rest comes from its own configuration."""


def make_conductor(config: TrainConfig, learners: Learners = ALONE) -> Conductor:
    """Everything is checked before any work starts. ValueError says what to change."""
    config = replace(config, device=own_device(config.device))
    check(config)
    if config.resume:
        return _resumed(config, learners)
    _check_learners(config, learners)
    policy = _initial_policy(config)
    trainer = _trainer(config, policy, learners)
    return _conductor_class(config)(config, trainer, _new_run(config, policy, learners))


def _new_run(config: TrainConfig, policy: VlmPolicy, learners: Learners) -> RunDirectory:
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.task.replace(',', '-')}"
    folder = learners.first(Path(config.run_dir or f"runs/{name}"))
    if not learners.writes:
        return SilentRun(folder, asdict(config))
    return RunDirectory.create(folder, asdict(config), needs_bytes=_bytes_needed(policy))


def _conductor_class(config: TrainConfig) -> type[Conductor]:
    return {"simulation": Conductor, "topics": Listener}.get(config.train_from, BagReading)


def check(config: TrainConfig) -> None:
    """ValueError where the configuration cannot work."""
    widest_task(make_tasks(config.task, config.variant).values())
    if config.num_envs % config.group_size:
        raise ValueError(
            f"num_envs:={config.num_envs} is not a multiple of group_size:={config.group_size}; "
            f"take num_envs:={max(1, config.num_envs // config.group_size) * config.group_size}"
        )
    if config.group_size < 2 and config.algorithm != "ppo" and config.mode == "train":
        raise ValueError(
            f"group_size:={config.group_size} compares a rollout with itself; take at least 2"
        )
    if config.min_actions and config.algorithm == "ppo":
        raise ValueError(
            f"min_actions:={config.min_actions} waits for groups that have something to teach, and "
            "with algorithm:=ppo every step has: leave it out"
        )
    _check_discounts(config)
    _check_curriculum(config)
    _check_process_reward(config)
    _check_search(config)
    if config.workers:
        members = config.members if config.mode == "train" else 1
        check_workers(config.workers, config.num_envs, members)
    if config.critic_from and config.algorithm != "ppo" and not config.looks:
        raise ValueError(
            f"critic_from:={config.critic_from} is of a critic, and algorithm:={config.algorithm} "
            "has none: set algorithm:=ppo, or leave it out"
        )
    if config.lora_rank and config.model == "tiny" and not config.checkpoint:
        raise ValueError(
            f"lora_rank:={config.lora_rank} adapts a model that both nodes can name: set "
            "checkpoint:=<dir> or model:=<Hugging Face id>, or lora_rank:=0"
        )
    examined(config)
    if config.train_from != "simulation":
        _check_recorded(config)
    if config.shifts and config.mode == "train":
        raise ValueError(
            f"shifts:={config.shifts} belongs to an evaluation: leave it out, or set mode:=eval"
        )
    if config.warm_start == "scratch":
        _check_scratch(config)
    endless = not (config.minutes or config.iterations or config.train_from != "simulation")
    if config.mode == "train" and endless:
        raise ValueError("the run would never end: set minutes:= or iterations:=")


def _check_scratch(config: TrainConfig) -> None:
    if len(config.tasks) > 1:
        raise ValueError(
            f"warm_start:=scratch makes a model of one task, not of {', '.join(config.tasks)}; "
            "set checkpoint:=<dir>"
        )
    if config.task not in EXPERTS and not config.checkpoint:
        raise ValueError(
            f"warm_start:=scratch imitates a scripted expert, and task:={config.task} has none; "
            f"those that have: {', '.join(EXPERTS)}. Set checkpoint:=<dir>"
        )


def _check_discounts(config: TrainConfig) -> None:
    for name, text in (("gamma", config.gamma), ("gae_lambda", config.gae_lambda)):
        try:
            fits = (name, text) == ("gamma", "auto") or 0.0 <= float(text) <= 1.0
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"{name}:={text} discounts what is still to come, so it must lie in [0, 1]: take "
                f"{'auto' if name == 'gamma' else PpoConfig.gae_lambda}"
            )


def _check_curriculum(config: TrainConfig) -> None:
    if config.curriculum_starts != "none" and config.train_from != "simulation":
        raise ValueError(
            f"curriculum_starts:={config.curriculum_starts} draws starts, and with train_from:="
            f"{config.train_from} they were drawn already: leave it out"
        )
    _check_tau(config)
    if config.curriculum == "none":
        return
    given = f"curriculum:={config.curriculum} draws from several tasks"
    if len(config.tasks) == 1:
        raise ValueError(
            f"{given} and task:={config.task} is one: name several with commas between them, or "
            "leave it out"
        )
    if config.train_from != "simulation":
        raise ValueError(
            f"{given}, and with train_from:={config.train_from} they were drawn already: leave it "
            "out"
        )


def _check_tau(config: TrainConfig) -> None:
    if config.curriculum_tau <= 0.0:
        raise ValueError(
            f"curriculum_tau:={config.curriculum_tau} is the temperature of a draw, which must be "
            "above 0: take 0.25"
        )


def _check_process_reward(config: TrainConfig) -> None:
    if config.process_reward and config.train_from != "simulation":
        raise ValueError(
            f"process_reward:={config.process_reward} is of rollouts that are scored as they run, "
            f"and train_from:={config.train_from} has none: leave it out"
        )


def _check_search(config: TrainConfig) -> None:
    if config.best_of == 1:
        return
    if config.mode == "train":
        raise ValueError(
            f"best_of:={config.best_of} searches at test time: leave it out, or set mode:=eval"
        )
    config.check_temperature("eval_temperature", config.eval_temperature)
    check_search(config, config.checkpoint, config.history)
    if config.looks and config.workers:
        raise ValueError(
            f"best_of:={config.best_of} with scorer:={config.scorer} goes back to what it has "
            "tried, for which all environments are in one process: set workers:=0 instead of "
            f"{config.workers}"
        )
    if config.looks and config.num_envs % config.best_of:
        raise ValueError(
            f"best_of:={config.best_of} tries that many actions side by side, and num_envs:="
            f"{config.num_envs} is not a multiple of it; take num_envs:="
            f"{max(1, config.num_envs // config.best_of) * config.best_of}"
        )


def _check_learners(config: TrainConfig, learners: Learners) -> None:
    if learners.size == 1:
        return
    if config.train_from != "simulation":
        raise ValueError(
            f"train_from:={config.train_from} is read by one learner, and {learners.size} were "
            "started: leave torchrun out"
        )
    members = config.best_of if config.looks else config.members
    groups = config.groups if config.mode == "train" else learners.size
    check_shares(learners.size, config.num_envs, groups, members, config.episodes)
    if config.workers:
        check_workers(config.workers, config.num_envs // learners.size, members)


def _check_recorded(config: TrainConfig) -> None:
    if config.mode == "eval":
        raise ValueError(
            f"train_from:={config.train_from} trains, and an evaluation needs a simulation: leave "
            "it out, or set mode:=train"
        )
    if config.max_policy_lag:
        raise ValueError(
            f"max_policy_lag:={config.max_policy_lag} is for rollouts that are asked for; leave it "
            "out with train_from: what was recorded may lag by any number of updates"
        )
    if config.train_from != "topics":
        bags_in(Path(config.train_from))


def _resumed(config: TrainConfig, learners: Learners) -> Conductor:
    run = _run_again(Path(config.resume), learners)
    try:
        given = {name: getattr(config, name) for name in BUDGET}
        saved = {k: tuple(v) if isinstance(v, list) else v for k, v in run.config.items()}
        config = replace(from_values(TrainConfig, saved), **given)
        _check_learners(config, learners)
        if config.train_from != "simulation":
            raise ValueError(
                f"{run.path} learned from recorded rollouts and does not know where it stopped: "
                "start a new run from its last checkpoint with checkpoint:="
            )
        checkpoint = run.latest_checkpoint()
        if checkpoint is None:
            raise ValueError(f"{run.path} has no whole checkpoint to go on from; start a new run")
        state = checkpoint.load_state()
        policy = _load(config, str(checkpoint.path))
        policy.version = state["iteration"]
        trainer = _trainer(config, policy, learners)
        trainer.load_files(checkpoint.path)
        if trainer.reference is not None:
            trainer.reference = trained_weights(_load(config, str(run.first_checkpoint().path)))
        trainer.optimizer.load_state_dict(state["optimizer"])
        before = _rates(state["before"], config)
        conductor = Conductor(config, trainer, run, state["iteration"], before)
        conductor.schedule.success |= state.get("curriculum", {})  # older checkpoints lack it
        conductor.starts.success |= state.get("starts", {})
        return conductor
    except BaseException:
        run.close()
        raise


def _run_again(path: Path, learners: Learners) -> RunDirectory:
    """The first learner puts the run in order before the others read what is left of it."""
    if learners.writes:
        run = RunDirectory.resume(path)
        learners.first(path)
        return run
    learners.first(path)
    return SilentRun(path, yaml.safe_load((path / CONFIG_FILE).read_text()))


def _rates(saved: list[int] | dict[str, list[int]] | None, config: TrainConfig) -> Rates | None:
    """The first evaluation as a checkpoint holds it: of a single task its rate alone."""
    if not saved:
        return None
    by_task = saved if isinstance(saved, dict) else {config.task: saved}
    return {task: SuccessRate(*rate) for task, rate in by_task.items()}


def _initial_policy(config: TrainConfig) -> VlmPolicy:
    if config.warm_start == "scratch" and not config.checkpoint and config.model == "tiny":
        policy, _ = warm_start(
            WarmStartConfig(
                task=config.task,
                variant=config.variant,
                codec=config.codec,
                image_size=config.image_size,
                cameras=config.cameras,
                proprioception=config.proprioception,
                seed=config.seed,
            )
        )
        policy.read_back(config.history)
    else:
        _check_whole(config.checkpoint)
        policy = _load(config, config.checkpoint or default_start(config.model, config.tasks))
    policy.version = 0
    return policy


def _check_whole(checkpoint: str) -> None:
    """ValueError where the checkpoint was damaged since its run wrote it. Others say nothing of
    how long their files are."""
    if checkpoint and (Path(checkpoint) / MANIFEST).exists():
        try:
            open_checkpoint(Path(checkpoint))
        except ValueError as error:
            raise ValueError(f"{error}; name another one of its run") from error


def _load(config: TrainConfig, model: str) -> VlmPolicy:
    tasks = make_tasks(config.task, config.variant).values()
    return load_policy(
        model,
        widest_task(tasks),
        config.codec,
        config.senses.cameras,
        config.image_size,
        config.seed,
        config.device,
        config.lora_rank,
        proprioception=config.senses.proprioception,
        others=tasks,
        history=config.history,
        to_train=config.mode == "train",
    )


def _trainer(config: TrainConfig, policy: VlmPolicy, learners: Learners) -> Trainer:
    if config.process_reward:
        check_fits(Path(config.process_reward), config.tasks, policy.spec, backbone_of(policy))
    torch.manual_seed(config.seed)
    if config.algorithm != "ppo":
        trainer = GrpoTrainer(policy, config.grpo, config.seed)
    else:
        trainer = PpoTrainer(policy, config.ppo, config.seed)
        if config.critic_from and not config.resume:
            trainer.critic.load(Path(config.critic_from))
    trainer.learners = learners
    return trainer


def _bytes_needed(policy: VlmPolicy) -> int:
    """Weights of five checkpoints with AdamW's two moments, and room for films and curves."""
    weights = sum(
        p.numel() * p.element_size() for p in policy.vlm.model.parameters() if p.requires_grad
    )
    return 5 * 3 * weights + 100 * 2**20
