"""Headers of images: what is refused before anything is decoded, and what a decoder does not get to see."""

from __future__ import annotations

import io
import time
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from ort_rrelu.serving import RequestError, image_guard
from ort_rrelu.serving.image_guard import checked_image, read_header, read_image, stored_png
from ort_rrelu.serving.limits import Limits
from tests.servers.hostile import chunk, jpeg_of_scans, png

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3)).astype(np.uint8)


def decoded(data: bytes | bytearray) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def saved(form: str, **options: object) -> bytes:
    written = io.BytesIO()
    Image.fromarray(PIXELS).save(written, form, **options)
    return written.getvalue()


_SIZES: dict[tuple[int, int], str | None] = {
    (16_384, 1024): None,
    (1024, 16_384): None,
    (4096, 4096): None,
    (16_385, 1): "16385 x 1: a side has at most 16384 pixels",
    (1, 2**26 - 1): f"1 x {2**26 - 1}: a side has at most 16384 pixels",
    (4096, 4097): f"4096 x 4097, {4096 * 4097} pixels: at most {2**24}",
    (8192, 8192): f"8192 x 8192, {2**26} pixels: at most {2**24}",
    (0, 5): "its size is 0 x 5",
}


def _jpeg_that_says(width: int, height: int) -> bytes:
    data = bytearray(saved("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def _png_that_says(width: int, height: int) -> bytes:
    return png(width, height, 1, 0, b"")


# A JPEG has two bytes for a side.
_FILES = [(make, size) for make in (_jpeg_that_says, _png_that_says) for size in _SIZES]
_FILES = [(make, size) for make, size in _FILES if make is _png_that_says or max(size) < 2**16]


@pytest.mark.parametrize(("make", "size"), _FILES)
def test_size_is_judged_by_the_header(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[int, int], bytes], size: tuple[int, int]
) -> None:
    def unexpected(*_: object) -> None:
        raise AssertionError("it decodes the image")

    monkeypatch.setattr(image_guard, "decoded_image", unexpected)
    reason = _SIZES[size]
    if reason is None:
        assert read_image(make(*size), Limits()).pixels == size[0] * size[1]
        return
    with pytest.raises(RequestError, match=reason) as caught:
        checked_image(make(*size))
    assert caught.value.status == 400


def test_limits_of_an_image() -> None:
    data = saved("PNG")
    assert np.array_equal(decoded(checked_image(data, Limits(max_pixels=480, max_side=24))), PIXELS)
    for limits in (Limits(max_pixels=479), Limits(max_side=23)):
        with pytest.raises(RequestError, match="the image is 20 x 24"):
            checked_image(data, limits)


_COSTLY: dict[str, Callable[[], bytes]] = {
    "scans": lambda: jpeg_of_scans(2048, 2000),
    "chunks": lambda: png(1, 1, 1, 0, b"\0\0", extra=chunk(b"IDAT", b"") * 10**6),
    "segments": lambda: saved("JPEG")[:2] + b"\xff\xfe\0\2" * 10**6 + saved("JPEG")[2:],
    "filling": lambda: saved("JPEG")[:2] + b"\xff" * 2**24,
    "filling in a scan": lambda: saved("JPEG")[:-2] + (b"\xff" * 10**5 + b"\0") * 100,
    "stuffing in a scan": lambda: saved("JPEG")[:-2] + b"\xff\0" * 2**23,
    "second header": lambda: png(8, 8, 1, 0, bytes(16), extra=chunk(b"IHDR", bytes(13))),
    "header that is not the first": lambda: b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b"") + saved("PNG")[8:],
    "chunk that is longer than the file": lambda: saved("PNG")[:33] + b"\xff\xff\xff\xffIDAT",
}


@pytest.mark.parametrize("name", _COSTLY)
def test_costly_files_are_refused_by_their_parts(name: str) -> None:
    data = _COSTLY[name]()
    began = time.process_time()
    with pytest.raises(RequestError, match="not a whole JPEG or PNG image"):
        read_image(data, Limits())
    assert time.process_time() - began < 2


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    exif[0x010E] = "a" * 50_000
    return bytes(exif.tobytes())


def _text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for index in range(50):
        info.add_text(f"key{index}", "a" * 10_000, zip=True)
        info.add_itxt(f"international{index}", "\u00e9" * 10_000, zip=True)
    return info


_OTHER: dict[str, Callable[[], tuple[bytes, list[bytes]]]] = {
    "EXIF": lambda: (saved("JPEG", exif=_exif(), icc_profile=bytes(10**5)), [b"Exif", b"ICC_PROFILE"]),
    "comment": lambda: (saved("JPEG", comment=b"a comment"), [b"a comment"]),
    "progressive": lambda: (saved("JPEG", progressive=True, exif=_exif()), [b"Exif"]),
    "text": lambda: (saved("PNG", pnginfo=_text(), exif=_exif()), [b"zTXt", b"iTXt", b"eXIf"]),
    "animation": lambda: (
        saved("PNG", save_all=True, append_images=[Image.fromarray(PIXELS[::-1])]),
        [b"acTL", b"fdAT", b"fcTL"],
    ),
    "behind the end": lambda: (saved("JPEG") + b"thumbnail" * 1000, [b"thumbnail"]),
}


@pytest.mark.parametrize("name", _OTHER)
def test_decoder_sees_only_what_the_pixels_need(name: str) -> None:
    data, gone = _OTHER[name]()
    assert all(part in data for part in gone)
    needed = read_header(data).data
    assert not any(part in needed for part in gone)
    assert np.array_equal(decoded(checked_image(data)), decoded(data))


def test_compressed_text_is_not_read() -> None:
    """64 MiB of text in a few kB."""
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20 - 1), 9)) * 64
    data = png(1, 1, 8, 2, bytes(4), extra=bomb)
    assert len(read_header(data).data) < 200
    assert decoded(checked_image(data)).tolist() == [[[0, 0, 0]]]


def test_transparency_and_palette_stay() -> None:
    image = Image.fromarray(PIXELS).quantize(16)
    written = io.BytesIO()
    image.save(written, "PNG", transparency=3)
    assert np.array_equal(decoded(checked_image(written.getvalue())), decoded(written.getvalue()))


@given(data=st.data(), form=st.sampled_from(["JPEG", "PNG"]))
def test_what_passes_is_whole_and_of_its_size(data: st.DataObject, form: str) -> None:
    """Damaged files are refused, or what the decoder sees says the same size as what was judged."""
    damaged = bytearray(saved(form))
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, min(len(damaged) - 1, 700)))] = data.draw(st.integers(0, 255))
    try:
        file = read_image(bytes(damaged), Limits(max_pixels=10**4))
        written = checked_image(bytes(damaged), Limits(max_pixels=10**4))
    except RequestError:
        return
    assert Image.open(io.BytesIO(file.data)).size == (file.width, file.height)
    assert decoded(written).shape == (file.height, file.width, 3)


@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=st.integers(0, 99))
def test_stored_png(size: tuple[int, int], seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    assert np.array_equal(decoded(stored_png(Image.fromarray(pixels))), pixels)


@pytest.mark.parametrize("size", [(1, 400_000), (3000, 130), (700, 700)])
def test_stored_png_of_several_parts(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    written = stored_png(Image.fromarray(pixels))
    assert written.count(b"IDAT") > 2
    assert np.array_equal(decoded(written), pixels)
