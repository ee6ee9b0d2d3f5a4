"""The Panda with Franka's official meshes, from MuJoCo Menagerie (Apache-2.0, Google DeepMind).

Not shipped here: a local copy is used where there is one, otherwise the package
`mujoco-menagerie` downloads it at first use.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from rlrobo_sim.mujoco.shapes import CONTACT_BITS

ROOT_VARIABLE = "MENAGERIE_ROOT"
"""Names a local copy of mujoco_menagerie, for us as for its own package."""
MODEL = "franka_emika_panda"
KEEP_FACES = 0.1
"""Of a visual mesh, about 20,000 in all. The full meshes take three times as long to draw."""
MIN_FACES = 400
MERGE_DECIMALS = 6
TOUCHING_BODIES = ("hand", "left_finger", "right_finger")
VISUAL_GROUP = 2


class NoMeshes(ValueError):
    """The official meshes are not to be had."""


def load_menagerie(root: str | None) -> mujoco.MjSpec:
    """The bare robot. `root` is a local copy of mujoco_menagerie; None takes the one that
    `MENAGERIE_ROOT` names, then the package."""
    spec = mujoco.MjSpec.from_file(str(_find(root)))
    for unwanted in (
        *spec.sites,
        *spec.actuators,
        *spec.keys,
        *spec.tendons,
        *spec.equalities,
        *spec.lights,
    ):
        spec.delete(unwanted)
    for geom in spec.geoms:
        _prepare(spec, geom)
    _decimate(spec)
    return spec


def _find(root: str | None) -> Path:
    root = root or os.environ.get(ROOT_VARIABLE)
    if root is None:
        return _download()
    path = Path(root) / MODEL / "panda.xml"
    if not path.is_file():
        raise NoMeshes(
            f"there is no {path}; set robot:=menagerie:FOLDER or {ROOT_VARIABLE} to a copy of "
            "mujoco_menagerie, or take robot:=primitive"
        )
    return path


def _download() -> Path:
    cure = (
        f"set {ROOT_VARIABLE} to a local copy of github.com/google-deepmind/mujoco_menagerie, "
        "or take robot:=primitive"
    )
    try:
        import mujoco_menagerie  # optional
    except ImportError as error:
        raise NoMeshes(
            f"the official meshes need `pip install mujoco-menagerie fast-simplification`; "
            f"without it {cure}"
        ) from error
    try:
        return Path(mujoco_menagerie.get(MODEL).xml("panda"))
    except (mujoco_menagerie.MenagerieError, OSError) as error:
        raise NoMeshes(f"the official meshes cannot be downloaded ({error}); {cure}") from error


def _prepare(spec: mujoco.MjSpec, geom: mujoco.MjsGeom) -> None:
    """Keep what is seen, with the colour of its material, and what the gripper touches with."""
    if geom.group == VISUAL_GROUP:
        geom.rgba = spec.material(geom.material).rgba
        geom.material = ""
        geom.contype, geom.conaffinity = CONTACT_BITS["seen"]
    elif geom.parent.name in TOUCHING_BODIES:
        geom.contype, geom.conaffinity = CONTACT_BITS["robot"]
    else:
        spec.delete(geom)


def _decimate(spec: mujoco.MjSpec) -> None:
    try:
        import fast_simplification  # optional
    except ImportError:
        warnings.warn(
            "drawing the full meshes, which is three to four times slower; "
            "`pip install fast-simplification` to have them simplified",
            stacklevel=4,
        )
        return
    model = spec.compile()
    for geom in spec.geoms:
        if geom.group != VISUAL_GROUP or not geom.meshname:
            continue
        vertices, faces = _compiled_mesh(model, geom.meshname)
        count = max(MIN_FACES, int(KEEP_FACES * len(faces)))
        if count >= len(faces):
            continue
        simple = f"{geom.meshname}_simple"
        if spec.mesh(simple) is None:
            vertices, faces = fast_simplification.simplify(vertices, faces, target_count=count)
            spec.add_mesh(name=simple, uservert=vertices.ravel(), userface=faces.ravel())
        geom.meshname = simple


def _compiled_mesh(
    model: mujoco.MjModel, name: str
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Vertices f64[V, 3] in the frame of the file, faces i32[F, 3]. The compiler moves meshes
    to their inertial frame, `mesh_pos` and `mesh_quat` lead back; and it splits vertices where
    normals differ, so that faces must be joined again before they can be simplified."""
    mesh = model.mesh(name)
    first, count = int(mesh.vertadr[0]), int(mesh.vertnum[0])
    first_face, num_faces = int(mesh.faceadr[0]), int(mesh.facenum[0])
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.mesh_quat[mesh.id])
    vertices = model.mesh_vert[first : first + count].astype(np.float64)
    vertices = vertices @ rotation.reshape(3, 3).T + model.mesh_pos[mesh.id]
    _, kept, joined = np.unique(
        vertices.round(MERGE_DECIMALS), axis=0, return_index=True, return_inverse=True
    )
    faces = joined.ravel()[model.mesh_face[first_face : first_face + num_faces]]
    return vertices[kept], faces.astype(np.int32)
