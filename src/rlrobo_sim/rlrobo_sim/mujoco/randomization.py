"""Domain randomization: each world its own light, colours, camera poses, friction and masses.

One vector of K numbers, uniform in [-1, 1], stands for all of a world's differences; the
fields of its model are a function of that vector. So a snapshot carries K numbers, and worlds
with equal seeds are equal. Tobin et al., Domain Randomization, 2017.

Shape legend: _M worlds of a call, _N all worlds, _K draws, _V numbers of the visual fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from rlrobo_sim.mujoco.scene import Scene

Array = NDArray[np.float64]

VISUAL_FIELDS = ("geom_rgba", "light_diffuse", "light_dir", "cam_pos", "cam_quat")
"""Fields of mjModel that only rendering reads, in the order of a visual row. The row's geom_rgba
is what the colours, whichever the scene gives, are multiplied by."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """How far each thing goes to either side of its nominal value."""

    color: float = 0.15
    """Relative, for each of red, green, blue of the table, the floor, the robot, each object."""
    light_color: float = 0.2
    """Relative."""
    light_direction: float = 0.35
    """Added to the unit vector's components."""
    camera_position: float = 0.02
    """[m]"""
    camera_rotation: float = 0.02
    """[rad]"""
    friction: float = 0.3
    """Relative, of objects and of the fingers."""
    mass: float = 0.2
    """Relative, of objects; inertia follows."""


class Randomizer:
    """Draws and applies the differences of the worlds of one batch."""

    def __init__(self, scene: Scene, batch: mujoco.batch.Batch, ranges: Ranges) -> None:
        model = scene.model
        self._model, self._batch, self._ranges = model, batch, ranges
        self._bodies = np.array([model.body(name).id for name in scene.object_qpos], np.int64)
        self._group_of_geom, num_groups = _color_groups(model)
        self._sizes = {
            "color": (num_groups, 3),
            "light_color": (model.nlight, 3),
            "light_direction": (model.nlight, 3),
            "camera_position": (model.ncam, 3),
            "camera_rotation": (model.ncam, 3),
            "friction": (num_groups,),
            "mass": (len(self._bodies),),
        }
        self.num_draws = sum(int(np.prod(shape)) for shape in self._sizes.values())
        self.draws_NK = np.zeros((batch.nsim, self.num_draws))
        self.visual_NV = self._visual_rows(self._scaled(self.draws_NK))
        self._friction = batch.expand("geom_friction")
        self._mass, self._inertia = batch.expand("body_mass"), batch.expand("body_inertia")

    def draw(self, seeds: Sequence[int]) -> Array:
        """f64[M, K], row m from `seeds[m]` alone."""
        rows = [np.random.default_rng(seed).uniform(-1.0, 1.0, self.num_draws) for seed in seeds]
        return np.array(rows).reshape(len(seeds), self.num_draws)

    def apply(self, ids: NDArray[np.int64], draws_MK: Array) -> None:
        """Give the worlds `ids` the differences that `draws_MK` stands for."""
        changed_M = (self.draws_NK[ids] != draws_MK).any(axis=1)
        ids, draws_MK = ids[changed_M], draws_MK[changed_M]
        if not len(ids):
            return
        self.draws_NK[ids] = draws_MK
        scaled = self._scaled(draws_MK)
        self.visual_NV[ids] = self._visual_rows(scaled)
        self._friction[ids] = self._model.geom_friction
        self._friction[ids, :, 0] *= 1.0 + scaled["friction"][:, self._group_of_geom]
        if len(self._bodies):
            factor_M = 1.0 + scaled["mass"]
            at = np.ix_(ids, self._bodies)
            self._mass[at] = self._model.body_mass[self._bodies] * factor_M
            self._inertia[at] = self._model.body_inertia[self._bodies] * factor_M[..., None]
            self._batch.set_const(np.sort(ids))

    def _scaled(self, draws_MK: Array) -> dict[str, Array]:
        ends = np.cumsum([int(np.prod(shape)) for shape in self._sizes.values()])
        parts = np.split(draws_MK, ends[:-1], axis=1)
        return {
            name: getattr(self._ranges, name) * part.reshape(len(draws_MK), *shape)
            for (name, shape), part in zip(self._sizes.items(), parts, strict=True)
        }

    def _visual_rows(self, scaled: dict[str, Array]) -> Array:
        model, count = self._model, len(scaled["color"])
        factor = np.ones((count, model.ngeom, 4))
        factor[..., :3] += scaled["color"][:, self._group_of_geom]
        fields = {
            "geom_rgba": factor,
            "light_diffuse": model.light_diffuse * (1.0 + scaled["light_color"]),
            "light_dir": _unit(model.light_dir + scaled["light_direction"]),
            "cam_pos": model.cam_pos + scaled["camera_position"],
            "cam_quat": turned(model.cam_quat, scaled["camera_rotation"]),
        }
        return np.concatenate([fields[name].reshape(count, -1) for name in VISUAL_FIELDS], axis=1)


def write_visual_fields(model: mujoco.MjModel, row: Array) -> None:
    """Set the visual fields of a renderer's model, whose colours are the scene's, from a row of
    `Randomizer.visual_NV`."""
    start = 0
    for name in VISUAL_FIELDS:
        field = getattr(model, name)
        values = row[start : start + field.size].reshape(field.shape)
        field[:] = np.clip(field * values, 0.0, 1.0) if name == "geom_rgba" else values
        start += field.size


def visual_row_size(model: mujoco.MjModel) -> int:
    return sum(getattr(model, name).size for name in VISUAL_FIELDS)


def _color_groups(model: mujoco.MjModel) -> tuple[NDArray[np.int64], int]:
    """A number for each geom: those of one thing (table, floor, robot, an object with its
    stand) change together."""
    names = [_thing(model, geom) for geom in range(model.ngeom)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names]), len(numbers)


def _thing(model: mujoco.MjModel, geom: int) -> str:
    root = model.body(int(model.body_rootid[model.geom_bodyid[geom]])).name
    return model.geom(geom).name if root == "world" else root.removesuffix("_foot")


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def turned(quat: Array, rotation_M: Array) -> Array:
    """Quaternions wxyz, turned by small rotation vectors [rad] of their own frame."""
    w, v = quat[:, :1], quat[:, 1:]
    half_M = rotation_M / 2
    real_M = w - np.sum(v * half_M, axis=-1, keepdims=True)
    imaginary_M = v + w * half_M + np.cross(v, half_M)
    return _unit(np.concatenate([real_M, imaginary_M], axis=-1))
