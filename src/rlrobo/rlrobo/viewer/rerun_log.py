"""A sight in rerun: the robot by its URDF, camera, markers, text and curves.

rerun-sdk is an extra (requirements-viewer.txt): it is imported only here, when it is asked for.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from rlrobo.viewer.sight import Sight, advantage_color, state_color
from rlrobo_core.rotation import rotated
from rlrobo_core.urdf import BASE_LINK, panda_urdf, positions

PREFIX = "panda_"
"""Of the names in our own URDF."""
AXIS = 0.06
"""Length of the target's axes [m]."""
TIMELINE = "time"
IN_SPACE = ["+ /panda/visual_geometries/**", "+ /scene/**", "+ /tf/**", "+ /tf_static/**"]
"""What the 3D view shows."""


def load_rerun() -> Any:
    """The module. ValueError where it is not installed."""
    try:
        import rerun
        import rerun.blueprint
        import rerun.urdf
    except ImportError as error:
        raise ValueError(
            f"viewer:=rerun needs rerun-sdk ({error}): ./rlrobo shell pip install -r "
            "requirements-viewer.txt"
        ) from None
    return rerun


@dataclass
class RerunLog:
    rr: Any
    """The module."""
    stream: Any
    where: str
    """Where it can be seen, a sentence."""
    _joints: dict[str, Any] = field(default_factory=dict)
    _curves: dict[str, float] = field(default_factory=dict)
    """The last value of each."""
    _image: Any = None
    """The last one that was logged: a camera may be slower than the arm."""

    @staticmethod
    def open(file: str = "") -> RerunLog:
        """Write `file`; without one open a window, or serve a page where there is no display.
        ValueError where rerun is not installed or the file cannot be written."""
        rr = load_rerun()
        stream = rr.RecordingStream("rlrobo")
        log = RerunLog(rr, stream, _connect(rr, stream, file))
        log._draw_robot()
        return log

    def close(self) -> None:
        self.stream.flush()
        self.stream.disconnect()

    def show(self, sight: Sight, stamp: float) -> None:
        """`stamp`: seconds since 1970."""
        rr, log = self.rr, self.stream.log
        self.stream.set_time(TIMELINE, timestamp=stamp)
        angles = tuple(sight.joints.tolist())
        for name, position in positions(PREFIX, angles, sight.gripper_width).items():
            log(f"tf/{name}", self._joints[name].compute_transform(position, clamp=False))
        log("scene/trail", rr.LineStrips3D([sight.trail_L], colors=[(25, 150, 240)], radii=0.003))
        self._show_target(sight)
        self._show_candidates(sight)
        if sight.workspace:
            low, high = sight.workspace
            color = _bytes(state_color(sight.state))
            log("scene/workspace", rr.Boxes3D(mins=[low], sizes=[high - low], colors=[color]))
        if sight.image is not None and sight.image is not self._image:
            log("camera", rr.Image(sight.image))
            self._image = sight.image
        log("text", rr.TextDocument(sight.text))
        self._scalars(sight.numbers)

    def curves(self, value_of: Mapping[str, float], stamp: float) -> None:
        """Those that are news: diagnostics repeat them every second."""
        self.stream.set_time(TIMELINE, timestamp=stamp)
        self._scalars({k: v for k, v in value_of.items() if self._curves.get(k) != v})
        self._curves |= value_of

    def _scalars(self, value_of: Mapping[str, float]) -> None:
        for key, value in value_of.items():
            self.stream.log(f"curves/{key}", self.rr.Scalars(value))

    def _show_target(self, sight: Sight) -> None:
        if sight.target is None:
            self.stream.log("scene/target", self.rr.Clear(recursive=False))
            return
        ends = [rotated(sight.target[3:], AXIS * axis) for axis in np.eye(3)]
        arrows = self.rr.Arrows3D(
            origins=[sight.target[:3]] * 3,
            vectors=ends,
            colors=[(230, 50, 50), (50, 200, 50), (50, 100, 255)],
        )
        self.stream.log("scene/target", arrows)

    def _show_candidates(self, sight: Sight) -> None:
        tried = sight.candidates
        points = self.rr.Points3D(
            [it.position for it in tried] or np.zeros((0, 3)),
            colors=[_bytes(advantage_color(it.advantage)) for it in tried],
            radii=[0.012 if it.chosen else 0.007 for it in tried],
            labels=["" if it.advantage is None else f"{it.advantage:+.2f}" for it in tried],
            show_labels=False,
        )
        self.stream.log("scene/candidates", points)

    def _draw_robot(self) -> None:
        rr = self.rr
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "panda.urdf")
            path.write_text(panda_urdf(PREFIX))
            robot = rr.urdf.UrdfTree.from_file_path(path)
            robot.log_urdf_to_recording(self.stream)
            self._joints = {joint.name: joint for joint in robot.joints()}
        for entity in ("trail", "target", "candidates", "workspace"):
            self.stream.log(f"scene/{entity}", rr.CoordinateFrame(BASE_LINK), static=True)


def _connect(rr: Any, stream: Any, file: str) -> str:
    looks = _blueprint(rr)
    if file:
        path = Path(file)
        if not path.parent.is_dir():
            raise ValueError(f"viewer_file {file}: there is no folder {path.parent}; make it first")
        stream.save(path, default_blueprint=looks)
        return f"writing {path}; look at it with: rerun {path}"
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        stream.spawn(default_blueprint=looks)
        return "showing in rerun's window"
    address = stream.serve_grpc(default_blueprint=looks)
    rr.serve_web_viewer(open_browser=False, connect_to=address)
    page = f"http://localhost:9090?url={quote(address, safe='')}"
    return f"no display here: open {page} in a browser"


def _blueprint(rr: Any) -> Any:
    rrb = rr.blueprint
    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Spatial3DView(origin="/", contents=IN_SPACE, name="robot"),
            rrb.Vertical(
                rrb.Spatial2DView(origin="/camera", name="camera"),
                rrb.TextDocumentView(origin="/text", name="step"),
                rrb.TimeSeriesView(origin="/curves", name="curves"),
                row_shares=[3, 1, 2],
            ),
            column_shares=[2, 1],
        ),
        collapse_panels=True,
    )


def _bytes(rgba: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(round(255 * it) for it in rgba)
