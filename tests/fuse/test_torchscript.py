"""fuse on stock exports of torch's TorchScript exporter: files of five versions, and this one's.

tests/fuse/fixtures/make_torchscript_exports.sh made the files.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import ort_rrelu
from models.digits.exports import exporters_advice_hidden
from tests.fuse.fixtures.make_torchscript_exports import Net
from tests.fusing import fused, nodes_of, ops, values_of, without_library
from tests.onnx_models import Array, session

_FILES = sorted(Path(__file__).with_name("fixtures").joinpath("torchscript").glob("*.onnx"))
_TRAIN, _EVAL = ([file for file in _FILES if f"-{mode}-" in file.name] for mode in ("train", "eval"))
_NEWEST_OPSET = [file for file in _TRAIN if file.stem.endswith("opset17")]

# Those of make_torchscript_exports.Net, in order.
_BOUNDS = {"module": [(1 / 8, 1 / 3)], "net": [(1 / 8, 1 / 3), (0.2, 0.3), (0.1, 0.6)]}


def _case(file: Path) -> str:
    return file.name.split("-")[2]


def _images(file: Path, batch: int) -> Array:
    one = np.random.default_rng(3).normal(size=(3, 40) if _case(file) == "module" else (1, 9, 9))
    return np.repeat(one.astype(np.float32)[None], batch, 0)


def test_there_are_files_of_several_versions() -> None:
    versions = {re.match(r"torch-([\d.]+)-", file.name)[1] for file in _FILES}  # type: ignore[index]
    assert versions == {"1.13.1", "2.1.2", "2.3.1", "2.5.1", "2.8.0"}
    for files in (_TRAIN, _EVAL):
        assert len(files) == 4 * len(versions)


@pytest.mark.parametrize("file", _TRAIN, ids=lambda file: file.stem)
def test_train_mode_becomes_rrelu(file: Path) -> None:
    before = onnx.load(file)
    made, said = fused(before)
    bounds = [(values["lower"], values["upper"]) for values in values_of(made)]
    np.testing.assert_allclose(bounds, _BOUNDS[_case(file)], rtol=1e-7)
    assert [values["training"] for values in values_of(made)] == [1] * len(bounds)
    assert [values["seed"] for values in values_of(made)] == [-1 - i for i in range(len(bounds))]
    assert [finding.fused for finding in said] == [True] * len(bounds)
    assert [finding.node for finding in said] == [n.name for n in before.graph.node if n.op_type == "PRelu"]
    assert ops(made) == [op.replace("PRelu", "RRelu") for op in ops(before) if op != "RandomUniformLike"]
    assert [v.name for v in (*made.graph.input, *made.graph.output)] == ["x", "y"]
    assert {t.name for t in made.graph.initializer} >= {t.name for t in before.graph.initializer}


@pytest.mark.parametrize("file", _NEWEST_OPSET, ids=lambda file: file.stem)
def test_outputs_have_the_same_distribution(file: Path) -> None:
    x = _images(file, 2000)
    made, _ = fused(onnx.load(file))
    (before,) = without_library(onnx.load(file), x)
    (after,) = without_library(made, x)
    (kernels,) = session(made).run(None, {"x": x})
    for y in (after, kernels):
        error = before.std(0) / np.sqrt(len(x))
        assert (np.abs(y.mean(0) - before.mean(0)) < 8 * error + 1e-6).all()
        np.testing.assert_allclose(y.std(0), before.std(0), rtol=0.1, atol=1e-6)


@pytest.mark.parametrize("file", _EVAL, ids=lambda file: file.stem)
def test_eval_mode_stays_to_the_byte(file: Path) -> None:
    made, said = fused(onnx.load(file))
    assert made.SerializeToString() == onnx.load(file).SerializeToString() == file.read_bytes()
    assert [finding.fused for finding in said] == [False] * len(_BOUNDS[_case(file)])
    x = _images(file, 2)
    np.testing.assert_array_equal(without_library(made, x)[0], without_library(onnx.load(file), x)[0])


def _stock_export(net: nn.Module, path: Path) -> onnx.ModelProto:
    with exporters_advice_hidden():
        torch.onnx.export(
            net,
            (torch.zeros(2, 1, 9, 9),),
            path,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
    return onnx.load(path)


def test_fused_is_what_we_export_ourselves(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net().train()
    made, _ = fused(_stock_export(net, tmp_path / "net.onnx"))
    with exporters_advice_hidden():
        ours = ort_rrelu.torch.export(net, (torch.zeros(2, 1, 9, 9),), dynamo=False)
    assert ops(made) == ops(ours)
    assert values_of(made) == values_of(ours)
    assert [len(n.input) for n in nodes_of(made)] == [len(n.input) for n in nodes_of(ours)]
    assert made.opset_import == ours.opset_import
    assert made.ir_version == ours.ir_version
    assert [f.node for f in made.functions] == [f.node for f in ours.functions]
    for mine, its in zip(made.graph.initializer, ours.graph.initializer, strict=True):
        to_array = onnx.numpy_helper.to_array
        np.testing.assert_array_equal(to_array(mine), to_array(its))
