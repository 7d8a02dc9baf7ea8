"""Bytes on their way to a decoder that would end the process: what passes is a PNG that we wrote."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.serving import RequestError
from ort_rrelu.serving.image_guard import checked_image, image_inputs
from tests.serving_models import parse

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3)).astype(np.uint8)


def encoded(form: str, mode: str = "RGB") -> bytes:
    written = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(written, form)
    return written.getvalue()


def decoded(data: bytes | bytearray) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    image.load()
    assert image.mode == "RGB"
    return image


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_png_keeps_its_pixels(mode: str) -> None:
    data = encoded("PNG", mode)
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    assert np.array_equal(np.asarray(decoded(checked_image(data))), np.asarray(expected))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_keeps_its_pixels(mode: str) -> None:
    data = encoded("JPEG", mode)
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    assert np.array_equal(np.asarray(decoded(checked_image(data))), np.asarray(expected))


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_formats_are_refused(form: str) -> None:
    with pytest.raises(RequestError, match="not a whole JPEG or PNG image"):
        checked_image(encoded(form))


@given(end=st.integers(0, len(encoded("JPEG")) - 100))
def test_jpeg_cut_short(end: int) -> None:
    with pytest.raises(RequestError, match="not a whole JPEG or PNG image"):
        checked_image(encoded("JPEG")[:end])


@given(data=st.data(), form=st.sampled_from(["JPEG", "PNG"]))
def test_damage_is_refused_or_decoded(data: st.DataObject, form: str) -> None:
    damaged = bytearray(encoded(form))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        checked = checked_image(bytes(damaged))
    except RequestError:
        return
    decoded(checked)


@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(RequestError):
        checked_image(data)


def test_too_many_pixels() -> None:
    """Said by the header, before anything is decoded."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 2**14, 2**13, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(RequestError, match=f"the image is 16384 x 8192, {2**27} pixels: at most {2**24}"):
        checked_image(data)


def test_inputs_that_are_images() -> None:
    text = "g (uint8[n] a, uint8[m] b) => (uint8[h,w,3] y) { c = Identity (a) \n y = DecodeImage (c) }"
    for domain in ("ai.onnx.contrib", "com.microsoft.extensions"):
        model = parse(text)
        model.graph.node[1].domain = domain
        assert image_inputs(model) == {"a"}
    assert image_inputs(parse(text)) == set()  # of another domain


def test_image_from_elsewhere_is_refused() -> None:
    model = parse("g (uint8[n] a) => (uint8[h,w,3] y) { c = Add (a, a) \n y = DecodeImage (c) }")
    model.graph.node[1].domain = "ai.onnx.contrib"
    with pytest.raises(InvalidValueError, match='output "y" decodes bytes that are no input'):
        image_inputs(model)


def test_grey_of_16_bits_keeps_the_upper_8() -> None:
    """As DecodeImage has it, and as Pillow does where there is colour; its convert() would clip at 255."""
    written = io.BytesIO()
    deep = np.random.default_rng(0).integers(0, 2**16, (24, 20)).astype(np.uint16)
    Image.fromarray(deep).save(written, "PNG")
    assert Image.open(io.BytesIO(written.getvalue())).mode.startswith("I")
    pixels = np.asarray(decoded(checked_image(written.getvalue())))
    assert np.array_equal(pixels, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_grey_of_16_bits_cut_short() -> None:
    written = io.BytesIO()
    Image.fromarray(np.arange(10_000, dtype=np.uint16).reshape(100, 100)).save(written, "PNG")
    with pytest.raises(RequestError, match="not a whole JPEG or PNG image"):
        checked_image(written.getvalue()[:-60])
