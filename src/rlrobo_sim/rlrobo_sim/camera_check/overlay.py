"""Two pictures of one scene over each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rlrobo_core.preprocess import Pixels, policy_image

STEEP = 12.0
"""Of 255 a pixel: a change of brightness that shading does not make, but an outline does."""
OUTLINE = (0, 255, 0)


def outlines(pixels_HW: Pixels) -> NDArray[np.bool_]:
    """bool[H, W]: where brightness changes from one pixel to the next."""
    brightness = pixels_HW.astype(np.float64).mean(axis=-1)
    down, right = np.gradient(brightness)
    return np.hypot(down, right) > STEEP


def overlay(live_HW: Pixels, simulated_SS: Pixels) -> Pixels:
    """u8[S, 3 S, 3] of u8[H, W, 3] and u8[S, S, 3], RGB: the live picture as the policy sees it,
    with the outlines of the simulated one; the mean of both; the simulated one."""
    live_SS = policy_image(live_HW, len(simulated_SS))
    outlined = live_SS.copy()
    outlined[outlines(simulated_SS)] = OUTLINE
    mean = (live_SS.astype(np.uint16) + simulated_SS) // 2
    return np.concatenate([outlined, mean.astype(np.uint8), simulated_SS], axis=1)
