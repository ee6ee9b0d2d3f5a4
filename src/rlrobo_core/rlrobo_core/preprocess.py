"""The one way from a camera's image to what a policy sees. A simulated camera renders what comes
out of it, square and of the policy's size, which passes unchanged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def policy_image(pixels_HW: Pixels, size: int) -> Pixels:
    """u8[size, size, 3] of u8[H, W, 3], RGB both: the largest square in the middle, each pixel
    the average of the area that it covers. (Libraries differ in how they interpolate, and in
    whether they average at all when they shrink; a golden image in the tests holds this.)"""
    if pixels_HW.ndim != 3 or pixels_HW.shape[2] != 3 or pixels_HW.dtype != np.uint8:
        raise ValueError(
            f"an image of shape {pixels_HW.shape} and type {pixels_HW.dtype} is not RGB: that is "
            "[H, W, 3] of uint8; convert it to rgb8"
        )
    square = central_square(pixels_HW)
    if square.shape[:2] == (size, size):
        return square
    picture = Image.fromarray(np.ascontiguousarray(square))
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX))


def central_square(pixels_HW: Pixels) -> Pixels:
    height, width = pixels_HW.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels_HW[top : top + side, left : left + side]
