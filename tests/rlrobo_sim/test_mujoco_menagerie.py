"""The official meshes: the local copy, and the message when they are not to be had.

The copy is made here, in the shape of mujoco_menagerie's panda.xml, unless MENAGERIE_ROOT
names a real one.
"""

from __future__ import annotations

import importlib.util
import os
from contextlib import closing
from pathlib import Path

import mujoco
import numpy as np
import pytest

from rlrobo_core.tasks.reach import Reach
from rlrobo_sim.mujoco import MujocoSimulator
from rlrobo_sim.mujoco.menagerie import MODEL, ROOT_VARIABLE, VISUAL_GROUP
from rlrobo_sim.mujoco.robots import make_robot

REACH = Reach()
SPHERE_SUBDIVISIONS = 4


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    given = os.environ.get(ROOT_VARIABLE)
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    if given:
        return given
    folder = tmp_path / MODEL
    folder.mkdir()
    (folder / "panda.xml").write_text(menagerie_like())
    return str(tmp_path)


def menagerie_like() -> str:
    """The primitive Panda with a mesh, materials, groups, an actuator and a keyframe."""
    spec = make_robot("primitive")
    spec.add_material(name="white", rgba=(1.0, 1.0, 1.0, 1.0))
    for geom in spec.geoms:
        geom.group = 3 if geom.contype else VISUAL_GROUP
        geom.material = "white"
    ball = spec.add_mesh(name="ball")
    ball.make_sphere(subdivision=SPHERE_SUBDIVISIONS)
    ball.scale = (0.05, 0.05, 0.05)
    hand = spec.body("hand")
    hand.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname="ball",
        group=VISUAL_GROUP,
        material="white",
        contype=0,
        conaffinity=0,
    )
    spec.add_actuator(name="actuator1", target="joint1", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    spec.compile()
    return spec.to_xml()


@pytest.mark.filterwarnings("ignore:drawing the full meshes")
def test_a_local_copy_moves_as_the_primitive_robot_and_looks_different(root: str) -> None:
    target = np.array([[0.6, 0.1, 0.15, 1.0, 0.0, 0.0, 0.0, 0.0]])
    positions, images = [], []
    for robot in ("primitive", f"menagerie:{root}"):
        with closing(
            MujocoSimulator(REACH, 1, image_size=64, robot=robot, num_render_workers=0)
        ) as sim:
            sim.reset([0], [REACH.sample(np.random.default_rng(0))], [0])
            for _ in range(4):
                sim.step([0], target)
            positions.append(sim.state([0]).ee_pose_N[0, :3])
            images.append(sim.render([0]).astype(int))
    np.testing.assert_allclose(positions[1], target[0, :3], atol=2e-3)
    np.testing.assert_allclose(positions[1], positions[0], atol=1e-3)
    assert (images[0] != images[1]).any()


def test_visual_meshes_are_simplified_where_the_library_is(root: str) -> None:
    if importlib.util.find_spec("fast_simplification") is None:
        with pytest.warns(UserWarning, match="pip install fast-simplification"):
            make_robot(f"menagerie:{root}")
        return
    model = make_robot(f"menagerie:{root}").compile()
    original = mujoco.MjSpec.from_file(str(Path(root) / MODEL / "panda.xml")).compile()
    assert visual_faces(model) < 0.3 * visual_faces(original)


def visual_faces(model: mujoco.MjModel) -> int:
    shown = (model.geom_group == VISUAL_GROUP) & (model.geom_dataid >= 0)
    return int(model.mesh_facenum[model.geom_dataid[shown]].sum())


def test_a_missing_copy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match=r"there is no .*panda\.xml; set robot:=menagerie:FOLDER"):
        make_robot("menagerie")


@pytest.mark.skipif(
    importlib.util.find_spec("mujoco_menagerie") is not None, reason="mujoco-menagerie is here"
)
def test_without_package_and_copy_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="pip install mujoco-menagerie"):
        make_robot("menagerie")
