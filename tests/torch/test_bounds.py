"""Bounds that torch takes besides Python's numbers, and the opsets that are known before an export begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ort_rrelu
from tests.bits import assert_same_bits
from tests.onnx_models import run, session
from tests.torch.arrays import array
from tests.torch.exports import X, both_exporters, export_quietly, node_attributes, outputs_of

_BOUND = 0.1  # not a number of float32
_TAKEN: dict[str, Any] = {
    "tensor": torch.tensor(_BOUND),
    "float64 tensor": torch.tensor(_BOUND, dtype=torch.float64),
    "NumPy's float32": np.float32(_BOUND),
    "NumPy's float64": np.float64(_BOUND),
}


@both_exporters
@pytest.mark.parametrize("bound", _TAKEN.values(), ids=_TAKEN)
def test_bounds_that_torch_takes(bound: Any, dynamo: bool) -> None:
    module = nn.RReLU(bound, 0.3).eval()
    before = dict(module.__dict__)
    model = export_quietly(nn.Sequential(module), dynamo=dynamo)
    assert (module.lower is bound, module.__dict__) == (True, before)
    (node,) = node_attributes(model)
    assert (node["lower"], node["upper"]) == (np.float32(_BOUND), np.float32(0.3))
    np.testing.assert_allclose(run(session(model), array(X))[0], outputs_of(module, X)[0], rtol=1e-6)


@pytest.mark.parametrize("bound", _TAKEN.values(), ids=_TAKEN)
def test_our_module_takes_them_too(bound: Any) -> None:
    given, plain = (ort_rrelu.torch.RReLU(lower, 0.3, seed=3) for lower in (bound, _BOUND))
    assert_same_bits(array(given(X, step=4)), array(plain(X, step=4)))
    assert_same_bits(array(given.eval()(X)), array(plain.eval()(X)))


_REFUSED: dict[str, tuple[Any, str]] = {
    "several elements": (
        torch.tensor([0.1, 0.2]),
        r"lower=tensor\(\[.*\]\): it must be a number",
    ),
    "text": ("0.1", "lower='0.1': it must be a number, or a tensor of one element"),
    "None": (None, "lower=None: it must be a number"),
    "not finite": (torch.tensor(float("nan")), "lower=nan"),
}


@both_exporters
@pytest.mark.parametrize(("bound", "message"), _REFUSED.values(), ids=_REFUSED)
def test_refused_by_the_name_of_the_module(bound: Any, message: str, dynamo: bool) -> None:
    network = nn.Sequential(nn.Identity(), nn.RReLU(bound, 0.3))
    with pytest.raises(ort_rrelu.Error, match=f"^RReLU module '1': .*{message}"):
        export_quietly(network, dynamo=dynamo)


class _NeverCalled(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pytest.fail("the export has begun")


@both_exporters
def test_a_portable_model_of_an_old_opset_is_refused_before_the_export(dynamo: bool) -> None:
    with pytest.raises(ort_rrelu.Error, match=r"^opset_version=17: a portable model needs 18 or newer"):
        export_quietly(_NeverCalled(nn.RReLU()), dynamo=dynamo, opset_version=17)


def test_so_is_an_exported_program() -> None:
    program = torch.export.export(nn.RReLU(), (X,))
    with pytest.raises(ort_rrelu.Error, match=r"^opset_version=17: a portable model needs 18 or newer"):
        export_quietly(program, opset_version=17)


@pytest.mark.parametrize("opset_version", [13, 17])
@pytest.mark.parametrize(
    "network",
    [nn.RReLU(), nn.Sequential(nn.Conv1d(3, 2, 2), nn.RReLU(), nn.Tanh())],
    ids=["alone", "with others"],
)
def test_bare_nodes_in_old_opsets(network: nn.Module, opset_version: int) -> None:
    model = export_quietly(network.eval(), portable=False, opset_version=opset_version)
    assert {entry.domain: entry.version for entry in model.opset_import} == {
        "": opset_version,
        "ort_rrelu": 1,
    }
    np.testing.assert_allclose(
        run(session(model), array(X))[0], outputs_of(network, X)[0], rtol=1e-5, atol=1e-6
    )


def test_an_opset_that_onnx_cannot_convert_to_is_refused() -> None:
    network = nn.Sequential(nn.RReLU(), nn.LayerNorm(7))
    with pytest.raises(ort_rrelu.Error, match=r"^opset_version=13: .*cannot convert .*; dynamo=False writes"):
        export_quietly(network, portable=False, opset_version=13)
