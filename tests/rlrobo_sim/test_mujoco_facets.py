"""Shapes as triangles: the same surface, closed, seen from outside; and nothing more is felt."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from rlrobo_core.panda_shapes import LINK_SHAPES
from rlrobo_core.shapes import Shape, box, capsule, cylinder
from rlrobo_sim.mujoco.facets import Facets, merged
from rlrobo_sim.mujoco.robots import make_robot

GREY = (0.5, 0.5, 0.5, 1.0)
SHAPES = {
    "box": (box((0.1, -0.2, 0.3), (0.1, 0.2, 0.3), GREY), 8 * 0.1 * 0.2 * 0.3),
    "cylinder": (cylinder((0.1, 0.0, 0.0), (0.4, 0.3, 0.2), 0.1, GREY), np.pi * 0.01 * 0.22**0.5),
    "capsule": (
        capsule((0.0, 0.1, 0.0), (0.3, 0.0, -0.4), 0.1, GREY),
        np.pi * 0.01 * 0.26**0.5 + 4 / 3 * np.pi * 0.001,
    ),
}


def corners(facets: Facets) -> np.ndarray:
    return facets.points_V[facets.faces_F]


@pytest.mark.parametrize("name", SHAPES)
def test_facets_enclose_the_shapes_volume(name: str) -> None:
    """Signed, so closed and turned outwards; round shapes lose a little to their facets."""
    shape, volume = SHAPES[name]
    a, b, c = np.moveaxis(corners(merged([shape], [shape])), 1, 0)
    enclosed = np.einsum("fi,fi->", a, np.cross(b, c)) / 6
    assert 0.9 * volume < enclosed <= volume * (1 + 1e-9)


@pytest.mark.parametrize("name", SHAPES)
def test_normals_point_out_of_their_facets(name: str) -> None:
    shape, _ = SHAPES[name]
    facets = merged([shape], [shape])
    a, b, c = np.moveaxis(corners(facets), 1, 0)
    out_F = np.cross(b - a, c - a)
    assert (np.einsum("fi,fki->fk", out_F, facets.normals_V[facets.faces_F]) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(facets.normals_V, axis=1), 1.0)


def test_what_lies_inside_another_shape_is_left_out() -> None:
    small: Shape = box((0.0, 0.0, 0.0), (0.1, 0.1, 0.1), GREY)
    for large in (
        box((0.0, 0.0, 0.0), (0.2, 0.2, 0.2), GREY),
        capsule((0.0, 0.0, -0.1), (0.0, 0.0, 0.1), 0.2, GREY),
        cylinder((0.0, 0.0, -0.2), (0.0, 0.0, 0.2), 0.2, GREY),
    ):
        assert len(merged([small], [small, large]).faces_F) == 0
        assert len(merged([large], [small, large]).faces_F) > 0


def test_only_the_solid_shapes_touch_and_only_meshes_are_seen() -> None:
    model = make_robot("primitive").compile()
    touching = [g for g in range(model.ngeom) if model.geom_contype[g] or model.geom_conaffinity[g]]
    solid = sum(shape.solid for shapes in LINK_SHAPES.values() for shape in shapes)
    assert len(touching) == solid + 1, "the finger is there twice"
    shown = mujoco.MjvOption().geomgroup
    for geom in range(model.ngeom):
        seen = bool(shown[model.geom_group[geom]])
        assert seen == (model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH)
        assert seen != (geom in touching)
