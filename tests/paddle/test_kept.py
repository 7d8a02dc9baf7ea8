"""What Paddle's autograd keeps of a call of ort_rrelu.paddle.RReLU, and that its gradients do not show it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import pytest
from paddle import Tensor

from ort_rrelu import library, reference
from ort_rrelu.paddle import RReLU, ops
from tests.bits import assert_same_bits
from tests.onnx_models import Array
from tests.paddle.paddle_layers import PADDLE_DTYPES, array, in_mode, normal

both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def _gradient(layer: Callable[[Tensor], Tensor], x: Tensor, dy: Tensor) -> tuple[Array, int]:
    """And the bytes that are kept for it."""
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.size * tensor.element_size())
        return tensor

    leaf = x.detach()
    leaf.stop_gradient = False
    with paddle.autograd.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(leaf)
    y.backward(dy)
    assert leaf.grad is not None
    return array(leaf.grad), sum(kept)


@pytest.mark.parametrize("dtype", PADDLE_DTYPES.values(), ids=str)
@both_modes
@pytest.mark.parametrize("size", [ops.RESERVE_FROM - 1, ops.RESERVE_FROM, 2 * ops.RESERVE_FROM + 3])
def test_one_bit_an_element_of_a_large_tensor(dtype: paddle.dtype, training: bool, size: int) -> None:
    """But the noise of 16-bit types in eval mode, which is rounded, and the slope of a reserve is not."""
    x, dy = normal(size, dtype=dtype), normal(size, dtype=dtype)
    x[:3], x[-2:] = 0.0, -0.0
    dx, kept = _gradient(in_mode(RReLU(seed=3), training), x, dy)
    values = array(x)
    noise = reference.rrelu(values, training=training, seed=3, return_noise=True)[1]
    noise[values == 0] = 1
    assert_same_bits(dx, reference.rrelu_grad(array(dy), noise))
    is_noise = size < ops.RESERVE_FROM or (noise.itemsize == 2 and not training)
    assert kept == (noise.nbytes if is_noise else library.reserve_bytes(size))


@pytest.mark.parametrize(("rows", "is_noise"), [(8, False), (2**13, False), (2**14, True)])
def test_steps_of_rows_are_in_the_reserve(rows: int, is_noise: bool) -> None:
    """Where they take more than half of the noise, that is kept."""
    size = 2**15 if is_noise else 2**16
    x, dy, steps = normal(rows, size // rows), normal(rows, size // rows), np.arange(rows) - 1
    x[0, :2] = 0.0
    dx, kept = _gradient(lambda leaf: RReLU(seed=3)(leaf, step=paddle.to_tensor(steps)), x, dy)
    values = array(x)
    noise = reference.rrelu(values, training=True, seed=3, step=steps, return_noise=True)[1]
    noise[values == 0] = 1
    assert_same_bits(dx, reference.rrelu_grad(array(dy), noise))
    assert kept == (noise.nbytes if is_noise else library.reserve_bytes(size, rows))
