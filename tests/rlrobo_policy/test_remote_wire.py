"""The bytes on the wire: what was sent comes back, and nothing but numbers is ever read."""

from __future__ import annotations

import pickle
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rlrobo_policy.remote.wire import pack, unpack

NUMBERS = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes()
).filter(lambda dtype: dtype.itemsize <= 8)


@settings(max_examples=50, deadline=None)
@given(array=hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
def test_arrays_come_back_bit_for_bit(array: np.ndarray) -> None:
    back = unpack(pack({"a": array}))["a"]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


def test_scalars_text_and_maps_come_back() -> None:
    said = {"n": np.float32(0.5), "text": "grün", "map": {"a": [1, 2.5, None, True]}}
    assert unpack(pack(said)) == said
    assert isinstance(unpack(pack(said))["n"], np.float32)


def array(**change: Any) -> bytes:
    fields = {b"__ndarray__": True, b"data": b"\0" * 8, b"dtype": "<f4", b"shape": [2]}
    fields |= {key.encode(): value for key, value in change.items()}
    return msgpack.packb({"a": fields})


def test_the_damages_below_are_damages() -> None:
    assert unpack(array())["a"].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", ["O", "|O", "V8", "<U2", "S8", "<c8", "<M8[s]", "f4,f4", 7, None])
def test_nothing_but_numbers_is_read(dtype: object) -> None:
    with pytest.raises(ValueError, match="only numbers"):
        unpack(array(dtype=dtype, data=pickle.dumps(print)))


@pytest.mark.parametrize(
    "shape", [[3], [-2], [2, 2], [2.0], ["2"], [-1, -2], [2**62, 4], [True, 2], 2, None]
)
def test_shapes_that_do_not_fit_are_refused(shape: object) -> None:
    with pytest.raises(ValueError):
        unpack(array(shape=shape))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        pack({"a": 1})[:-1],
        pack({"a": 1}) + b"\0",
        msgpack.packb([1]),
        msgpack.packb({1: 2}),
        msgpack.packb({"a": {b"__ndarray__": True}}),
        msgpack.packb({"a": {b"__npgeneric__": True, b"dtype": "<f4", b"data": [1]}}),
        msgpack.packb({"a": {b"__npgeneric__": True, b"dtype": "|u1", b"data": 300}}),
        b"\x91" * 100_000,
        pickle.dumps({"a": 1}),
    ],
)
def test_what_is_no_message_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(data)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_value_error(data: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(unpack(data), dict)


@pytest.mark.parametrize("value", [np.array([None]), np.array(["a"]), object(), np.complex64(1)])
def test_objects_are_not_sent(value: object) -> None:
    with pytest.raises(ValueError, match=r"only numbers|cannot be sent"):
        pack({"a": value})
