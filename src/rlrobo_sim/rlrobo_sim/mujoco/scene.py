"""One compiled MuJoCo model of a task: robot, table, the task's objects, cameras, lights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from rlrobo_core.panda import JOINT_TORQUE, NEUTRAL, TCP_Z
from rlrobo_core.shapes import box, cylinder, sphere
from rlrobo_core.tasks import SceneObject, Task
from rlrobo_sim.mujoco import panda
from rlrobo_sim.mujoco.cabinet import Slide, add_drawer, index_drawer
from rlrobo_sim.mujoco.shapes import CONTACT_BITS, add_shape

MAX_TIMESTEP = 0.004
"""[s]; a whole number of timesteps makes one control step."""
ARM_STIFFNESS = np.array([4500.0, 4500.0, 3500.0, 3500.0, 2000.0, 2000.0, 2000.0])
"""[N m / rad], as mujoco_menagerie's position actuators."""
FINGER_STIFFNESS = 1000.0
"""[N / m]. mujoco_menagerie's 100 N/m presses a 4 cm cube with 1-2 N only."""
FINGER_DAMPING = 50.0
"""[N s / m], over-damped: finger mass + armature are about 0.1 kg."""
FINGER_FORCE = 70.0
"""[N], Franka Hand's continuous grasping force."""

CONTACT_SOLREF = (2.5 * MAX_TIMESTEP, 1.0)
CONTACT_SOLIMP = (0.95, 0.99, 0.001, 0.5, 2.0)
"""Stiffer than MuJoCo's defaults, by which the gripper presses 2-3 mm into a light cube."""

TABLE_COLOR = (0.62, 0.60, 0.57, 1.0)
FLOOR_COLOR = (0.42, 0.44, 0.47, 1.0)
STAND_SHADE = 0.4
"""Of the ball's own colour, so that it is not taken for the dark fingers."""
TABLE_CENTRE = (0.6, 0.0, -0.3)
TABLE_HALF = (0.95, 0.75, 0.3)
"""Top at z = 0. Thick, so that it swallows the lower end of every marker's stand."""
STAND_LENGTH = 0.58
STAND_RADIUS = 0.005
FOOT_RADIUS = 0.028
FOOT_HEIGHT = 0.002
PAD_HEIGHT = 0.001

CAMERAS = ("front", "wrist", "overview")
FRONT_LOOKS_AT = np.array([0.57, 0.0, 0.2])
FRONT_POSITION = FRONT_LOOKS_AT + 1.15 * np.array([0.62, 0.62, 0.47])
"""In front, to the robot's left and 28 degrees above: motions along x, y and z all show, and
the hand hides the ball least (7% of scenes with the tool away from it, measured; 45 degrees
above: 10%)."""
FRONT_FOVY = 34.0
"""[deg]"""

OVERVIEW_LOOKS_AT = np.array([0.38, 0.0, 0.27])
OVERVIEW_POSITION = np.array([1.4, 1.25, 1.35])
OVERVIEW_FOVY = 30.0
"""[deg]. The whole arm, for pictures and videos."""
WRIST_POSITION = (0.07, 0.0, 0.05)
"""In the hand's frame."""
WRIST_TILT = 0.5
"""[rad]"""
WRIST_FOVY = 75.0
"""[deg]"""


@dataclass(frozen=True, slots=True)
class Scene:
    """The model and where things are in it."""

    model: mujoco.MjModel
    arm_qpos: NDArray[np.int64]
    """i64[7]"""
    finger_qpos: NDArray[np.int64]
    """i64[2]"""
    arm_ctrl: NDArray[np.int64]
    finger_ctrl: NDArray[np.int64]
    object_qpos: dict[str, int]
    """name -> first of 7 elements of qpos, for everything with a free joint."""
    object_qvel: dict[str, int]
    marker_mocap: dict[str, tuple[int, int]]
    """name -> mocap ids of the ball with its stand, and of the stand's foot."""
    pad_mocap: dict[str, int]
    drawers: dict[str, Slide]
    geoms: dict[str, tuple[int, ...]]
    """name -> the geoms that the object is drawn with."""


def build_scene(task: Task, spec: mujoco.MjSpec, image_size: int, timestep: float) -> Scene:
    """Complete `spec`, which holds the bare robot, to the scene of `task`."""
    _set_options(spec, image_size, timestep)
    if any(thing.shape == "cylinder" for thing in task.objects):
        _set_pucks_options(spec)
    _add_control(spec)
    _add_table_and_lights(spec)
    _add_cameras(spec)
    for thing in task.objects:
        _add_object(spec, thing)
    model = spec.compile()
    _set_arm_damping(model)
    return _index(model, task)


def build_kinematics(spec: mujoco.MjSpec) -> mujoco.MjModel:
    """The arm alone, fingers included but nothing to collide: the model of inverse kinematics."""
    _add_tcp(spec)
    model = spec.compile()
    model.geom_contype[:] = 0
    model.geom_conaffinity[:] = 0
    return model


def _set_options(spec: mujoco.MjSpec, image_size: int, timestep: float) -> None:
    spec.option.timestep = timestep
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    visual = spec.visual
    visual.global_.offwidth = image_size
    visual.global_.offheight = image_size
    visual.quality.offsamples = 0
    visual.quality.shadowsize = 0
    slices = min(max(image_size // 16, 12), 28)  # 28 at 224 pixels would cost twice the time
    visual.quality.numslices = slices
    visual.quality.numstacks = slices // 2
    visual.map.znear = 0.01
    visual.map.zfar = 20.0
    spec.stat.extent = 1.0
    visual.headlight.ambient = (0.3, 0.3, 0.3)
    visual.headlight.diffuse = (0.2, 0.2, 0.2)
    visual.headlight.specular = (0.0, 0.0, 0.0)


def _set_pucks_options(spec: mujoco.MjSpec) -> None:
    """What pucks need, which are cylinders, and what costs others time. Under the pyramidal cone a
    puck that slides at 45 degrees to x goes 1.4 times as far as along x, and in a curve. MuJoCo
    4.0's own convex collision takes a box's edge against a cylinder for its face, with the face's
    normal, so that fingers could not push aside; libccd's normal is right."""
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_NATIVECCD


def _add_tcp(spec: mujoco.MjSpec) -> None:
    spec.body("hand").add_site(name=panda.TCP_SITE, pos=(0.0, 0.0, TCP_Z))


def _add_control(spec: mujoco.MjSpec) -> None:
    """Position actuators, gravity compensation, and sensors of the tool centre point."""
    _add_tcp(spec)
    for body in spec.body("link0").find_all("body"):
        body.gravcomp = 1.0
    for i, joint in enumerate(panda.ARM_JOINTS):
        _add_actuator(spec, joint, ARM_STIFFNESS[i], 0.0, JOINT_TORQUE[i])
    for joint in panda.FINGER_JOINTS:
        _add_actuator(spec, joint, FINGER_STIFFNESS, FINGER_DAMPING, FINGER_FORCE)
    spec.add_sensor(
        name="tcp_velocity",
        type=mujoco.mjtSensor.mjSENS_FRAMELINVEL,
        objtype=mujoco.mjtObj.mjOBJ_SITE,
        objname=panda.TCP_SITE,
    )


def _add_actuator(
    spec: mujoco.MjSpec, joint: str, stiffness: float, damping: float, force: float
) -> None:
    actuator = spec.add_actuator(
        name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT, forcerange=(-force, force)
    )
    actuator.set_to_position(kp=stiffness, kv=damping)
    actuator.forcelimited = mujoco.mjtLimited.mjLIMITED_TRUE
    actuator.ctrllimited = mujoco.mjtLimited.mjLIMITED_FALSE  # the controls lead their targets


def _set_arm_damping(model: mujoco.MjModel) -> None:
    """Critical damping of each arm joint, 2 sqrt(k M_ii), at the neutral posture."""
    data = mujoco.MjData(model)
    arm = _joint_addresses(model, panda.ARM_JOINTS)
    data.qpos[arm] = NEUTRAL
    mujoco.mj_forward(model, data)
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    dofs = np.array([model.joint(name).dofadr[0] for name in panda.ARM_JOINTS])
    for actuator, dof in enumerate(dofs):
        stiffness = model.actuator_gainprm[actuator, 0]
        model.actuator_biasprm[actuator, 2] = -2.0 * np.sqrt(stiffness * inertia[dof, dof])


def _add_table_and_lights(spec: mujoco.MjSpec) -> None:
    table = box(TABLE_CENTRE, TABLE_HALF, TABLE_COLOR, solid=True)
    add_shape(table, spec.worldbody, "table", solid_as="table")
    floor = box((0.6, 0.0, -0.65), (12.0, 12.0, 0.05), FLOOR_COLOR)
    add_shape(floor, spec.worldbody, "floor", solid_as="seen")
    spec.worldbody.add_light(
        name="key",
        pos=(0.9, 0.8, 1.6),
        dir=(-0.3, -0.5, -1.0),
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        diffuse=(0.55, 0.55, 0.55),
        specular=(0.1, 0.1, 0.1),
        castshadow=False,
    )


def _add_cameras(spec: mujoco.MjSpec) -> None:
    spec.worldbody.add_camera(
        name="front",
        pos=FRONT_POSITION,
        quat=look_at(FRONT_POSITION, FRONT_LOOKS_AT),
        fovy=FRONT_FOVY,
    )
    spec.worldbody.add_camera(
        name="overview",
        pos=OVERVIEW_POSITION,
        quat=look_at(OVERVIEW_POSITION, OVERVIEW_LOOKS_AT),
        fovy=OVERVIEW_FOVY,
    )
    spec.body("hand").add_camera(
        name="wrist", pos=WRIST_POSITION, quat=_wrist_quat(), fovy=WRIST_FOVY
    )


def look_at(position: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quaternion wxyz of a camera (looking along its -z, y up) from `position` to `point`."""
    back = (position - point) / np.linalg.norm(position - point)
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(back, right), back], axis=1)
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, rotation.ravel())
    return quat


def _wrist_quat() -> NDArray[np.float64]:
    """Looking along the hand's +z (out of the gripper) and a little towards the fingers,
    image up = the hand's +x."""
    quat = np.zeros(4)
    outwards = np.array([0.0, np.sqrt(0.5), np.sqrt(0.5), 0.0])
    tilt = np.array([np.cos(WRIST_TILT / 2), 0.0, -np.sin(WRIST_TILT / 2), 0.0])
    mujoco.mju_mulQuat(quat, tilt, outwards)
    return quat


def _add_object(spec: mujoco.MjSpec, thing: SceneObject) -> None:
    if thing.shape == "marker":
        _add_marker(spec, thing)
        return
    if thing.shape == "pad":
        _add_pad(spec, thing)
        return
    if thing.shape == "drawer":
        add_drawer(spec, thing)
        return
    body = spec.worldbody.add_body(name=thing.name)
    body.add_freejoint(name=thing.name)
    kind = {
        "box": mujoco.mjtGeom.mjGEOM_BOX,
        "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
        "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    }[thing.shape]
    contype, conaffinity = CONTACT_BITS["object"]
    body.add_geom(
        name=thing.name,
        type=kind,
        size=(*thing.size, 0.0, 0.0, 0.0)[:3],
        rgba=thing.rgba,
        mass=thing.mass,
        friction=(thing.friction, 0.005, 0.0001),
        priority=1,
        condim=4,
        solref=CONTACT_SOLREF,
        solimp=CONTACT_SOLIMP,
        contype=contype,
        conaffinity=conaffinity,
    )


def _add_marker(spec: mujoco.MjSpec, thing: SceneObject) -> None:
    """A ball on a thin stand with a disc for a foot. The stand hangs from the ball and ends
    inside the table, the foot is a body of its own that stays on the table: so both follow
    the ball's place by mocap alone, without a model of its own for each world."""
    red, green, blue, alpha = thing.rgba
    shade = (red * STAND_SHADE, green * STAND_SHADE, blue * STAND_SHADE, alpha)
    ball = spec.worldbody.add_body(name=thing.name, mocap=True)
    add_shape(sphere((0.0, 0.0, 0.0), thing.size[0], thing.rgba), ball, thing.name, "seen")
    stand = cylinder((0.0, 0.0, -STAND_LENGTH), (0.0, 0.0, 0.0), STAND_RADIUS, shade)
    add_shape(stand, ball, f"{thing.name}_stand", "seen")
    foot = spec.worldbody.add_body(name=f"{thing.name}_foot", mocap=True)
    disc = cylinder((0.0, 0.0, 0.0), (0.0, 0.0, FOOT_HEIGHT), FOOT_RADIUS, shade)
    add_shape(disc, foot, f"{thing.name}_foot", "seen")


def _add_pad(spec: mujoco.MjSpec, thing: SceneObject) -> None:
    """A disc whose top is `PAD_HEIGHT` above its place."""
    body = spec.worldbody.add_body(name=thing.name, mocap=True)
    disc = cylinder((0.0, 0.0, -PAD_HEIGHT), (0.0, 0.0, PAD_HEIGHT), thing.size[0], thing.rgba)
    add_shape(disc, body, thing.name, "seen")


def _joint_addresses(model: mujoco.MjModel, names: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([model.joint(name).qposadr[0] for name in names])


def _index(model: mujoco.MjModel, task: Task) -> Scene:
    def named(*shapes: str) -> list[str]:
        return [thing.name for thing in task.objects if thing.shape in shapes]

    free = named("box", "cylinder", "sphere")

    def mocap(body: str) -> int:
        return int(model.body(body).mocapid[0])

    def actuators(names: tuple[str, ...]) -> NDArray[np.int64]:
        return np.array([model.actuator(name).id for name in names])

    def address(field: Any) -> int:
        return int(field[0])

    return Scene(
        model=model,
        arm_qpos=_joint_addresses(model, panda.ARM_JOINTS),
        finger_qpos=_joint_addresses(model, panda.FINGER_JOINTS),
        arm_ctrl=actuators(panda.ARM_JOINTS),
        finger_ctrl=actuators(panda.FINGER_JOINTS),
        object_qpos={name: address(model.joint(name).qposadr) for name in free},
        object_qvel={name: address(model.joint(name).dofadr) for name in free},
        marker_mocap={name: (mocap(name), mocap(f"{name}_foot")) for name in named("marker")},
        pad_mocap={name: mocap(name) for name in named("pad")},
        drawers={name: index_drawer(model, name) for name in named("drawer")},
        geoms={thing.name: _geoms_of(model, thing.name) for thing in task.objects},
    )


def _geoms_of(model: mujoco.MjModel, name: str) -> tuple[int, ...]:
    """The geoms of the object `name`: of its own body, and of its foot where it has one."""
    bodies = [
        body for body in range(model.nbody) if model.body(body).name in (name, f"{name}_foot")
    ]
    return tuple(geom for geom in range(model.ngeom) if model.geom_bodyid[geom] in bodies)
