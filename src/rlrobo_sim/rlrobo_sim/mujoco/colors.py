"""What colour each object has in each world: scenes give objects colours, worlds share a model.

Shape legend: _N all worlds, _M worlds of a call, _O objects, _G the geoms that objects consist of.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.tasks import InitialScene, SceneObject
from rlrobo_sim.mujoco.scene import Scene

Array = NDArray[np.float64]


class ObjectColors:
    """The objects' colours in every world."""

    def __init__(self, scene: Scene, objects: Sequence[SceneObject], num_worlds: int) -> None:
        own_O4 = np.array([thing.rgba for thing in objects]).reshape(-1, 4)
        geoms = [
            (geom, row) for row, thing in enumerate(objects) for geom in scene.geoms[thing.name]
        ]
        self._row = {thing.name: row for row, thing in enumerate(objects)}
        self._object_G = np.array([row for _, row in geoms], np.int64)
        self._own_O4, self._rgba_NO4 = own_O4, np.tile(own_O4, (num_worlds, 1, 1))
        self.geom_G = np.array([geom for geom, _ in geoms], np.int64)
        # A stand is a darker shade of its ball: of whatever colour that has.
        own_G4 = np.maximum(own_O4[self._object_G], 1e-6)
        self._shade_G4 = scene.model.geom_rgba[self.geom_G] / own_G4

    def reset(self, ids: NDArray[np.int64], scenes: Sequence[InitialScene]) -> None:
        """Colour the worlds `ids` as their scenes say. ValueError names an unknown object."""
        self._rgba_NO4[ids] = self._own_O4
        for world, scene in zip(ids, scenes, strict=True):
            for name, rgba in scene.object_rgba.items():
                if name not in self._row:
                    raise ValueError(
                        f"a scene gives a colour to {name!r}, which is not in it; choose from: "
                        f"{', '.join(self._row)}"
                    )
                self._rgba_NO4[world, self._row[name]] = rgba

    def geom_rgba(self, ids: NDArray[np.int64]) -> Array:
        """f64[M, G, 4]"""
        return self._rgba_NO4[ids][:, self._object_G] * self._shade_G4

    @property
    def num_values(self) -> int:
        """Numbers a world in a snapshot."""
        return self._own_O4.size

    def snapshot(self, ids: NDArray[np.int64]) -> Array:
        return self._rgba_NO4[ids].reshape(len(ids), self.num_values)

    def restore(self, ids: NDArray[np.int64], values: Array) -> None:
        self._rgba_NO4[ids] = values.reshape(-1, *self._own_O4.shape)
