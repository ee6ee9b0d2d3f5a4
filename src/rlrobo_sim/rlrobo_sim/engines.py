"""Serves requests for several tasks: a rollout engine with its own simulator for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rlrobo_core.shifts import SceneShift, Shift, parse_task
from rlrobo_core.tasks import Task
from rlrobo_core.types import ActionBatch, ObservationBatch, RolloutRequest
from rlrobo_sim.outcomes import reward_weights
from rlrobo_sim.rollout import RolloutEngine
from rlrobo_sim.simulator import Simulator


class RolloutEngines:
    """`start`, `act`, `pending` and the groups given up are as in `RolloutEngine`; a request names
    its task, and with it the shift (`rlrobo_core.shifts`). The first task's simulator is made at
    once, so that what is wrong with its arguments shows at the start, the others' when they are
    first asked for. A task keeps one simulator: under another shift a new one takes its place."""

    def __init__(
        self,
        tasks: Mapping[str, Task],
        group_size: int,
        make_simulator: Callable[[Task, SceneShift], Simulator],
        reward: str = "dense",
    ) -> None:
        """`reward`: see `outcomes.reward_weights`."""
        self._tasks, self._group_size, self._reward = dict(tasks), group_size, reward
        self._make_simulator = make_simulator
        self._engines: dict[str, tuple[Shift, RolloutEngine]] = {}
        self._current = self._engine(next(iter(tasks)))

    @property
    def pending(self) -> ObservationBatch | None:
        return self._current.pending

    @property
    def unstable_groups(self) -> list[int]:
        return self._current.unstable_groups

    @property
    def unanswered_groups(self) -> list[int]:
        return self._current.unanswered_groups

    def start(self, request: RolloutRequest) -> ObservationBatch:
        """Begin a request, whichever task the one in progress was of. ValueError where the
        simulation was not started with its task."""
        self._current = self._engine(request.task)
        return self._current.start(request)

    def act(self, actions: ActionBatch) -> ObservationBatch | None:
        return self._current.act(actions)

    def close(self) -> None:
        for _, engine in self._engines.values():
            engine.simulator.close()

    def _engine(self, request_task: str) -> RolloutEngine:
        name, shift = parse_task(request_task)
        if name not in self._tasks:
            raise ValueError(
                f"the request is for task {name!r}, but this simulation was started with "
                f"{', '.join(self._tasks)}; start simulation and trainer with the same task:="
            )
        if name in self._engines and self._engines[name][0] != shift:
            _, other = self._engines.pop(name)
            other.simulator.close()
        if name not in self._engines:
            self._engines[name] = shift, self._make_engine(self._tasks[name], shift)
        return self._engines[name][1]

    def _make_engine(self, task: Task, shift: Shift) -> RolloutEngine:
        shifted = shift.of_task(task)
        if shifted is None:
            raise ValueError(
                f"task {task.name!r} has nothing that the shift {shift.name!r} could change "
                f"({shift.meaning}); leave it out"
            )
        weights = reward_weights(shifted, self._reward)
        simulator = self._make_simulator(shifted, shift.scene)
        try:
            return RolloutEngine(simulator, shifted, self._group_size, weights)
        except BaseException:
            simulator.close()
            raise
