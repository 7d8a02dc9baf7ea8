"""Tensors as NumPy arrays and back, bfloat16 included, which torch and NumPy do not exchange."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch

from tests.onnx_models import BFLOAT16, DOUBLE, DTYPES, FLOAT, FLOAT16, Array

TORCH_DTYPES: dict[int, torch.dtype] = {
    FLOAT: torch.float32,
    DOUBLE: torch.float64,
    FLOAT16: torch.float16,
    BFLOAT16: torch.bfloat16,
}

# How far, relatively, eval mode may be from torch's: one rounding; in double the one of the float32 bounds.
ROUNDING: dict[torch.dtype, float] = {
    torch.float32: 2.0**-23,
    torch.float64: 1e-7,
    torch.float16: 2.0**-10,
    torch.bfloat16: 2.0**-7,
}


def array(tensor: torch.Tensor) -> Array:
    """The values of a tensor, in logical order."""
    values = tensor.detach().contiguous()
    if values.dtype == torch.bfloat16:
        return values.view(torch.int16).numpy().view(DTYPES[BFLOAT16])
    return np.asarray(values.numpy())


def tensor(array: Array) -> torch.Tensor:
    """A tensor of its own with the values of an array."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Normally distributed values, the same ones at every call; torch's own generator stays as it is."""
    return torch.from_numpy(np.random.default_rng(7).normal(size=shape)).to(dtype)
