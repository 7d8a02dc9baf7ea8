"""What cannot be exported: an error that names it, and nothing left behind."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paddle
import paddle.nn.functional as F  # noqa: N812
import pytest
from paddle import nn
from paddle.static import InputSpec

import ort_rrelu
from ort_rrelu.errors import ConversionError, InvalidValueError, ModelFileError
from tests.paddle.constructs import Chain

_SPEC = [InputSpec([None, 7], "float32", "x")]


class _Applied(nn.Layer):
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.fc = nn.Linear(7, 7)
        self.function = function

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.function(F.rrelu(self.fc(x)))


@pytest.fixture(autouse=True)
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files, empty again after every refusal."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """A file that a failed export leaves as it was."""
    path = tmp_path / "net.onnx"
    path.write_bytes(b"before")
    yield path
    assert path.read_bytes() == b"before"
    assert {file.name for file in tmp_path.iterdir()} - {"saved"} == {"net.onnx", "temporary"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    (tmp_path / "saved").mkdir()
    paddle.jit.save(_Applied(F.relu), str(tmp_path / "saved" / "net"), input_spec=_SPEC)
    return tmp_path / "saved" / "net"


def _in_a_branch(x: paddle.Tensor) -> paddle.Tensor:
    y = F.rrelu(paddle.lgamma(F.rrelu(x))) if x.sum() > 0 else x * 2.0
    return F.relu(y)


def _in_a_branch_of_a_loop(x: paddle.Tensor) -> paddle.Tensor:
    i = paddle.zeros([1], "int64")
    while i < 3:
        if x.sum() > 0:
            x = x * 2.0
        x = paddle.tanh(x) if x.max() > 0 else paddle.lgamma(F.rrelu(x)) + paddle.erfinv(x)
        i = i + 1
    return x


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: paddle.erfinv(F.relu(x)) + paddle.lgamma(x), "erfinv"),
        (_in_a_branch, "lgamma in a body of if"),
        (_in_a_branch_of_a_loop, "lgamma in a body of while"),
    ],
    ids=["first of two", "in a branch", "in a branch of a loop"],
)
def test_unsupported_operator_is_named(function: Callable[[Any], Any], named: str, target: Path) -> None:
    message = rf"^Paddle2ONNX cannot convert operator {named}: .*unsupported operators"
    with pytest.raises(ConversionError, match=message):
        ort_rrelu.paddle.export(_Applied(function), target, _SPEC)


@pytest.mark.parametrize(("rrelus", "allowed"), [(1, "-4000001"), (3, "-4000001 to -4000003")])
def test_marker_in_the_model(rrelus: int, allowed: str, target: Path) -> None:
    rest = [nn.RReLU() for _ in range(rrelus - 1)]
    layer = _Applied(nn.Sequential(nn.ELU(-4_000_001.0), *rest))
    with pytest.raises(InvalidValueError, match=rf"elu with alpha=-4000001, .* any alpha but {allowed} is"):
        ort_rrelu.paddle.export(layer, target, _SPEC)


def test_elu_beside_the_markers_is_no_clash() -> None:
    ort_rrelu.paddle.export(_Applied(lambda x: F.elu(x, -4_000_002.0)), None, _SPEC)


def test_consumed_noise(target: Path) -> None:
    paddle.enable_static()
    try:
        main = paddle.static.Program()
        with paddle.static.program_guard(main):
            x = paddle.static.data("x", [None, 7], "float32")
            y = F.rrelu(x, 0.1, 0.3)
            noise = y.get_defining_op().result(1)
            z = y + noise
        with pytest.raises(InvalidValueError, match="Noise output is read"):
            ort_rrelu.paddle.export(main, target, feed_vars=[x], fetch_vars=[z])
    finally:
        paddle.disable_static()


def test_program_whose_startup_was_not_run(target: Path) -> None:
    paddle.enable_static()
    try:
        main = paddle.static.Program()
        with paddle.static.program_guard(main, paddle.static.Program()):
            x = paddle.static.data("x", [None, 7], "float32")
            y = F.rrelu(paddle.static.nn.fc(x, 5, weight_attr="weights_of_fc"))
        with pytest.raises(
            InvalidValueError, match=r"weights_of_fc.* are not in .*: run its startup program first"
        ):
            ort_rrelu.paddle.export(main, target, feed_vars=[x], fetch_vars=[y])
    finally:
        paddle.disable_static()


@pytest.mark.parametrize("ending", ["", ".json"])
def test_missing_weights(ending: str, saved: Path, target: Path) -> None:
    saved.with_suffix(".pdiparams").unlink()
    with pytest.raises(ModelFileError, match=r"no file .*net\.pdiparams with the model's weights"):
        ort_rrelu.paddle.export(f"{saved}{ending}", target)


def test_missing_weights_of_the_old_format(saved: Path, target: Path) -> None:
    with paddle.pir_utils.DygraphOldIrGuard():
        paddle.jit.save(_Applied(F.relu), str(saved), input_spec=_SPEC)
    saved.with_suffix(".pdiparams").unlink()
    with pytest.raises(ModelFileError, match=r"no file .*net\.pdiparams with the model's weights"):
        ort_rrelu.paddle.export(f"{saved}.pdmodel", target)


@pytest.mark.parametrize("ending", ["", ".json", ".pdmodel"])
def test_missing_model(ending: str, tmp_path: Path, target: Path) -> None:
    with pytest.raises(ModelFileError, match=r"there is no model file .*absent"):
        ort_rrelu.paddle.export(tmp_path / f"absent{ending}", target)


@pytest.mark.parametrize(
    "contents", [b"", b"{", b"[]", b'{"program": {}}', b"\xff\xfe", b'{"program": {"regions": []}}']
)
def test_corrupt_program(contents: bytes, saved: Path, target: Path) -> None:
    path = saved.with_suffix(".json")
    path.write_bytes(contents)
    with pytest.raises(InvalidValueError, match=r"net\.json: not a program that Paddle saved"):
        ort_rrelu.paddle.export(path, target)


@pytest.mark.parametrize("size", [0, 20, -1, -8])
def test_corrupt_weights(size: int, saved: Path, target: Path) -> None:
    path = saved.with_suffix(".pdiparams")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InvalidValueError, match=r"net\.pdiparams: damaged"):
        ort_rrelu.paddle.export(saved, target)


def test_weights_that_are_none(saved: Path, target: Path) -> None:
    saved.with_suffix(".pdiparams").write_bytes(b"\xff" * 200)
    with pytest.raises(InvalidValueError, match=r"net\.pdiparams: damaged, or no weights"):
        ort_rrelu.paddle.export(saved, target)


@pytest.mark.parametrize("contents", [b"", b"nonsense"])
def test_corrupt_file_of_the_old_format(contents: bytes, saved: Path, target: Path) -> None:
    path = saved.with_suffix(".pdmodel")
    path.write_bytes(contents)
    with pytest.raises(ConversionError, match=r"net\.pdmodel: Paddle cannot read it"):
        ort_rrelu.paddle.export(path, target)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        [InputSpec([None, 7], "int32")],
        [*_SPEC, *_SPEC],
        ["x"],
    ],
    ids=["None", "none", "dtype", "two", "no spec"],
)
def test_input_spec_that_does_not_fit(spec: Any, target: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"input_spec="):
        ort_rrelu.paddle.export(_Applied(F.relu), target, spec)


def test_input_spec_with_a_shape_that_does_not_fit(target: Path) -> None:
    # Not a Linear: Paddle 3.0.0 does not compare the shapes of a matmul when it traces.
    with pytest.raises(InvalidValueError, match=r"cannot trace .* with input_spec="):
        ort_rrelu.paddle.export(nn.Sequential(nn.Conv2D(2, 2, 3), nn.RReLU()), target, _SPEC)


def test_input_spec_of_a_saved_model(saved: Path, target: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"input_spec=.*: a saved model has its inputs already"):
        ort_rrelu.paddle.export(saved, target, _SPEC)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        ort_rrelu.paddle.export(Chain(), tmp_path / "absent" / "net.onnx", _SPEC)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((-0.1, 0.3), "no less than zero or greater than one. Received: -0.1"),
        ((0.5, 0.2), "must be greater than lower value. Received: lower 0.5, upper 0.2"),
        ((0.5, 1.2), "no greater than one. Received: 1.2"),
    ],
)
def test_bounds_that_paddle_refuses(bounds: tuple[float, float], message: str, target: Path) -> None:
    with pytest.raises(ValueError, match=message):
        ort_rrelu.paddle.export(_Applied(lambda x: F.rrelu(x, *bounds)), target, _SPEC)
