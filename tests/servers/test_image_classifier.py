"""Networks joined with image processing: what the joined model sees, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import ort_rrelu
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.serving.images import image_classifier
from ort_rrelu.serving.model import ServedModel
from ort_rrelu.serving.requests import Tensor
from tests.serving_models import parse

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.uint8)


def network(channels: int, more: str = "", node: str = "RRelu (x)") -> onnx.ModelProto:
    """Its scores are its input."""
    return parse(
        f"g (float[batch,{channels},4,4] x{more}) => (float[batch,{channels * 16}] y) "
        f"{{ r = ort_rrelu.{node} \n y = Flatten (r) }}"
    )


def softmax(x: np.ndarray) -> np.ndarray:
    exponential = np.exp(x - x.max())
    return np.asarray(exponential / exponential.sum())


@pytest.mark.parametrize(("channels", "mean", "std"), [(1, [0.5], [0.25]), (3, [0.1, 0.5, 0.9], [1, 0.5, 2])])
def test_network_sees_scaled_pixels(
    tmp_path: Path, channels: int, mean: Sequence[float], std: Sequence[float]
) -> None:
    onnx.save(image_classifier(network(channels), mean=mean, std=std), tmp_path / "m.onnx")
    served = ServedModel(tmp_path / "m.onnx")
    written = io.BytesIO()
    Image.fromarray(PIXELS).save(written, "PNG")
    answer = served.run(served.arrays([Tensor("image", "BYTES", [1], [written.getvalue()])]))
    rgb = PIXELS.transpose(2, 0, 1) / 255
    colours = rgb.mean(0, keepdims=True) if channels == 1 else rgb
    scaled = (colours - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1))
    scores = ort_rrelu.rrelu(scaled.astype(np.float32)).ravel()
    np.testing.assert_allclose(answer["probabilities"][0], softmax(scores), rtol=1e-4)
    assert answer["label"].tolist() == [scores.argmax()]


def test_step_stays_an_input(tmp_path: Path) -> None:
    node = "RRelu <training = 1, seed = 3> (x, step)"
    onnx.save(image_classifier(network(1, ", int64 step", node)), tmp_path / "m.onnx")
    served = ServedModel(tmp_path / "m.onnx")
    assert [spec.name for spec in served.inputs] == ["image", "step"]
    assert not served.batches


_FLAT = "{ y = Flatten (x) }"
_INPUT, _OUTPUT = "first input must be", "must have one output"
_REFUSED: dict[str, tuple[str, str]] = {
    "channels": (f"g (float[b,2,4,4] x) => (float[b,32] y) {_FLAT}", _INPUT),
    "open size": (f"g (float[b,1,h,4] x) => (float[b,n] y) {_FLAT}", _INPUT),
    "double": (f"g (double[b,1,4,4] x) => (double[b,16] y) {_FLAT}", _INPUT),
    "no input": ("g () => (float[b,16] y) { y = Constant <value_float = 1.0> () }", "missing"),
    "rank of scores": ("g (float[b,1,4,4] x) => (float[b,1,4,4] y) { y = Relu (x) }", _OUTPUT),
    "two outputs": (
        "g (float[b,1,4,4] x) => (float[b,16] y, float[b,16] z) { y = Flatten (x) \n z = Flatten (x) }",
        _OUTPUT,
    ),
    "a name of the processing": (
        "g (float[b,1,4,4] image) => (float[b,16] y) { label = Relu (image) \n y = Flatten (label) }",
        "cannot be joined",
    ),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_network_refused(name: str) -> None:
    text, reason = _REFUSED[name]
    with pytest.raises(InvalidValueError, match=reason):
        image_classifier(parse(text))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"mean": [0.0, 0.0]}, "mean has 2 numbers: one, or one for each of 3 channels"),
        ({"std": [1.0, 0.0, 1.0]}, "it must be above 0"),
    ],
)
def test_statistics_refused(options: dict[str, list[float]], reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason):
        image_classifier(network(3), **options)
