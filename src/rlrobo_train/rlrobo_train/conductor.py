"""Conducts a run: asks for rollouts, has the trainer learn from them, evaluates, keeps the run.

    publish the policy, evaluate it
    until the budget is spent:
        ask for groups of rollouts of this policy; when they are whole: update, publish
    evaluate again, write the summary

It knows nothing of ROS: every call returns what shall be published next, lazily, so that a
request for the next rollouts is on its way before an update begins (`max_policy_lag`). The
training node and the loop without ROS (`local.py`) drive the same object.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from rlrobo_core.task_set import make_tasks
from rlrobo_core.types import (
    FILMED,
    ActionBatch,
    ObservationBatch,
    PolicyUpdate,
    RolloutRequest,
    ScoreBatch,
)
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.config import TrainConfig
from rlrobo_train.episode_record import Reader, record, shown_of_training, write_record
from rlrobo_train.evaluation import Rates, pooled, summary
from rlrobo_train.examination import WATCHED_EPISODES, Examination
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.process_reward.shaping import process_metrics, with_process_reward
from rlrobo_train.progress import Progress, final_line, share_spent
from rlrobo_train.rollout_metrics import rollout_metrics, served
from rlrobo_train.run import RunDirectory
from rlrobo_train.schedule import Schedule
from rlrobo_train.starts import Starts
from rlrobo_train.trainer import Trainer

Messages = Iterator[RolloutRequest | PolicyUpdate]

GRACE_S = 2.0
"""How long to wait for stragglers after a request's last batch [s]; for scores, which are made at
their own rate, it is `stall_s` after the last one."""
TRIES = 2
"""How often a request is asked of which nothing whole comes."""


class GraphStalled(ValueError):
    """Simulation or policy are gone for too long, or too little of what they say arrives."""


class Conductor:
    """One run, from the first evaluation to the last."""

    def __init__(
        self,
        config: TrainConfig,
        trainer: Trainer,
        run: RunDirectory,
        iteration: int = 0,
        before: Rates | None = None,
    ):
        """`iteration`: updates done so far; `before`: what a resumed run's first evaluation was."""
        self.config, self.trainer, self.run, self.iteration = config, trainer, run, iteration
        self.learners = trainer.learners
        self.done = False
        self.before = before
        self.after: Rates | None = None
        self.schedule = Schedule(
            config.tasks, config.curriculum, config.curriculum_tau, config.seed
        )
        self.starts = Starts(
            make_tasks(config.task, config.variant),
            config.curriculum_starts,
            config.curriculum_tau,
            config.seed,
        )
        self.metrics: dict[str, float] = {}
        """The last of each kind."""
        self.serving: dict[str, float] = {}
        """How those who simulate in this process's stead fare, under slash keys."""
        out = None if self.learners.writes else io.StringIO()
        self.progress = Progress(config.minutes, config.iterations, out)
        self._asked = time.time_ns() // 1_000_000
        """Last request id: no trainer before this one had it, whose messages may still be heard."""
        self._requested = iteration
        """Iterations whose rollouts have been asked for."""
        self._buffer: RolloutBuffer | None = None
        self._fruitless = 0
        """Times that nothing whole came of the request in progress."""
        self._examination: Examination | None = None
        self._finishing = False
        self._updating = False
        self._lost = 0
        self._render_s = self._decode_s = 0.0
        self._asked_at = self._began = self._heard = self._alive = self._closed_at = (
            time.monotonic()
        )

    # ------------------------------------------------------------------ what comes in

    def start(self) -> Messages:
        self._began = time.monotonic()
        yield self._publish_policy()
        if self.config.mode == "eval" or (self.iteration == 0 and self.config.episodes):
            yield self._begin_evaluation()
        else:
            yield self._ask_rollouts()

    def observe(self, batch: ObservationBatch) -> Messages:
        """An observation batch of the simulation."""
        if self._buffer and batch.request.request_id == self._buffer.request.request_id:
            self._check_images(batch)
            self._hear()
            self._asked_at = time.monotonic()
            self._render_s += batch.render_s
            self._buffer.add_observations(batch)
            if batch.last:
                self._closed_at = time.monotonic()
                yield from self._finish_if(self._buffer.complete)

    def act(self, batch: ActionBatch) -> Messages:
        """An action batch of the policy."""
        if self._buffer and batch.request_id == self._buffer.request.request_id:
            self._hear()
            self._decode_s += time.monotonic() - self._asked_at
            self._buffer.add_actions(batch)
            if self._buffer.closed:
                yield from self._finish_if(self._buffer.complete)

    def score(self, batch: ScoreBatch) -> Messages:
        """What the process reward model says of an observation batch."""
        if self._buffer and batch.request_id == self._buffer.request.request_id:
            self._hear()
            self._buffer.add_scores(batch)
            if self._buffer.closed:
                self._closed_at = time.monotonic()  # it has its own rate: it is waited for
                yield from self._finish_if(self._buffer.complete)

    def lost(self, messages: int) -> None:
        """So many messages never came."""
        self._lost += messages

    def tick(self, now: float) -> Messages:
        """Call now and then: gives up stragglers, asks again where nothing comes.

        GraphStalled where nothing came for ten times `silence_s`."""
        if self.done or self._buffer is None:
            return
        if self._buffer.closed:
            grace_s = self.config.stall_s if self._buffer.unscored else GRACE_S
            yield from self._finish_if(now - self._closed_at > grace_s)
        elif now - self._alive > 10 * self.config.silence_s:
            raise GraphStalled(
                f"nothing came from simulation and policy for {now - self._alive:.0f} s: look "
                "above for why they ended, or raise stall_s (with workers, worker_deadline_s) if "
                "they are only slow; the run can "
                f"be continued with resume:={self.run.path}"
            )
        elif now - self._heard > self.config.silence_s:
            self._heard = now
            self.progress.note(f"nothing came for {self.config.silence_s:.0f} s: asking again")
            yield self._ask(self._buffer.request)

    def close(self) -> None:
        """End the run as it is. A run that is not done keeps a checkpoint to go on from, except
        in the middle of an update: half an iteration is none, the last checkpoint stands."""
        try:
            if not self.done and not self._updating and self.config.mode == "train":
                self._save_checkpoint()
        finally:
            self.progress.close()
            self.run.close()

    # ------------------------------------------------------------------ what goes out

    def _publish_policy(self) -> PolicyUpdate:
        policy = self.trainer.policy
        path = self.run.publish_weights(policy.version, self.trainer.model, policy.spec.to_json())
        return PolicyUpdate(policy.version, str(path.resolve()))

    def _ask_rollouts(self) -> RolloutRequest:
        c, i = self.config, self._requested
        self._requested += 1
        task = self.schedule.task_of(i)
        groups = self.starts.group_ids(task, i, c.groups)
        return self._ask(
            RolloutRequest(
                request_id=0,
                iteration=i,
                phase="train",
                form=c.form,
                task=task,
                seed=c.seed,
                group_ids=tuple(self.learners.share(groups)),
                group_size=c.members,
                min_policy_version=max(0, i - c.max_policy_lag),
                temperature=c.temperature,
                branch_steps=c.branch_steps,
            )
        )

    def _begin_evaluation(self) -> RolloutRequest:
        self._examination = Examination(self.config, self.run, self.trainer.policy, self.learners)
        return self._ask(self._examination.request(self.iteration))

    def _ask(self, request: RolloutRequest) -> RolloutRequest:
        """The request under a new id, and an empty buffer for what will answer it."""
        self._asked += 1
        request = replace(request, request_id=self._asked)
        if request.phase == "train":
            scored, history = bool(self.config.process_reward), self.trainer.policy.spec.history
            self._buffer = RolloutBuffer(request, scored=scored, history=history)
        else:
            self._buffer = RolloutBuffer(request, FILMED, WATCHED_EPISODES)
        self._render_s = self._decode_s = 0.0
        self._began = time.monotonic()
        return request

    # ------------------------------------------------------------------ when rollouts are whole

    def _finish_if(self, ready: bool) -> Messages:
        if not ready:
            return
        buffer, self._buffer = self._buffer, None
        assert buffer is not None
        seconds = time.monotonic() - self._began
        for group, problem in buffer.dropped().items():
            self.progress.note(
                f"group {group} of iteration {buffer.request.iteration} dropped: {problem}"
            )
        if not buffer.groups():
            yield self._ask_again(buffer)
            return
        self._fruitless = 0
        if buffer.request.phase == "eval":
            yield from self._evaluated(buffer)
        else:
            yield from self._learn(buffer, seconds)
        self._hear()  # an update is not silence of the graph

    def _ask_again(self, buffer: RolloutBuffer) -> RolloutRequest:
        """GraphStalled where the request has come to nothing as often as `TRIES`."""
        self._fruitless += 1
        if self._fruitless == TRIES:
            group, problem = next(iter(buffer.dropped().items()))
            raise GraphStalled(
                f"none of the {len(buffer.request.group_ids)} groups of {buffer.request.task} came "
                f"whole in {TRIES} tries (group {group}: {problem}): look above for lost messages, "
                "and make them fewer or smaller with num_envs or image_size"
            )
        self.progress.note("nothing whole came: asking again")
        return self._ask(buffer.request)

    def _learn(self, buffer: RolloutBuffer, rollout_s: float) -> Messages:
        following = self.iteration + 1
        steps = sum(self.learners.gather(buffer.steps))
        seconds = {
            "time/rollout": rollout_s,
            "time/decode": self._decode_s,
            "time/render": self._render_s,
            "rollout/steps_per_s": steps / max(rollout_s, 1e-9),
        }
        seconds |= served(self.learners.gather((rollout_s, self.serving)))
        groups, request = buffer.groups(), buffer.request
        self._updating = True
        everywhere = self.learners.joined([group.outline for group in groups])
        self.schedule.hear(request.task, float(np.mean([group.success for group in everywhere])))
        self.starts.hear(request.task, everywhere)
        if self.config.max_policy_lag and not (self._spent(following) or self._judges(following)):
            yield self._ask_rollouts()
        began = time.monotonic()
        rewarded, told = self._rewarded(buffer, groups)
        remaining = max(0.0, 1.0 - self._share_spent(self.iteration))
        stats = self.trainer.update(
            rewarded, request.temperature, dump=self.run.path, remaining=remaining
        )
        self.iteration = following
        yield self._publish_policy()
        seconds["time/update"] = time.monotonic() - began
        rollouts = self._rollout_metrics(buffer, everywhere)
        drawn = self.schedule.metrics | self.starts.metrics(request.task, everywhere)
        self._log(rollouts | stats | told | seconds | drawn)
        self._updating = False
        keeps = self.iteration == 1 or self.iteration % self.config.checkpoint_every == 0
        if keeps and self.learners.writes:
            self._record(buffer, rewarded)
        if self.iteration % self.config.checkpoint_every == 0:
            self._save_checkpoint()
        if self._buffer is None:
            yield from self._next()

    def _rewarded(
        self, buffer: RolloutBuffer, groups: list[RolloutGroup]
    ) -> tuple[list[RolloutGroup], dict[str, float]]:
        """The groups with the process reward, where there is one, and what is logged of it."""
        c = self.config
        if not c.process_reward:
            return groups, {}
        rewarded = with_process_reward(groups, c.process_weight, c.discount, c.process_shaping)
        return rewarded, process_metrics(groups, rewarded, buffer, self.learners)

    def _next(self) -> Messages:
        self._finishing = self._spent(self.iteration)
        if self._finishing or self._judges(self.iteration):
            yield self._begin_evaluation()
        else:
            yield self._ask_rollouts()

    def _evaluated(self, buffer: RolloutBuffer) -> Messages:
        examination = self._examination
        assert examination is not None
        if line := examination.add(buffer):
            self.progress.note(line)
        if not examination.done:
            yield self._ask(examination.request(self.iteration))
            return
        self.before, self.after = self.before or examination.rates, examination.rates
        self._log(examination.metrics)
        if self.config.mode == "eval" or self._finishing:
            self._finish(examination)
            return
        if self.iteration == 0:
            self._save_checkpoint()
        yield self._ask_rollouts()

    def _finish(self, examination: Examination) -> None:
        assert self.before is not None and self.after is not None
        if self.config.mode == "train":
            self._save_checkpoint()
        self.run.finish(
            {"before": summary(self.before), "after": summary(self.after)}
            | {"iterations": self.iteration}
        )
        self.progress.close()
        before = pooled(self.before) if self.config.mode == "train" else None
        if self.learners.writes:
            if before is None:
                examination.report()
            temperature = self.config.eval_temperature
            print(final_line(self.run.path, before, pooled(self.after), temperature), flush=True)
        self.done = True

    # ------------------------------------------------------------------ small things

    def _hear(self) -> None:
        self._heard = self._alive = time.monotonic()

    def _check_images(self, batch: ObservationBatch) -> None:
        """ValueError where the simulation shows something else than the policy was made for: it
        was started by hand with other arguments."""
        seen = batch.observations.image_NC.shape[1:4]
        wanted = (len(self.config.senses.cameras), self.config.image_size, self.config.image_size)
        if len(batch.observations) and seen != wanted:
            raise ValueError(
                f"the simulation sends {seen[0]} images of {seen[2]}x{seen[1]} pixels, this run "
                f"is of {wanted[0]} of {wanted[2]}x{wanted[1]}: set image_size:={wanted[1]} "
                f"cameras:=[{', '.join(self.config.senses.cameras)}]"
            )

    def _judges(self, iteration: int) -> bool:
        """Whether an evaluation is due after so many updates."""
        every = self.config.eval_every
        return bool(every) and iteration % every == 0

    def _spent(self, iteration: int) -> bool:
        """Whether the budget is spent after so many updates."""
        return self._share_spent(iteration) >= 1.0

    def _share_spent(self, iteration: int) -> float:
        """The part of the budget that is spent after so many updates, by the first learner's
        clock."""
        wall_s = self.learners.first(self.run.wall_s)
        return share_spent(iteration, wall_s, self.config.minutes, self.config.iterations)

    def _rollout_metrics(
        self, buffer: RolloutBuffer, groups: list[RolloutGroup]
    ) -> dict[str, float]:
        several = len(self.config.tasks) > 1
        return rollout_metrics(buffer, groups, self.learners, several_tasks=several)

    def _record(self, buffer: RolloutBuffer, groups: list[RolloutGroup]) -> None:
        """What two of the iteration's episodes taught, step by step."""
        weighed = {g.group_id: self.trainer.advantages(g) for g in groups}
        task = make_tasks(buffer.request.task, self.config.variant)[buffer.request.task]
        reader = Reader(self.trainer.policy, task, weighed)
        episodes = record(buffer, shown_of_training(groups, buffer.request.branching), reader)
        write_record(self.run.path, f"train_{self.iteration:06d}", episodes)

    def _log(self, metrics: dict[str, float]) -> None:
        row = metrics | {"graph/messages_lost": float(self._lost)}
        self.run.log(row, self.iteration)
        self.metrics |= row
        self.progress.update(row | {"iteration": self.iteration, "wall_s": self.run.wall_s})

    def _save_checkpoint(self) -> None:
        policy = self.trainer.policy
        self.run.save_checkpoint(
            policy.version,
            self.trainer.model,
            self.trainer.save_files,
            {
                "iteration": self.iteration,
                "optimizer": self.trainer.optimizer.state_dict(),
                "curriculum": self.schedule.success,
                "starts": self.starts.success,
                "before": {task: list(rate) for task, rate in (self.before or {}).items()},
            },
        )
