"""One evaluation of one policy version: every task in turn, each with its file and its film."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlrobo_core.types import HELD_OUT, RolloutRequest
from rlrobo_train.buffer import RolloutBuffer, RolloutGroup
from rlrobo_train.config import TrainConfig
from rlrobo_train.evaluation import Evaluation, Rates, evaluate, pooled, write_eval
from rlrobo_train.run import RunDirectory
from rlrobo_train.video import Episode, write_video

VIDEO_EPISODES = 9


class Examination:
    """Asks for one task's held-out episodes after the other's and keeps what came of them."""

    def __init__(
        self, config: TrainConfig, run: RunDirectory, tasks: Sequence[str], policy_version: int
    ) -> None:
        self._config, self._run, self._version = config, run, policy_version
        self._tasks = tuple(tasks)
        self.results: dict[str, Evaluation] = {}

    @property
    def done(self) -> bool:
        return len(self.results) == len(self._tasks)

    def request(self, iteration: int) -> RolloutRequest:
        """For the next task's episodes: the same seeds for every task."""
        return RolloutRequest(
            request_id=0,
            iteration=iteration,
            phase="eval",
            form="trajectory",
            task=self._tasks[len(self.results)],
            seed=HELD_OUT + self._config.eval_seed,
            group_ids=tuple(range(self._config.episodes)),
            group_size=1,
            min_policy_version=self._version,
            temperature=0.0,
        )

    def add(self, buffer: RolloutBuffer) -> Evaluation:
        """The answer to the last request."""
        groups, task = buffer.groups(), buffer.request.task
        result = evaluate(groups, buffer.request.seed)
        self.results[task] = result
        path = self._run.path / self._file_name(task)
        write_eval(
            path.with_name(f"{path.name}.json"),
            result,
            task=task,
            checkpoint=self._config.checkpoint or self._config.model,
            policy_version=self._version,
        )
        write_video(path.with_name(f"{path.name}.mp4"), [film(g) for g in groups[:VIDEO_EPISODES]])
        return result

    @property
    def rates(self) -> Rates:
        return {task: result.success for task, result in self.results.items()}

    @property
    def metrics(self) -> dict[str, float]:
        """Of the only task; of several the means, and the success of each."""
        results = list(self.results.values())
        if len(results) == 1:
            return results[0].metrics
        overall = Evaluation(
            success=pooled(self.rates),
            mean_length=float(np.mean([result.mean_length for result in results])),
            mean_return=float(np.mean([result.mean_return for result in results])),
            per_seed=[],
        )
        each = {f"eval/success/{task}": rate.rate for task, rate in self.rates.items()}
        return overall.metrics | each

    def _file_name(self, task: str) -> str:
        judging = self._config.mode == "eval"
        name = "eval" if judging else f"eval_{self._version:06d}"
        return name if len(self._tasks) == 1 else f"{name}_{task}"


def film(group: RolloutGroup) -> Episode:
    """What the first camera saw of one evaluation episode."""
    frames = np.stack([decision.image_C[0] for decision in group.decisions])
    return Episode(frames, bool(group.success), group.decisions[0].instruction)
