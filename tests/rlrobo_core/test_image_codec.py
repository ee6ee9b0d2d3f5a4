"""Image bytes: round trips, padding, byte order, conversion, clear errors, cv_bridge's results."""

import numpy as np
import pytest

from rlrobo_core.image_codec import ENCODINGS, convert, decode, encode

HEIGHT, WIDTH = 5, 7
EIGHT_BIT = [name for name, encoding in ENCODINGS.items() if encoding.dtype == "u1"]


def random_image(encoding: str, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    dtype, channels = ENCODINGS[encoding]
    shape = (height, width) + ((len(channels),) if len(channels) > 1 else ())
    return np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("is_bigendian", [False, True])
def test_round_trip_through_padded_rows_of_either_byte_order(encoding, padding, is_bigendian):
    image = random_image(encoding)
    stored = image.byteswap() if is_bigendian else image
    rows = [row.tobytes() + b"\xee" * padding for row in stored]
    decoded = decode(b"".join(rows), HEIGHT, WIDTH, encoding, len(rows[0]), is_bigendian)
    np.testing.assert_array_equal(decoded, image)
    assert decoded.dtype.isnative


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encode_is_the_inverse_of_decode(encoding):
    image = random_image(encoding)
    data = encode(image, encoding)
    np.testing.assert_array_equal(decode(data, HEIGHT, WIDTH, encoding, len(data) // HEIGHT), image)


def test_an_unpadded_image_is_not_copied():
    data = encode(random_image("rgb8"), "rgb8")
    decoded = decode(data, HEIGHT, WIDTH, "rgb8", WIDTH * 3)
    assert np.shares_memory(decoded, data)


@pytest.mark.parametrize("source", EIGHT_BIT)
@pytest.mark.parametrize("target", EIGHT_BIT)
def test_conversion_keeps_grey_grey_and_colour_in_its_channel(source, target):
    grey = np.full_like(random_image(source), 77)
    converted = convert(grey, source, target)
    channels = ENCODINGS[target].channels
    assert converted.shape[2:] == ((len(channels),) if len(channels) > 1 else ())
    for index, name in enumerate(channels if len(channels) > 1 else ""):
        expected = 77 if name != "a" or "a" in ENCODINGS[source].channels else 255
        assert (converted[..., index] == expected).all()


@pytest.mark.parametrize("target", ["bgr8", "rgba8", "bgra8"])
def test_colour_conversion_there_and_back_is_exact(target):
    image = random_image("rgb8")
    np.testing.assert_array_equal(convert(convert(image, "rgb8", target), target, "rgb8"), image)


def test_grey_is_rounded_as_opencv_rounds_it():
    """Where 14 bits of weights would say one less; OpenCV 4.6 says this."""
    rgb = np.array([[[0, 153, 85], [0, 204, 68], [17, 170, 102]]], np.uint8)
    assert convert(rgb, "rgb8", "mono8").tolist() == [[100, 128, 117]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((HEIGHT, WIDTH, "yuv422", WIDTH * 3), ["yuv422", "rgb8"]),
        ((HEIGHT, WIDTH, "rgb8", WIDTH), ["step 7", "21 bytes"]),
        ((HEIGHT + 1, WIDTH, "rgb8", WIDTH * 3), ["105 bytes", "6 rows"]),
        ((HEIGHT, WIDTH, "rgb8", WIDTH * 3, False, "32FC1"), ["rgb8", "32FC1"]),
    ],
)
def test_what_cannot_be_decoded_is_named(arguments, words):
    with pytest.raises(ValueError) as error:
        decode(bytes(HEIGHT * WIDTH * 3), *arguments)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("wrong", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.float32)])
def test_encode_refuses_pixels_of_another_shape_or_type(wrong):
    with pytest.raises(ValueError, match="rgb8"):
        encode(wrong, "rgb8")


@pytest.mark.parametrize("source", ENCODINGS)
@pytest.mark.parametrize("target", [*ENCODINGS, "passthrough"])
def test_equal_to_cv_bridge(source, target):
    cv_bridge = pytest.importorskip("cv_bridge")
    image = random_image(source, 64, 96)
    message = cv_bridge.CvBridge().cv2_to_imgmsg(image, source)
    assert bytes(encode(image, source)) == bytes(message.data)
    if target == "passthrough" or ENCODINGS[target].dtype == ENCODINGS[source].dtype == "u1":
        expected = cv_bridge.CvBridge().imgmsg_to_cv2(message, target)
        ours = decode(bytes(message.data), 64, 96, source, message.step, False, target)
        np.testing.assert_array_equal(ours, expected)
