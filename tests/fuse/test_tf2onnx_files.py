"""fuse on what tf2onnx wrote of TensorFlow 2.15 with tensorflow-addons, and of TensorFlow 2.21.

tests/fuse/fixtures/make_tf2onnx_exports.sh made the files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import ort_rrelu
from ort_rrelu.graph import Finding
from tests.fusing import ops, values_of, without_library
from tests.onnx_models import Array, session

_FILES = sorted(Path(__file__).with_name("fixtures").joinpath("tf2onnx").glob("*.onnx"))
_TRAIN, _EVAL = ([file for file in _FILES if file.stem.endswith(mode)] for mode in ("train", "eval"))

# Bounds and seeds of the layers of make_tf2onnx_exports.py, in order.
_DEFAULT = (0.125, 1 / 3)
_LAYERS = {
    "twice": ([_DEFAULT, (0.2, 0.3)], [5, -1]),
    "static": ([_DEFAULT, (0.2, 0.3)], [5, -1]),
    "rank": ([_DEFAULT, (0.2, 0.3)], [5, -1]),
    "part": ([_DEFAULT], [-1]),
    "network": ([_DEFAULT, _DEFAULT], [-1, -2]),
    "static_network": ([_DEFAULT, _DEFAULT], [-1, -2]),
}


def _case(file: Path) -> str:
    return file.stem.split("-")[2]


def _fused(file: Path, *, leaky: bool = False) -> tuple[onnx.ModelProto, list[Finding]]:
    """Without a check by onnx, which refuses tf2onnx's input of unknown rank."""
    said: list[Finding] = []
    return ort_rrelu.graph.fuse(file, report=said.append, leaky=leaky), said


def _x(file: Path) -> Array:
    shape = (3, 6, 6, 2) if "network" in _case(file) else (4, 8)
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def test_there_are_files_of_both_versions() -> None:
    assert {file.stem.split("-")[1] for file in _FILES} == {"2.15.1", "2.21.0"}
    for files in (_TRAIN, _EVAL):
        assert sorted(map(_case, files)) == sorted([*_LAYERS] * 2)


@pytest.mark.parametrize("file", _TRAIN, ids=lambda file: file.stem)
def test_train_mode_becomes_rrelu(file: Path) -> None:
    made, said = _fused(file)
    bounds, seeds = _LAYERS[_case(file)]
    assert [finding.fused for finding in said] == [True] * len(bounds), said
    values = values_of(made)
    assert sorted(each["seed"] for each in values) == sorted(seeds)
    for each in values:
        assert min(abs(each["lower"] - low) + abs(each["upper"] - up) for low, up in bounds) < 1e-6
    assert not {"RandomUniform", "RandomUniformLike", "Cast", "Not"}.intersection(ops(made))
    plain = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    portable = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    sessions = [plain, session(made), portable]
    if _case(file) == "rank":  # tf2onnx calls x a scalar, which the functions of a portable model believe
        del sessions[-1]
    before, *others = (_draws(each, _x(file)) for each in sessions)
    for after in others:
        error = np.sqrt((before.var(0) + after.var(0)) / _RUNS)
        if _case(file) == "static_network":  # its layers shared one draw, and have their own now
            error += 0.01
        assert (np.abs(after.mean(0) - before.mean(0)) < 6 * error + 1e-5).all()


_RUNS = 300


def _draws(session: onnxruntime.InferenceSession, x: Array) -> Array:
    """Of one session, since the seeds of the file begin anew in each."""
    return np.stack([np.asarray(session.run(None, {"x": x})[0]) for _ in range(_RUNS)])


@pytest.mark.parametrize("file", _EVAL, ids=lambda file: file.stem)
def test_eval_mode_becomes_leaky_relu(file: Path) -> None:
    made, said = _fused(file, leaky=True)
    count = len(_LAYERS[_case(file)][0])
    assert [finding.fused for finding in said] == [True] * count, said
    assert ops(made).count("LeakyRelu") == count
    assert not {"Cast", "Not", "Add"}.intersection(ops(made))
    x = _x(file)
    before, after = (without_library(model, x)[0] for model in (onnx.load(file), made))
    if "network" not in _case(file):
        np.testing.assert_array_equal(after, before)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)  # ONNX Runtime fuses Conv and LeakyRelu


@pytest.mark.parametrize("file", _EVAL, ids=lambda file: file.stem)
def test_eval_mode_stays_to_the_byte_unless_asked(file: Path) -> None:
    made, said = _fused(file)
    assert made.SerializeToString() == file.read_bytes()
    assert all("leaky=True" in finding.reason for finding in said)
    assert len(said) == len(_LAYERS[_case(file)][0])
