"""The TorchScript exporter drops in-place calls on some views; for rrelu nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # as everybody calls it
from torch import Tensor, nn

import ort_rrelu
import ort_rrelu.torch
from ort_rrelu.graph.nodes import our_nodes
from tests.bits import assert_same_bits
from tests.onnx_models import run, session
from tests.torch.arrays import array, normal
from tests.torch.exports import export_quietly, outputs_of

_X = normal(2, 6)


class _Writes(nn.Module):
    def __init__(self, write: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        self.write(y)
        return y


_LOST: dict[str, Callable[[Tensor], object]] = {
    "F.rrelu_ on a chunk": lambda y: F.rrelu_(y.chunk(2, 1)[0]),
    "nn.RReLU on view(-1)": lambda y: nn.RReLU(inplace=True).eval()(y.view(-1)[3:9]),
    "F.rrelu_ on a slice": lambda y: F.rrelu_(y[:, :2]),
    "our RReLU on t()": lambda y: ort_rrelu.torch.RReLU(inplace=True).eval()(y.t()),
}
_KEPT: dict[str, Callable[[Tensor], object]] = {
    "F.rrelu_ on no view": F.rrelu_,
    "our RReLU on no view": lambda y: ort_rrelu.torch.RReLU(inplace=True).eval()(y),
}


@pytest.mark.parametrize("write", _LOST)
def test_torchscript_refuses_what_it_would_drop(write: str) -> None:
    with pytest.raises(ort_rrelu.Error, match=r"wrote 0 nodes for 1 calls of rrelu.*use dynamo=True"):
        export_quietly(_Writes(_LOST[write]).eval(), (_X,), dynamo=False)


@pytest.mark.parametrize(
    ("write", "dynamo"), [*((w, True) for w in (_LOST | _KEPT)), *((w, False) for w in _KEPT)]
)
def test_what_is_exported_is_whole(write: str, dynamo: bool) -> None:
    module = _Writes((_LOST | _KEPT)[write]).eval()
    model = export_quietly(module, (_X,), dynamo=dynamo)
    assert len(our_nodes(model)) == 1
    assert_same_bits(run(session(model), array(_X))[0], outputs_of(module, _X)[0])


@pytest.mark.parametrize("training", [2, "yes", torch.onnx.TrainingMode.TRAINING], ids=str)
@pytest.mark.parametrize("dynamo", [True, False])
def test_training_is_none_true_or_false(training: object, dynamo: bool) -> None:
    with pytest.raises(TypeError, match=r"training=.*None, True or False"):
        export_quietly(nn.RReLU(), (_X,), training=training, dynamo=dynamo)
