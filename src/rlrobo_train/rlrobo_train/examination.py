"""One evaluation of one policy version: every task in turn, each with its file and its film.

Judging a checkpoint may go over every task once more under each shift (`rlrobo_core.shifts`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rlrobo_core.shifts import NO_SHIFT, applies, parse_task, request_name
from rlrobo_core.task_set import make_tasks
from rlrobo_core.types import FILMED, HELD_OUT, RolloutRequest
from rlrobo_policy.policy import VlmPolicy
from rlrobo_train.buffer import RolloutBuffer
from rlrobo_train.config import TrainConfig
from rlrobo_train.episode_record import Reader, record, shown_of_evaluation, write_record
from rlrobo_train.evaluation import Evaluation, Rates, evaluate, pooled, write_eval
from rlrobo_train.groups import RolloutGroup
from rlrobo_train.learners import ALONE, Learners
from rlrobo_train.run import RunDirectory
from rlrobo_train.suite import print_suite, write_suite
from rlrobo_train.video import Episode, write_video

WATCHED_EPISODES = 200
"""Episodes after those of which something is seen where they fail."""


def examined(config: TrainConfig) -> tuple[str, ...]:
    """The names that requests are made for, in order: each task, then its shifts. A shift that
    has nothing to change in a task is left out."""
    return tuple(
        request_name(name, shift)
        for name, task in make_tasks(config.task, config.variant).items()
        for shift in (NO_SHIFT.name, *config.tested_shifts)
        if shift == NO_SHIFT.name or applies(task, shift)
    )


class Examination:
    """Asks for one name's held-out episodes after the other's and keeps what came of them."""

    def __init__(
        self, config: TrainConfig, run: RunDirectory, policy: VlmPolicy, learners: Learners = ALONE
    ) -> None:
        """Of several learners each asks for its share, and all know what came of all of them."""
        self._config, self._run, self._policy = config, run, policy
        self._learners = learners
        self._version = policy.version
        self._names = examined(config)
        self._tasks = make_tasks(config.task, config.variant)
        self._results: dict[str, Evaluation] = {}

    @property
    def done(self) -> bool:
        return len(self._results) == len(self._names)

    def request(self, iteration: int) -> RolloutRequest:
        """For the next name's episodes: the same seeds for all."""
        return RolloutRequest(
            request_id=0,
            iteration=iteration,
            phase="eval",
            form="look" if self._config.looks else "trajectory",
            task=self._names[len(self._results)],
            seed=HELD_OUT + self._config.eval_seed,
            group_ids=tuple(self._learners.share(range(self._config.episodes))),
            group_size=self._config.best_of if self._config.looks else 1,
            min_policy_version=self._version,
            temperature=self._config.eval_temperature,
        )

    def add(self, buffer: RolloutBuffer) -> str:
        """The answer to the last request. A line about it, where it is one of several."""
        groups, name = buffer.groups(), buffer.request.task
        everywhere = self._learners.joined([group.outline for group in groups])
        result = self._results[name] = evaluate(everywhere, buffer.request.seed)
        if not self._learners.writes:
            return ""
        file = self._file_name(name)
        write_eval(
            self._run.path / f"{file}.json",
            result,
            task=name,
            checkpoint=self._config.checkpoint or self._config.model,
            policy_version=self._version,
            temperature=self._config.eval_temperature,
            **self._search,
        )
        task = self._tasks[parse_task(name)[0]]
        episodes = record(buffer, shown_of_evaluation(groups), Reader(self._policy, task))
        write_record(self._run.path, file, episodes)
        frames_per_s = round(task.control_hz)
        films = [
            film(group) for group in groups if group.group_id in buffer.request.group_ids[:FILMED]
        ]
        write_video(self._run.path / f"{file}.mp4", films, frames_per_s)
        return f"{name}: success {result.success}" if len(self._names) > 1 else ""

    @property
    def _search(self) -> dict[str, Any]:
        """What the file says of it, where there is one."""
        config = self._config
        if config.best_of == 1:
            return {}
        search = {
            "best_of": config.best_of,
            "scorer": config.scorer,
            "search_temperature": config.search_temperature,
        }
        seen = {"reward": config.reward} if config.looks else {}
        return {"search": search | seen}

    @property
    def rates(self) -> Rates:
        """Of the tasks as they are trained."""
        return {name: r.success for name, r in self._results.items() if name in self._tasks}

    @property
    def metrics(self) -> dict[str, float]:
        """Of the only task; of several their means, and the success under each name."""
        tasks = [self._results[name] for name in self._tasks]
        if len(self._results) == 1:
            return tasks[0].metrics
        overall = Evaluation(
            success=pooled(self.rates),
            mean_length=float(np.mean([result.mean_length for result in tasks])),
            mean_return=float(np.mean([result.mean_return for result in tasks])),
            per_seed=[],
        )
        each = {f"eval/success/{name}": r.success.rate for name, r in self._results.items()}
        return overall.metrics | each

    def report(self) -> None:
        """Where a checkpoint was judged under several names: all of them, in files and as a
        table in the terminal."""
        if len(self._results) > 1:
            rates = {name: result.success for name, result in self._results.items()}
            write_suite(self._run.path, self._config, rates, self._version)
            print_suite(self._config, rates)

    def _file_name(self, name: str) -> str:
        judging = self._config.mode == "eval"
        file = "eval" if judging else f"eval_{self._version:06d}"
        return file if len(self._names) == 1 else f"{file}_{name}"


def film(group: RolloutGroup) -> Episode:
    """What the first camera saw of one evaluation episode, its end included."""
    seen = [*group.decisions, *group.end.values()]
    frames = np.stack([it.image_C[0] for it in seen])
    return Episode(frames, bool(group.success), group.decisions[0].instruction)
