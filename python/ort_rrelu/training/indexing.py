"""Torch's operators that take indices from 0 on, as ONNX nodes that refuse the others too.

ONNX counts negative indices from the end: the cross entropy of a label -1 would be that of the last class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir
import torch
from onnxscript import opset18 as op
from onnxscript.function_libs.torch_lib.ops import core

__all__ = ["index_translations"]

_FAR = int(np.iinfo(np.int64).max)  # outside of every dimension, which the runtime refuses


def index_translations() -> dict[Any, Callable[..., Any]]:
    """Translations of onnxscript, for indices that are 0 or more."""
    aten = torch.ops.aten
    return {
        aten.embedding.default: _from_zero(core.aten_embedding, 1),
        aten.gather.default: _from_zero(core.aten_gather, 2),
        aten.index_select.default: _from_zero(core.aten_index_select, 2),
        aten.scatter.src: _from_zero(core.aten_scatter_src, 2),
        aten.scatter.value: _from_zero(core.aten_scatter_value, 2),
        aten.scatter_add.default: _from_zero(core.aten_scatter_add, 2),
    }


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
