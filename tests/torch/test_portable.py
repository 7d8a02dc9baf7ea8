"""What torch's exporters write runs on an ONNX Runtime without the library, unless portable=False."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from torch import nn

import ort_rrelu
from tests.bits import assert_same_bits
from tests.onnx_models import run, step_of, stock_session
from tests.torch.arrays import array
from tests.torch.constructs import CONSTRUCTS, Applied
from tests.torch.exports import (
    BASE_SEED,
    X,
    both_exporters,
    drawn_by_torch,
    export_quietly,
    outputs_of,
    train_seeds,
)

_STEP = 2**40 + 3


@both_exporters
@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_train_mode_equals_torch(construct: str, dynamo: bool) -> None:
    module = CONSTRUCTS[construct]().train()
    model = export_quietly(module, seed=BASE_SEED, step_input=True, dynamo=dynamo)
    expected = drawn_by_torch(module, train_seeds(model), _STEP, X)
    feeds = {"step": np.array(_STEP), model.graph.input[0].name: array(X)}
    by_evaluator = ReferenceEvaluator(model).run(None, feeds)
    for outputs in (run(stock_session(model), array(X), np.array(_STEP)), by_evaluator):
        for actual, y in zip(outputs, expected, strict=True):
            assert_same_bits(actual, y)


@both_exporters
@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_eval_mode_equals_torch(construct: str, dynamo: bool) -> None:
    module = CONSTRUCTS[construct]().eval()
    outputs = run(stock_session(export_quietly(module, dynamo=dynamo)), array(X))
    for actual, y in zip(outputs, outputs_of(module, X), strict=True):
        np.testing.assert_allclose(actual, y, rtol=1e-6)


@both_exporters
def test_file_is_the_portable_model(dynamo: bool, tmp_path: Path) -> None:
    model = export_quietly(nn.RReLU().eval(), f=tmp_path / "net.onnx", dynamo=dynamo)
    assert onnx.load(tmp_path / "net.onnx") == model
    assert [function.name for function in model.functions] == ["RRelu"]
    assert model.ir_version <= 9  # what ONNX Runtime 1.17 reads


@both_exporters
def test_portable_false_embeds_nothing(dynamo: bool) -> None:
    assert not export_quietly(nn.RReLU().eval(), portable=False, dynamo=dynamo).functions


_MIXED = Applied(lambda x, _: nn.RReLU()(ort_rrelu.torch.RReLU(seed=3)(x, step=8)))
_REFUSED: dict[str, tuple[nn.Module, dict[str, Any], str]] = {
    "type": (nn.RReLU(), {"portable": 1}, r"^portable=1: it must be True or False$"),
    "opset": (
        nn.RReLU(),
        {"opset_version": 17, "dynamo": False},
        r"^opset_version=17: a portable model needs 18 or newer; portable=False exports",
    ),
    "some have a step": (
        _MIXED,
        {},
        r"trains without a step, .*export\(step_input=True\) wires the rest; portable=False exports",
    ),
}


@pytest.mark.parametrize(("module", "arguments", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refusals(module: nn.Module, arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        export_quietly(module.train(), f=tmp_path / "net.onnx", **arguments)
    assert isinstance(caught.value, ort_rrelu.Error)
    assert not list(tmp_path.iterdir())


def test_step_input_gives_the_others_a_step() -> None:
    of = stock_session(export_quietly(_MIXED.train(), seed=BASE_SEED, step_input=True))
    first, again, other = (run(of, array(X), step_of(step).reshape(()))[0] for step in (1, 1, 2))
    assert_same_bits(first, again)
    assert (first != other).any()


def test_model_without_rrelu_may_have_any_opset() -> None:
    model = export_quietly(nn.ReLU(), opset_version=13, dynamo=False)
    assert [entry.version for entry in model.opset_import] == [13]
