"""Tensors as NumPy arrays and back, bfloat16 included, which Paddle gives as uint16; layers in a mode."""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor, nn

from tests.onnx_models import BFLOAT16, DOUBLE, DTYPES, FLOAT, FLOAT16, Array

PADDLE_DTYPES = {
    FLOAT: paddle.float32,
    DOUBLE: paddle.float64,
    FLOAT16: paddle.float16,
    BFLOAT16: paddle.bfloat16,
}


def array(tensor: Tensor) -> Array:
    """The values of a tensor."""
    values: Array = tensor.detach().numpy()
    return values.view(DTYPES[BFLOAT16]) if tensor.dtype == paddle.bfloat16 else values


def normal(*shape: int, dtype: paddle.dtype = paddle.float32) -> Tensor:
    """Normally distributed values, the same ones at every call; Paddle's own generator stays as it is."""
    return paddle.to_tensor(np.random.default_rng(7).normal(size=shape)).astype(dtype)


def in_mode(layer: nn.Layer, training: bool) -> nn.Layer:
    """The layer, put in train or eval mode."""
    (layer.train if training else layer.eval)()
    return layer
