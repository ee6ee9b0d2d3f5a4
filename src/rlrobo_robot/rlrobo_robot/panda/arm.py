"""A Panda that follows poses: panda-py's Cartesian impedance controller at 1 kHz, in C++ threads
of its own, and its state. Without ROS; calls may come from several threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.panda import NEUTRAL, NUM_JOINTS
from rlrobo_core.robot import MOVABLE
from rlrobo_core.rotation import turned
from rlrobo_robot.panda.library import connect, pose_of
from rlrobo_robot.refused import Refused
from rlrobo_robot.safety.targets import shortened, way_between

Array = NDArray[np.float64]

MODE_OF = {
    "kIdle": "idle",
    "kMove": "move",
    "kGuiding": "guiding",
    "kReflex": "reflex",
    "kUserStopped": "user_stopped",
    "kAutomaticErrorRecovery": "recovering",
    "kOther": "other",
}
"""libfranka's RobotMode in the words of `rlrobo_core.robot.MODES`."""
MAX_ERROR, MAX_TURN_ERROR = 0.05, 0.3
"""[m], [rad]: the spring is not drawn further than this, whatever the target; as CRISP's
error_clip. With 400 N/m it never pushes with more than 20 N."""
SMOOTHING = 0.05
"""Of the 1 kHz filter on setpoints: 20 ms, so that targets at 100 Hz are no stairs."""


@dataclass(frozen=True)
class PandaConfig:
    """Parameters of the driver."""

    robot_ip: str = ""
    """Address of the arm's control unit."""
    frame: str = "base"
    """Frame of the robot's base."""
    joint_prefix: str = "panda_"
    """Before the joints' names: panda_, fer_."""
    rate_hz: float = field(default=100.0, metadata={"range": (10.0, 500.0)})
    """How often the arm tells where it is [Hz]."""
    stiffness: float = field(default=400.0, metadata={"range": (10.0, 2000.0)})
    """Of the tool's position [N/m]."""
    turn_stiffness: float = field(default=30.0, metadata={"range": (1.0, 200.0)})
    """Of the tool's orientation [N m/rad]."""
    posture_stiffness: float = field(default=2.0, metadata={"range": (0.0, 50.0)})
    """With which the elbow stays where it was when the controller was activated [N m/rad]."""
    homing_speed: float = field(default=0.1, metadata={"range": (0.01, 0.5)})
    """Share of the joints' largest speeds, on the way to the neutral posture."""


@dataclass(frozen=True, slots=True, eq=False)
class PandaState:
    joints: Array
    """f64[7] [rad]"""
    ee_pose: Array
    """f64[7], tool centre point in the base frame"""
    wrench: Array
    """f64[6], external force [N] and torque [N m] at the tool, in the base frame"""
    mode: str
    """One of `rlrobo_core.robot.MODES`."""


class PandaArm:
    def __init__(self, library: Any, config: PandaConfig) -> None:
        """ValueError for an arm that cannot be driven."""
        self._library, self._config = library, config
        self._panda = connect(library, config.robot_ip)
        # libfranka refuses to read a state while another thread reads, or starts to control.
        self._lock = threading.Lock()
        self._controller: Any = None
        self._posture = np.zeros(NUM_JOINTS)
        self._measured: Array | None = None
        self._told_at = -1
        self._homing = False
        self.broken = ""
        """Why the controller ended by itself; "" while it has not."""

    @property
    def active(self) -> bool:
        return self._controller is not None

    def read(self) -> PandaState | None:
        """The state, where it is newer than the last one. While a controller runs panda-py gives
        the newest that it got; should its loop hang, an old state is not told again. ValueError
        where the arm is lost."""
        with self._lock:
            if self._homing:
                return None
            self._notice_a_break()
            state = self._newest_state()
            if state.time.to_msec() == self._told_at:
                return None
            self._told_at = state.time.to_msec()
            self._measured = pose_of(np.array(state.O_T_EE))
            return PandaState(
                np.array(state.q),
                self._measured,
                np.array(state.O_F_ext_hat_K),
                self._mode_of(state),
            )

    def activate(self) -> None:
        """Hold the measured pose with the impedance controller. `Refused` where it may not."""
        with self._lock:
            if self.active:
                return
            state = self._idle_state()
            config = self._config
            stiffness = [config.stiffness] * 3 + [config.turn_stiffness] * 3
            controller = self._library.controllers.CartesianImpedance(
                impedance=np.diag(stiffness),
                nullspace_stiffness=config.posture_stiffness,
                filter_coeff=SMOOTHING,
            )
            self._posture = np.array(state.q)
            self.broken = ""
            try:
                self._panda.start_controller(controller)
            except RuntimeError as error:
                raise Refused(f"the arm did not start its controller: {error}") from None
            self._controller = controller

    def deactivate(self) -> None:
        """The arm stands still, whatever it did. `Refused` where it could not be told."""
        with self._lock:
            self.broken = ""
            try:
                if self._homing or self.active:
                    self._panda.stop_controller()
            except RuntimeError as error:
                raise Refused(f"the controller was not stopped: {error}") from None
            self._controller = None

    def follow(self, target: Array) -> None:
        """Towards the pose f64[7], while active."""
        with self._lock:
            if self._controller is None or self._measured is None:
                return
            step, turn = way_between(self._measured, target)
            position = self._measured[:3] + shortened(step, MAX_ERROR)
            quaternion = turned(self._measured[3:], shortened(turn, MAX_TURN_ERROR))
            # panda-py's default posture is another one: without ours the elbow would swing there
            self._controller.set_control(position, np.array(quaternion), self._posture)

    def recover(self) -> str:
        """Out of a reflex, as far as that goes; the mode afterwards."""
        with self._lock:
            if self.active or self._homing:
                raise Refused("the arm is active: call disarm first")
            try:
                self._panda.recover()
                return self._mode_of(self._panda.get_state())
            except RuntimeError as error:
                raise Refused(f"the arm did not recover: {error}") from None

    def home(self) -> str:
        """Move the joints to the neutral posture; returns when it is there or was stopped."""
        with self._lock:
            self._idle_state()
            self._homing = True
        try:
            arrived = self._panda.move_to_joint_position(
                NEUTRAL, speed_factor=self._config.homing_speed
            )
        except RuntimeError as error:
            raise Refused(f"homing was interrupted: {error}") from None
        finally:
            self._homing = False
        if not arrived:
            raise Refused("homing ended before the neutral posture was reached")
        return "in the neutral posture"

    def close(self) -> None:
        self.deactivate()

    def _idle_state(self) -> Any:
        """`Refused` where the arm is not at rest and well. panda-py would itself recover from an
        error before it starts a controller: nobody asked for that."""
        if self.active or self._homing:
            raise Refused("the arm is active: call disarm first")
        state = self._panda.get_state()
        mode = self._mode_of(state)
        if mode not in MOVABLE or state.current_errors:
            raise Refused(
                f"the arm is in mode {mode!r} ({state.current_errors}); release the user stop, or "
                "call recover"
            )
        return state

    def _newest_state(self) -> Any:
        try:
            return self._panda.get_state()
        except RuntimeError as error:
            raise ValueError(
                f"the arm at {self._config.robot_ip} was lost: {error}; check the cable and FCI in "
                "Desk, then launch again"
            ) from None

    def _notice_a_break(self) -> None:
        """panda-py's loop ends in a thread of its own, and its last state stays behind."""
        try:
            self._panda.raise_error()
        except RuntimeError as error:
            self.broken = str(error)
            self._panda.stop_controller()
            self._controller = None

    def _mode_of(self, state: Any) -> str:
        mode = MODE_OF[state.robot_mode.name]
        return "other" if self.broken and mode in MOVABLE else mode
