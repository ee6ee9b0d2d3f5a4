"""What a policy sees of a camera's image, held by a golden image."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from rlrobo_core.preprocess import policy_image

GOLDEN = "ba6954ba5c980e5427cac06f4dc06c1635dc9f0d76614fe7a933162f43579f51"
"""sha256 of the pixels that `camera_picture` became when this was written."""


def camera_picture(height: int, width: int) -> np.ndarray:
    """Gradients, edges and fine stripes, from integers alone."""
    rows, columns = np.mgrid[:height, :width]
    red = (rows * 255) // height
    green = ((columns // 7) % 2) * 255
    blue = (rows * 3 + columns * 5) % 256
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def test_the_golden_image() -> None:
    seen = policy_image(camera_picture(480, 640), 112)
    assert hashlib.sha256(seen.tobytes()).hexdigest() == GOLDEN


def test_what_a_simulated_camera_renders_passes_unchanged() -> None:
    picture = camera_picture(112, 112)
    np.testing.assert_array_equal(policy_image(picture, 112), picture)


def test_a_pixel_is_the_average_of_the_area_that_it_covers() -> None:
    picture = camera_picture(448, 448)
    areas = picture.reshape(112, 4, 112, 4, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(policy_image(picture, 112) - areas).max() <= 1.0  # of rounding, twice


def test_the_square_is_cut_from_the_middle_and_nothing_is_mirrored_or_swapped() -> None:
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:, :100] = 255  # outside of the square
    picture[:50, 100:150] = (200, 0, 0)
    picture[50:, 150:200] = (0, 0, 100)
    seen = policy_image(picture, 20)
    assert (seen[:10, :10] == (200, 0, 0)).all() and (seen[10:, 10:] == (0, 0, 100)).all()
    assert not seen[:10, 10:].any() and not seen[10:, :10].any()


@pytest.mark.parametrize("pixels", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_what_is_not_rgb_is_refused(pixels) -> None:
    with pytest.raises(ValueError, match="rgb8"):
        policy_image(pixels, 8)
