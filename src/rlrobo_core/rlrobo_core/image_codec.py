"""Pixels to bytes and back, with the encodings and the meaning of cv_bridge, on numpy alone.

cv_bridge's rules: `decode` without a desired encoding hands back what is stored; with one it
converts among the 8-bit encodings (channels reordered, alpha added as 255 or dropped, grey by
OpenCV's weights). Depth and float images are handed on unchanged or not at all.
(cv_bridge itself is broken on NumPy 2: vision_opencv issue 535.)
"""

from __future__ import annotations

from array import array
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[Any]


class Encoding(NamedTuple):
    """How one pixel is stored: `channels` in this order, each of `dtype`."""

    dtype: str
    channels: str


ENCODINGS: dict[str, Encoding] = {
    "rgb8": Encoding("u1", "rgb"),
    "bgr8": Encoding("u1", "bgr"),
    "rgba8": Encoding("u1", "rgba"),
    "bgra8": Encoding("u1", "bgra"),
    "mono8": Encoding("u1", "y"),
    "16UC1": Encoding("u2", "z"),
    "32FC1": Encoding("f4", "z"),
}
"""The encodings of sensor_msgs/image_encodings.hpp that a robot's cameras send."""

LUMA_RGB = np.array([9798, 19235, 3735], np.uint32)
"""0.299 R + 0.587 G + 0.114 B in 1/2**15, as OpenCV 4 has it (imgproc/color_rgb): of a million
random pixels of each encoding cv_bridge with OpenCV 4.6 said the same of every one."""


def encoding_of(name: str) -> Encoding:
    if name not in ENCODINGS:
        raise ValueError(f"unknown image encoding {name!r}; choose one of: {', '.join(ENCODINGS)}")
    return ENCODINGS[name]


def encode(pixels: Pixels, encoding: str) -> NDArray[np.uint8]:
    """The bytes, u8[n], of an image [H, W] or [H, W, channels], rows without padding, little
    endian; a view of contiguous pixels, not a copy. ValueError where they do not fit."""
    dtype, channels = encoding_of(encoding)
    depth = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if pixels.ndim not in (2, 3) or depth != len(channels) or pixels.dtype != np.dtype(dtype):
        raise ValueError(
            f"an image of shape {pixels.shape} and type {pixels.dtype} is not {encoding}: "
            f"that is [H, W, {len(channels)}] of {np.dtype(dtype)}"
        )
    stored = np.ascontiguousarray(pixels, np.dtype(dtype).newbyteorder("<"))
    return stored.reshape(-1).view(np.uint8)


def decode(
    data: bytes | array[int] | NDArray[np.uint8],
    height: int,
    width: int,
    encoding: str,
    step: int,
    is_bigendian: bool = False,
    desired: str = "passthrough",
) -> Pixels:
    """[H, W] or [H, W, channels] in native byte order; a view of `data` (read-only where that
    is) when nothing had to be converted. `step` is the length of a row in bytes, its padding
    included. ValueError when size and encoding contradict each other."""
    dtype, channels = encoding_of(encoding)
    stored = np.dtype(dtype).newbyteorder(">" if is_bigendian else "<")
    row = width * len(channels) * stored.itemsize
    if step < row:
        raise ValueError(f"step {step} is too short for {width} pixels of {encoding} ({row} bytes)")
    stored_S = np.frombuffer(data, np.uint8)
    if len(stored_S) < height * step:
        raise ValueError(
            f"{len(stored_S)} bytes are too few for {height} rows of {step} bytes "
            f"({width}x{height} {encoding})"
        )
    bytes_HS = stored_S[: height * step].reshape(height, step)[:, :row]
    shape = (height, width, len(channels)) if len(channels) > 1 else (height, width)
    pixels = np.ascontiguousarray(bytes_HS).view(stored).reshape(shape)
    return convert(pixels.astype(stored.newbyteorder("="), copy=False), encoding, desired)


def convert(pixels: Pixels, encoding: str, desired: str) -> Pixels:
    """`pixels` of one encoding in another; unchanged for `passthrough`."""
    if desired in ("passthrough", encoding):
        return pixels
    (source_type, source), (target_type, target) = encoding_of(encoding), encoding_of(desired)
    if source_type != "u1" or target_type != "u1":
        raise ValueError(f"an image of encoding {encoding} cannot be converted to {desired}")
    if source == "y":
        plane = dict.fromkeys("rgb", pixels)
    else:
        plane = {name: pixels[..., i] for i, name in enumerate(source)}
    if target == "y":
        rgb = np.stack([plane[name] for name in "rgb"], axis=-1).astype(np.uint32)
        return ((rgb @ LUMA_RGB + (1 << 14)) >> 15).astype(np.uint8)
    plane.setdefault("a", np.full(pixels.shape[:2], 255, np.uint8))
    return np.stack([plane[name] for name in target], axis=-1)
