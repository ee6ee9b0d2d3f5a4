"""What a task is: a scene, an instruction, reward terms and success, all on scene state.

A task never touches a simulator. The simulator builds `Task.objects`, places them as
`Task.sample` says and hands back a `SceneState`; the task judges it. So MuJoCo, Isaac Lab
and LIBERO share one definition of reward and success.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import getattr_static
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rgba = tuple[float, float, float, float]


def closed(drawer: str) -> str:
    """The name under which a `SceneState` has the pose of that drawer when it is closed."""
    return f"{drawer}_closed"


@dataclass(frozen=True, slots=True)
class SceneObject:
    """A thing in the scene besides the arm and the table. Lengths in metres, mass in kg."""

    name: str
    shape: Literal["box", "cylinder", "sphere", "marker", "pad", "drawer"]
    """`marker` and `pad` are seen but touch nothing: a ball on a thin stand, so that one camera
    can tell its depth, and a flat disc that lies on the table. `drawer`: a cabinet that stands
    fast, and a drawer that slides out of it along -x of its pose."""
    size: tuple[float, ...]
    """box: half extents xyz; cylinder: radius, half height; sphere, marker, pad: radius;
    drawer: half extents xyz of the cabinet, and how far the drawer comes out."""
    rgba: Rgba
    """Of scenes that do not give it another colour."""
    mass: float = 0.0
    friction: float = 1.0


@dataclass(frozen=True, slots=True)
class InitialScene:
    """How one episode starts; everything random about it is drawn in `Task.sample`."""

    object_pose: dict[str, Array]
    """name -> f64[7], base frame. Of a drawer: where its handle is, at the upper edge of its
    front, while it is closed; every drawer starts closed."""
    instruction: str
    object_rgba: dict[str, Rgba] = field(default_factory=dict)
    """name -> colour in this episode, where it is not the object's own: so which cube is meant
    is in the words alone, and reward and success need not know the words."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneState:
    """True state of N scenes, base frame. What rewards and experts see; the policy does not."""

    ee_pose_N: Array
    """f64[N, 7], tool centre point."""
    ee_velocity_N: Array
    """f64[N, 3] [m/s]."""
    gripper_width_N: Array
    """f64[N] [m]."""
    object_pose: dict[str, Array]
    """name -> f64[N, 7]. Of a drawer: of its handle, and with `closed(name)` for a name, of the
    handle while it is closed."""
    object_velocity: dict[str, Array]
    """name -> f64[N, 3] [m/s]; zero for what is only seen."""


class Task(Protocol):
    """One file a task; `TASKS` in `tasks/__init__.py` is the registry. Tasks are frozen
    dataclasses, so what follows is read-only."""

    @classmethod
    def panda_gym(cls) -> Self:
        """With the numbers of panda_gym 3.0.7: ranges, threshold, masses, rate."""
        ...

    @property
    def name(self) -> str: ...
    @property
    def objects(self) -> tuple[SceneObject, ...]: ...
    @property
    def action_dims(self) -> tuple[str, ...]:
        """Which of x, y, z, gripper the policy commands; the others hold."""
        ...

    @property
    def hold_width(self) -> float:
        """What the fingers keep between them where the policy does not command them [m]."""
        ...

    @property
    def max_steps(self) -> int: ...
    @property
    def control_hz(self) -> float: ...
    @property
    def max_step(self) -> float:
        """Largest commanded translation a control step and axis [m]."""
        ...

    @property
    def cameras(self) -> tuple[str, ...]:
        """That show what the task is about; a policy may be given others."""
        ...

    @property
    def proprioception(self) -> bool:
        """Whether a policy should be told where the gripper is and how far it is open."""
        ...

    @property
    def reward_weights(self) -> dict[str, float]: ...

    @property
    def way(self) -> tuple[str, ...]:
        """The objects that the tool has to go to, one after the other: what is moved, and where
        to. How long that is says how hard a start is (`difficulty.py`)."""
        ...

    def sample(self, rng: np.random.Generator) -> InitialScene: ...

    def reward_terms(self, before: SceneState, after: SceneState) -> dict[str, Array]:
        """Unweighted terms, name -> f64[N], of the step from `before` to `after`."""
        ...

    def success(self, state: SceneState) -> NDArray[np.bool_]: ...


MEMBERS = tuple(name for name in vars(Task) if not name.startswith("_"))


def check_members(task: Task) -> None:
    """ValueError names what the task's class leaves undefined, before anything runs."""
    kind = type(task)
    missing = [
        name
        for name in MEMBERS
        # A class that derives from `Task` inherits the empty bodies above.
        if not hasattr(task, name) or getattr_static(kind, name, None) is vars(Task)[name]
    ]
    if missing:
        raise ValueError(
            f"{kind.__module__}.{kind.__qualname__} is no task yet: define {', '.join(missing)} "
            "(rlrobo_core/tasks/base.py says what each is)"
        )
