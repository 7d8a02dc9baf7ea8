"""Forward and backward of an activation as one ONNX model, the backward as its author wrote it."""

from __future__ import annotations

import onnx
import torch
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

import ort_rrelu


def export_with_gradient(module: nn.Module, x: Tensor, *, seed: int | None = None) -> onnx.ModelProto:
    """The model x -> (y, dy/dx) of an elementwise module, for inputs of the shape and dtype of x.

    dy/dx is what torch's autograd computes, hand-written backward methods included, traced to operators. An
    RReLU must be without a seed of its own; `seed` is that of the model's train nodes.
    """

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = module(x.clone())  # activations in place overwrite what they are given
            (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
        return y.detach(), dx.detach()

    joint = make_fx(both, decomposition_table=core_aten_decompositions().materialize())(x)  # type: ignore[arg-type]
    joint.eval()  # the modes are in the graph already; the exporter would warn of this one
    return ort_rrelu.torch.export(joint, (x,), seed=seed, verbose=False, input_names=["x"])
