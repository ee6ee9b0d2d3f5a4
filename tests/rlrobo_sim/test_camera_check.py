"""Pictures that agree lie over each other, and those that do not are seen to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlrobo_core.panda import NEUTRAL
from rlrobo_sim.camera_check.overlay import OUTLINE, outlines, overlay
from rlrobo_sim.camera_check.view import (
    CameraCheckConfig,
    SimulatedView,
    read_picture,
    write_picture,
)

SIZE = 96


@pytest.fixture(scope="module")
def view():
    it = SimulatedView(CameraCheckConfig(size=SIZE))
    yield it
    it.close()


@pytest.fixture(scope="module")
def pictures(view: SimulatedView) -> tuple[np.ndarray, np.ndarray]:
    """The arm in the neutral posture, and turned at its base."""
    neutral = view.render()
    turned = view.render(NEUTRAL + np.eye(7)[0] * 0.3)
    np.testing.assert_array_equal(view.render(NEUTRAL), neutral)
    return neutral, turned


def test_the_simulated_arm_stands_as_the_real_one(pictures) -> None:
    neutral, turned = pictures
    assert neutral.shape == (SIZE, SIZE, 3)
    assert (neutral != turned).any(axis=-1).mean() > 0.02


def test_a_picture_of_the_same_lies_under_its_outlines(pictures) -> None:
    neutral, turned = pictures
    drawn = overlay(neutral, neutral)
    assert drawn.shape == (SIZE, 3 * SIZE, 3) and drawn.dtype == np.uint8
    outlined, mean, simulated = np.split(drawn, 3, axis=1)
    np.testing.assert_array_equal(mean, neutral)
    np.testing.assert_array_equal(simulated, neutral)
    kept = ~outlines(neutral)
    np.testing.assert_array_equal(outlined[kept], neutral[kept])
    assert (outlined[~kept] == OUTLINE).all() and 0.02 < (~kept).mean() < 0.2
    apart = np.abs(overlay(turned, neutral)[:, SIZE : 2 * SIZE].astype(int) - neutral)
    assert apart.max() > 20, "another posture is not hidden by the mean"


def test_a_live_picture_is_cut_as_the_policy_sees_it(pictures) -> None:
    neutral, _ = pictures
    wide = np.zeros((2 * SIZE, 3 * SIZE, 3), np.uint8)
    wide[:, SIZE // 2 : -SIZE // 2] = np.repeat(np.repeat(neutral, 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(overlay(wide, neutral), overlay(neutral, neutral))


def test_pictures_come_back_from_their_files(pictures, tmp_path: Path) -> None:
    path = str(tmp_path / "check.png")
    write_picture(path, pictures[0])
    np.testing.assert_array_equal(read_picture(path), pictures[0])
    assert [it.name for it in tmp_path.iterdir()] == ["check.png"]
    (tmp_path / "no.png").write_text("no picture")
    for name in ("no.png", "absent.png"):
        with pytest.raises(ValueError, match="give a PNG or JPEG"):
            read_picture(str(tmp_path / name))


def test_one_scene_is_drawn() -> None:
    with pytest.raises(ValueError, match="one scene is drawn; choose one of"):
        SimulatedView(CameraCheckConfig(task="all"))
