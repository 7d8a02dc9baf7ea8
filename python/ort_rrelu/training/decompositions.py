"""Operators of a traced step that torch's exporter lacks or gets wrong: decomposed, or translated to ONNX.

Decomposed are the gradients of convolution and average pooling, BatchNorm in train mode, and random numbers.
These all come from the operator's own stream: a step number then repeats them.

Translated are max pooling, and what takes indices. ONNX counts negative indices from the end, so the cross
entropy of a label -1 would be that of the last class; here the runtime refuses them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir
import torch
from onnxscript import opset18 as op
from onnxscript.function_libs.torch_lib.ops import core
from torch import Tensor

from ort_rrelu.errors import ConversionError
from ort_rrelu.torch import ops
from ort_rrelu.torch.private import core_aten_decompositions, get_decompositions

_aten = torch.ops.aten
_Pair = Sequence[int]
_FAR = int(np.iinfo(np.int64).max)  # outside of every dimension, which the runtime refuses


def decompositions() -> dict[Any, Callable[..., Any]]:
    """torch's core decompositions with what is missing there; RReLU stays whole."""
    stock: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    kept = {operator: how for operator, how in stock.items() if "rrelu" not in str(operator)}
    kept |= get_decompositions([_aten.native_batch_norm, _aten._native_batch_norm_legit])
    return kept | {
        _aten.convolution_backward.default: _convolution_backward,
        _aten.avg_pool2d.default: _avg_pool2d,
        _aten.avg_pool2d_backward.default: _avg_pool2d_backward,
        # What a random number is written into; no translation exists.
        _aten.empty_permuted.default: lambda size, _layout, dtype=None, **_: torch.zeros(size, dtype=dtype),
        _aten.rand.default: lambda size, dtype=None, **_: _uniform(torch.zeros(size, dtype=dtype)),
        _aten.rand_like.default: lambda x, dtype=None, **_: _uniform(x.to(dtype or x.dtype)),
        _aten.bernoulli_.float: lambda x, p=0.5, **_: x.copy_(_uniform(x) < p),
        _aten.bernoulli.p: lambda x, p=0.5, **_: (_uniform(x) < p).to(x.dtype),
    }


def _uniform(x: Tensor) -> Tensor:
    """Numbers between 0 and 1 (the 2^16 of the stream) in the shape and dtype of x: slopes for x = -1."""
    drawn: Tensor = ops.rrelu(torch.full_like(x, -1), 0.0, 1.0, True)[1]
    return drawn


def _convolution_backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: _Pair,
    padding: _Pair,
    dilation: _Pair,
    transposed: bool,
    output_padding: _Pair,
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    dx = dw = db = None
    geometry = stride, padding, dilation
    if output_mask[0] and transposed:
        dx = _aten.convolution.default(dy, weight, None, *geometry, False, [0] * len(stride), groups)
    elif output_mask[0]:
        missing = _rows_that_no_window_ends_at(x, dy, weight, *geometry)
        dx = _aten.convolution.default(dy, weight, None, *geometry, True, missing, groups)
    if output_mask[1]:
        # A transposed convolution is the gradient of a plain one: its input and output change places.
        image, windows = (dy, x) if transposed else (x, dy)
        dw = _weight_gradient(image, windows, weight, *geometry, groups)
    if output_mask[2]:
        db = dy.sum([0, *range(2, dy.dim())])
    return dx, dw, db


def _rows_that_no_window_ends_at(
    x: Tensor, dy: Tensor, weight: Tensor, stride: _Pair, padding: _Pair, dilation: _Pair
) -> list[int]:
    """What stride leaves over at the end of each dimension of x."""
    return [
        x.shape[2 + i]
        - ((dy.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (weight.shape[2 + i] - 1) + 1)
        for i in range(len(stride))
    ]


def _weight_gradient(
    x: Tensor, dy: Tensor, weight: Tensor, stride: _Pair, padding: _Pair, dilation: _Pair, groups: int
) -> Tensor:
    """x convolved with dy: images take the place of channels, stride that of dilation, and the reverse."""
    batch, channels, sizes = x.shape[0], x.shape[1] // groups, x.shape[2:]
    images = x.reshape(batch, groups, channels, *sizes).movedim(2, 0).movedim(2, 1)
    images = images.reshape(channels, groups * batch, *sizes)
    none = [0] * len(stride)
    # (channels, features, ...), with the rows that stride left over at the end.
    gradient: Tensor = _aten.convolution.default(
        images, dy.transpose(0, 1).contiguous(), None, dilation, padding, stride, False, none, groups
    )
    for i, size in enumerate(weight.shape[2:]):
        gradient = gradient.narrow(2 + i, 0, size)
    return gradient.transpose(0, 1)


def _avg_pool2d(*arguments: Any, divisor_override: int | None = None, **_: Any) -> Any:
    """Left whole. torch's exporter forgets the divisor."""
    if divisor_override is not None or (len(arguments) > 6 and arguments[6] is not None):
        raise ConversionError(
            "average pooling with divisor_override cannot be exported: scale its output instead"
        )
    return NotImplemented


def _avg_pool2d_backward(
    dy: Tensor,
    x: Tensor,
    kernel_size: _Pair,
    stride: _Pair,
    padding: _Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    _divisor_override: int | None,
) -> Tensor:
    """The gradient goes back to every place of its window, each with the window's share."""
    kernel, strides, pads = (_pair(each) for each in (kernel_size, stride or kernel_size, padding))
    ones = torch.ones(1, 1, *kernel, dtype=dy.dtype)
    sizes, outputs = x.shape[-2:], dy.shape[-2:]
    missing = [sizes[i] - ((outputs[i] - 1) * strides[i] - 2 * pads[i] + kernel[i]) for i in range(2)]
    # Where ceil_mode lets a window reach beyond the padded image, what falls there is cut off.
    beyond = [max(0, -each) for each in missing]
    rows, columns = (
        _lengths(sizes[i], outputs[i], kernel[i], strides[i], pads[i], count_include_pad) for i in range(2)
    )
    share = torch.tensor([[1 / (r * c) for c in columns] for r in rows], dtype=dy.dtype)
    planes = (dy * share).reshape(-1, 1, *outputs)
    back: Tensor = _aten.convolution.default(
        planes, ones, None, strides, pads, [1, 1], True, [max(0, each) for each in missing], 1
    )
    if any(beyond):
        back = back[..., : sizes[0], : sizes[1]]
    return back.reshape(x.shape)


def _lengths(
    size: int, outputs: int, kernel: int, stride: int, padding: int, count_include_pad: bool
) -> list[int]:
    """How many places each window counts along one dimension, as torch counts them."""
    begins = [i * stride - padding for i in range(outputs)]
    ends = [min(begin + kernel, size + padding) for begin in begins]
    if count_include_pad:
        return [end - begin for begin, end in zip(begins, ends, strict=True)]
    return [min(end, size) - max(begin, 0) for begin, end in zip(begins, ends, strict=True)]


def translations() -> dict[Any, Callable[..., Any]]:
    """Translations to ONNX, for torch.onnx.export(custom_translation_table=)."""
    return {
        # These pass ONNX's indices (of the whole tensor) between each other.
        _aten.max_pool2d_with_indices.default: _max_pool2d,
        _aten.max_pool2d_with_indices_backward.default: _max_pool2d_backward,
        # onnxscript's, for indices that are 0 or more.
        _aten.embedding.default: _from_zero(core.aten_embedding, 1),
        _aten.gather.default: _from_zero(core.aten_gather, 2),
        _aten.index_select.default: _from_zero(core.aten_index_select, 2),
        _aten.scatter.src: _from_zero(core.aten_scatter_src, 2),
        _aten.scatter.value: _from_zero(core.aten_scatter_value, 2),
        _aten.scatter_add.default: _from_zero(core.aten_scatter_add, 2),
    }


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


def _pair(values: Any) -> list[int]:
    return list(values) * 2 if len(values) == 1 else list(values)


def _from_zero(translation: Callable[..., Any], position: int) -> Callable[..., Any]:
    """position: of the indices among the arguments."""

    def translated(*arguments: Any, **options: Any) -> Any:
        index = op.Cast(arguments[position], to=onnx.TensorProto.INT64)
        zero: Any = op.Constant(value_int=0)
        far: Any = op.Constant(value_int=_FAR)
        checked: Any = op.Where(op.Less(index, zero), far, index)
        checked.shape, checked.dtype = arguments[position].shape, onnx_ir.DataType.INT64
        return translation(*arguments[:position], checked, *arguments[position + 1 :], **options)

    return translated
