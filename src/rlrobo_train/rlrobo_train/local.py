"""The run without ROS: the same simulation, policy and conductor in one process.

    python -m rlrobo_train.local --task reach --minutes 10
    python -m rlrobo_train.local --train-from bags/20260101-120000     # and without simulation
    torchrun --nproc-per-node 2 -m rlrobo_train.local --task reach     # several learners

For a bare GPU machine, for benchmarks, and to find out what the graph costs. The messages that
nodes exchange are handed over as the records they are made of.
"""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path

import tyro

from rlrobo_core.errors import spoken
from rlrobo_core.task_set import make_tasks
from rlrobo_core.types import ObservationBatch, PolicyUpdate, RolloutRequest
from rlrobo_policy.policy import Policy
from rlrobo_policy.process_reward import ProcessReward, load_process_reward
from rlrobo_policy.search.policies import searching
from rlrobo_sim.engines import RolloutEngines
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_sim.workers import Recipe, Workers
from rlrobo_train.assemble import make_conductor
from rlrobo_train.conductor import Conductor
from rlrobo_train.config import TrainConfig
from rlrobo_train.learners import learners


def run_local(
    conductor: Conductor,
    engine: RolloutEngine | RolloutEngines | Workers,
    policy: Policy,
    judge: ProcessReward | None = None,
) -> None:
    """Until the conductor is done. `policy` is the trainer's own: updates need no files. `judge`
    is there where the run has a process reward."""
    waiting: deque[RolloutRequest | PolicyUpdate] = deque(conductor.start())
    while not conductor.done:
        match waiting.popleft():
            case RolloutRequest() as request:
                batch: ObservationBatch | None = engine.start(request)
                while batch is not None:
                    if isinstance(engine, Workers):
                        _tell(conductor, engine)
                    waiting.extend(conductor.observe(batch))
                    if judge and request.phase == "train":
                        waiting.extend(conductor.score(judge.score(batch)))
                    if batch.last:
                        break
                    actions = policy.act(batch)
                    waiting.extend(conductor.act(actions))
                    batch = engine.act(actions)
                if not waiting and not conductor.done:
                    waiting.extend(conductor.tick(math.inf))  # what has not come is lost
            case PolicyUpdate():
                pass


def _tell(conductor: Conductor, workers: Workers) -> None:
    """How they fare is logged with the rollouts, and what happens to them said at once."""
    conductor.serving = workers.metrics
    for sentence in workers.news:
        conductor.progress.note(sentence)
    workers.news.clear()


def main() -> None:
    with spoken():
        run(tyro.cli(TrainConfig))


def run(config: TrainConfig) -> None:
    """A whole run. ValueError names what is wrong with the configuration."""
    if config.train_from == "topics":
        raise ValueError("train_from topics needs the graph: name a bag, or launch it")
    with learners() as all_learners:
        conductor = make_conductor(config, all_learners)
        try:
            if config.train_from == "simulation":
                _simulate(conductor)
            else:
                for _update in conductor.start():  # nobody is there to take it up
                    pass
        finally:
            conductor.close()


def _simulate(conductor: Conductor) -> None:
    config = conductor.config  # a resumed run has its own
    policy = searching(conductor.trainer.policy, config, config.checkpoint)

    recipe = Recipe(
        task=config.task,
        variant=config.variant,
        num_envs=config.num_envs // conductor.learners.size,
        group_size=config.members if config.mode == "train" else 1,
        image_size=config.image_size,
        cameras=config.senses.cameras,
        reward=config.reward,
        randomize=config.randomize,
    )
    workers, deadline_s = config.workers, config.worker_deadline_s
    engines = Workers(recipe, workers, deadline_s) if workers else recipe.engines()
    try:
        run_local(conductor, engines, policy, _judge(config))
    finally:
        engines.close()


def _judge(config: TrainConfig) -> ProcessReward | None:
    if not config.process_reward:
        return None
    return load_process_reward(
        Path(config.process_reward),
        make_tasks(config.task, config.variant),
        config.codec,
        config.senses,
        config.image_size,
        config.device,
    )


if __name__ == "__main__":
    main()
