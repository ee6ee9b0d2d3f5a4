"""A calibration is a rigid place of every camera; what is none is refused in a sentence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from rlrobo_robot.calibration.file import CameraPlace, read_calibration

FRONT = {
    "parent": "base",
    "child": "camera_color_optical_frame",
    "translation": [0.95, 0.0, 0.55],
    "rotation": [-0.6124, -0.6124, 0.3536, 0.3536],
}


def written(folder: Path, content: object) -> str:
    path = folder / "calibration.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_it_comes_back_with_a_unit_quaternion(tmp_path: Path) -> None:
    wrist = FRONT | {
        "parent": "panda_hand",
        "child": "wrist_optical_frame",
        "translation": [0, 0, 0],
    }
    places = read_calibration(written(tmp_path, {"cameras": {"front": FRONT, "wrist": wrist}}))
    assert list(places) == ["front", "wrist"]
    front = places["front"]
    assert front.translation == (0.95, 0.0, 0.55) and front.parent == "base"
    assert math.hypot(*front.rotation) == pytest.approx(1.0, abs=1e-12)
    assert front.rotation == pytest.approx(FRONT["rotation"], abs=1e-3)


def test_the_example_of_the_documentation_is_one(tmp_path: Path) -> None:
    docs = (Path(__file__).parents[2] / "docs/real_robot.md").read_text()
    (example,) = [it for it in docs.split("\n\n") if it.lstrip().startswith("cameras:")]
    (place,) = read_calibration(written(tmp_path, example)).values()
    assert isinstance(place, CameraPlace)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[", "is no YAML"),
        ({}, "has no 'cameras:'"),
        ({"cameras": {}}, "has no camera"),
        ({"cameras": {"side": FRONT}}, "no camera 'side', but: front, wrist"),
        ({"cameras": {"front": {"parent": "base"}}}, "must have parent, child, translation"),
        ({"cameras": {"front": FRONT | {"child": ""}}}, "child of camera 'front' is '' and"),
        ({"cameras": {"front": FRONT | {"child": "base"}}}, "fixed to itself"),
        ({"cameras": {"front": FRONT | {"translation": [1, 2]}}}, "write 3 numbers"),
        ({"cameras": {"front": FRONT | {"translation": [1, 2, math.nan]}}}, "write 3 numbers"),
        ({"cameras": {"front": FRONT | {"translation": [950, 0, 550]}}}, "in metres"),
        ({"cameras": {"front": FRONT | {"rotation": [1.0, 1.0, 0, 0]}}}, "no unit quaternion"),
        ({"cameras": {"front": FRONT, "wrist": FRONT}}, "two cameras have the frame"),
    ],
)  # fmt: skip
def test_what_is_no_calibration_is_refused_in_one_sentence(
    tmp_path: Path, content: object, sentence: str
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=sentence) as refused:
        read_calibration(path)
    assert path in str(refused.value) and "\n" not in str(refused.value)


def test_no_calibration_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"calibration:=calibration\.yaml"):
        read_calibration("")
    with pytest.raises(ValueError, match="No such file"):
        read_calibration("nowhere.yaml")
