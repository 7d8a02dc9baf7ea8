"""ONNX nodes for operators of a traced step that are better not decomposed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnxscript import opset18 as op

__all__ = ["pooling_translations"]


def pooling_translations() -> dict[Any, Callable[..., Any]]:
    """Max pooling and its gradient, which pass ONNX's indices (of the whole tensor) between each other."""
    aten = torch.ops.aten
    return {
        aten.max_pool2d_with_indices.default: _max_pool2d,
        aten.max_pool2d_with_indices_backward.default: _max_pool2d_backward,
    }


def _pair(values: Any) -> list[int]:
    return list(values) * 2 if len(values) == 1 else list(values)


def _max_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    ceil_mode: bool = False,
) -> Any:
    return op.MaxPool(
        x,
        kernel_shape=_pair(kernel_size),
        strides=_pair(stride or kernel_size),
        pads=_pair(padding) * 2,
        dilations=_pair(dilation),
        ceil_mode=int(ceil_mode),
    )


def _max_pool2d_backward(dy: Any, x: Any, _kernel: Any, *rest: Any) -> Any:
    """Every dy is added at the place of its window's maximum."""
    indices = rest[-1]
    shape = op.Shape(x)
    everything: Any = op.Constant(value=onnx.numpy_helper.from_array(np.array([-1], np.int64)))
    zero: Any = op.Constant(value_float=0.0)
    zeros = op.Expand(op.CastLike(zero, dy), op.ReduceProd(shape, keepdims=1))
    sums = op.ScatterElements(
        zeros, op.Reshape(indices, everything), op.Reshape(dy, everything), axis=0, reduction="add"
    )
    return op.Reshape(sums, shape)
