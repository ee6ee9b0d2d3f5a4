"""An episode as a conversation, in training: the trainer finds by their ids the very turns that the
policy read, in every form of rollouts, and a policy that forgot them is noticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rlrobo_core.tasks import Reach
from rlrobo_core.types import Form, RolloutRequest
from rlrobo_policy.policy import VlmPolicy, load_policy, shipped_checkpoint
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_train.assemble import make_conductor
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.config import Algorithm, TrainConfig
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.grpo import GrpoConfig, GrpoTrainer
from rlrobo_train.local import run_local
from rlrobo_train.metrics import read_metrics
from rlrobo_train.ppo import PpoConfig, PpoTrainer
from rlrobo_train.trainer import Trainer, UpdateStats

TASK = Reach(max_steps=5)
G = 4
FORMS: list[tuple[Form, int]] = [
    ("trajectory", 1),
    ("branch", 1),
    ("branch", 2),
    ("probe", 2),
    ("episode", 1),
    ("branch_ends", 2),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def simulator() -> Iterator[MujocoSimulator]:
    simulator = MujocoSimulator(TASK, 2 * G, image_size=112, num_render_workers=0)
    yield simulator
    simulator.close()


def make_policy(history: int) -> VlmPolicy:
    start = str(shipped_checkpoint(["reach"]))
    policy = load_policy(start, TASK, history=history, to_train=True)
    policy.version = 0
    return policy


def request(form: Form, branch_steps: int = 1) -> RolloutRequest:
    groups, size = (tuple(range(6)), 1) if form == "episode" else ((0, 1, 2), G)
    return RolloutRequest(
        1, 0, "train", form, TASK.name, 0, groups, size, 0, 1.0, branch_steps=branch_steps
    )


def rollouts(
    policies: list[VlmPolicy], simulator: MujocoSimulator, asked: RolloutRequest
) -> RolloutBuffer:
    """The policies answer one step each, the last one all that follow."""
    engine = RolloutEngine(simulator, TASK, asked.group_size)
    buffer = RolloutBuffer(asked, history=policies[0].spec.history)
    batch = engine.start(asked)
    while not batch.last:
        policy, policies = policies[0], policies[1:] or policies
        actions = policy.act(batch)
        buffer.add_observations(batch)
        buffer.add_actions(actions)
        following = engine.act(actions)
        assert following is not None
        batch = following
    buffer.add_observations(batch)
    return buffer


def update(
    policy: VlmPolicy, groups: list[RolloutGroup], asked: RolloutRequest, dump: Path
) -> UpdateStats:
    """All groups in one step: every ratio is of the policy that acted."""
    trainer: Trainer
    if asked.form == "episode":
        trainer = PpoTrainer(policy, PpoConfig(minibatch_size=10_000, critic_warmup=0), seed=0)
    else:
        trainer = GrpoTrainer(policy, GrpoConfig(minibatch_size=10_000), seed=0)
    return trainer.update(groups, temperature=1.0, dump=dump)


@pytest.mark.parametrize(("form", "branch_steps"), FORMS)
def test_the_trainer_reads_the_conversation_that_the_policy_read(
    form: Form, branch_steps: int, simulator: MujocoSimulator, tmp_path: Path
) -> None:
    policy, asked = make_policy(2), request(form, branch_steps)
    groups = rollouts([policy], simulator, asked).groups()
    assert len(groups) == len(asked.group_ids)
    told = {len(decision.past) for group in groups for decision in group.decisions}
    assert told == {0, 1, 2}
    stats = update(policy, groups, asked, tmp_path)
    assert stats["policy/ratio_first"] == pytest.approx(1.0, abs=1e-4)
    assert stats["policy/approx_kl"] < 1e-8


@pytest.mark.parametrize(("form", "branch_steps"), FORMS[1:4])
def test_another_past_would_be_noticed(
    form: Form, branch_steps: int, simulator: MujocoSimulator, tmp_path: Path
) -> None:
    policy, asked = make_policy(2), request(form, branch_steps)
    groups = rollouts([policy], simulator, asked).groups()
    stats = update(policy, [shuffled(group) for group in groups], asked, tmp_path)
    assert stats["policy/approx_kl"] > 1e-5


def shuffled(group: RolloutGroup) -> RolloutGroup:
    """With the turns before each decision in the other order."""
    decisions = tuple(replace(it, past=it.past[::-1]) for it in group.decisions)
    return replace(group, decisions=decisions)


@pytest.mark.parametrize(("form", "branch_steps"), FORMS[:4])
def test_the_turns_told_are_those_of_the_rollouts_own_way(
    form: Form, branch_steps: int, simulator: MujocoSimulator
) -> None:
    """Back to where the members parted they are its own, before that those of the one that was
    chosen."""
    asked = request(form, branch_steps)
    buffer = rollouts([make_policy(3)], simulator, asked)
    for group in buffer.groups():
        acted = {(d.step, d.image_C.tobytes()): d for d in group.decisions}
        for decision in group.decisions:
            parted = asked.parted(group.group_id, decision.step)
            for back, said in enumerate(decision.past[::-1], 1):
                step = decision.step - back
                turn = acted[step, said.seen.image_C.tobytes()]
                same = (turn.token_ST == said.token_T).all(-1)
                who = set(turn.rollout_S[same].tolist())
                went = {r for r in who if buffer.result(group.group_id, r, step).chosen}
                assert went if step < parted else int(decision.rollout_S[0]) in who


@pytest.mark.parametrize(("form", "branch_steps"), FORMS[:3])
def test_a_policy_that_forgot_drops_what_it_was_in_by_name(
    form: Form, branch_steps: int, simulator: MujocoSimulator, tmp_path: Path
) -> None:
    """As where its node is killed: what had begun is given up, what begins later is whole, and
    of that the trainer reads what the new policy read."""
    policy, asked = make_policy(2), request(form, branch_steps)
    buffer = rollouts([policy, policy, make_policy(2)], simulator, asked)
    assert buffer.closed
    dropped = buffer.dropped()
    assert 0 in dropped and set(dropped) <= {0, 1}  # two groups had room at once
    assert all("did not know what came before" in problem for problem in dropped.values())
    stats = update(policy, buffer.groups(), asked, tmp_path)
    assert stats["policy/ratio_first"] == pytest.approx(1.0, abs=1e-4)


def test_a_missing_observation_drops_its_group(simulator: MujocoSimulator) -> None:
    buffer = rollouts([make_policy(1)], simulator, request("trajectory"))
    del buffer._asked[1][2, 3]
    assert buffer.dropped() == {1: "what rollout 3 saw at step 2 is missing"}


@pytest.mark.parametrize("algorithm", ["grpo", "branch_grpo", "ppo"])
def test_a_run_with_a_history_is_on_policy_and_its_checkpoint_knows(
    algorithm: Algorithm, simulator: MujocoSimulator, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    config = TrainConfig(
        algorithm=algorithm,
        history=2,
        num_envs=2 * G,
        group_size=G,
        groups_per_iteration=2,
        iterations=2,
        minutes=0.0,
        episodes=1,
        critic_warmup=1,
        run_dir=str(run),
    )
    conductor = make_conductor(config)
    try:
        run_local(conductor, RolloutEngine(simulator, TASK, G), conductor.trainer.policy)
    finally:
        conductor.close()
    ratios = [row["policy/ratio_first"] for row in read_metrics(run) if "loss/policy" in row]
    updates = 1 if algorithm == "ppo" else 2  # in the first the critic warms up
    assert ratios == pytest.approx([1.0] * updates, abs=1e-4)
    checkpoint = str(sorted((run / "checkpoints").iterdir())[-1])
    assert json.loads((Path(checkpoint) / "rlrobo.json").read_text())["history"] == 2
    assert load_policy(checkpoint, TASK, history=2).spec.history == 2
