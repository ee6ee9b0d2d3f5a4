"""Messages as bytes: msgpack with openpi's numpy extension (openpi_client/msgpack_numpy.py).

An array is {b"__ndarray__": True, b"data": bytes, b"dtype": str, b"shape": [...]}, a numpy scalar
{b"__npgeneric__": True, b"data": number, b"dtype": str}. Arrays are of truth values or real
numbers, nothing else: what a stranger sends is read as numbers or not at all, never unpickled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
"""numpy's `dtype.str` of truth values, whole numbers and IEEE floating-point numbers."""

Message = dict[str, Any]


def pack(message: Mapping[str, Any]) -> bytes:
    """ValueError where it holds an array of something else than numbers."""
    return msgpack.packb(message, default=_to_plain)  # pyright: ignore[reportReturnType]


def unpack(data: bytes) -> Message:
    """The message; its arrays are read-only. ValueError where `data` is not one whole message."""
    try:
        message = msgpack.unpackb(data, object_hook=_from_plain)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise ValueError(f"not a message of openpi's format: {error}") from error
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise ValueError("not a message of openpi's format: it must be a map from names to values")
    return message


def _to_plain(value: object) -> Message | dict[bytes, Any]:
    if isinstance(value, np.ndarray):
        dtype = _dtype(value.dtype.str)
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": dtype.str,
            b"shape": value.shape,
        }
    if isinstance(value, np.generic):
        dtype = _dtype(value.dtype.str)
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": dtype.str}
    raise ValueError(f"a {type(value).__name__} cannot be sent; send numbers, text and arrays")


def _from_plain(value: dict[Any, Any]) -> Any:
    if b"__ndarray__" in value:
        return _array(value[b"data"], _dtype(value[b"dtype"]), value[b"shape"])
    if b"__npgeneric__" in value:
        return _dtype(value[b"dtype"]).type(_number(value[b"data"]))
    return value


def _array(data: bytes, dtype: np.dtype[Any], shape: list[int]) -> NDArray[Any]:
    whole = all(type(size) is int and size >= 0 for size in shape)
    if not whole or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes are no array of shape {shape} and dtype {dtype}")
    return np.frombuffer(data, dtype).reshape(shape)


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"a number was announced, and {type(value).__name__} came")
    return value


def _dtype(text: object) -> np.dtype[Any]:
    if not isinstance(text, str) or not NUMBERS.fullmatch(text):
        raise ValueError(f"arrays of dtype {str(text)[:20]!r} are not read or sent, only numbers")
    return np.dtype(text)
