"""The cameras' places as static transforms: calibration.yaml --> [calibration] --> tf_static."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from rlrobo_core.ros.channels import QOS_LATCHED
from rlrobo_core.ros.nodes import PlainNode
from rlrobo_core.ros.parameters import declare_parameters
from rlrobo_core.ros.running import run_and_exit
from rlrobo_robot.calibration.file import CameraPlace, read_calibration


@dataclass(frozen=True)
class CalibrationConfig:
    """The node's parameters."""

    calibration: str = ""
    """File with the cameras' places (rlrobo_robot/calibration/file.py)."""


class CalibrationNode(PlainNode):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__("calibration", **kwargs)
        places = read_calibration(declare_parameters(self, CalibrationConfig).calibration)
        self.facts |= {name: f"{it.parent} to {it.child}" for name, it in places.items()}
        self._static = self.create_publisher(TFMessage, "tf_static", QOS_LATCHED)
        self._static.publish(TFMessage(transforms=[self._stamped(it) for it in places.values()]))

    def _stamped(self, place: CameraPlace) -> TransformStamped:
        (x, y, z), (qx, qy, qz, qw) = place.translation, place.rotation
        return TransformStamped(
            header=Header(stamp=self.get_clock().now().to_msg(), frame_id=place.parent),
            child_frame_id=place.child,
            transform=Transform(
                translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw)
            ),
        )


def main() -> None:
    run_and_exit(CalibrationNode)
