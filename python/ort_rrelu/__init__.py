"""RReLU, the randomized leaky ReLU, for ONNX Runtime, torch, Paddle and NumPy, with the same slopes in all.

Importing this package imports none of torch, paddle, tensorflow and onnxruntime; what needs them is loaded on
first access.
"""

from __future__ import annotations

import importlib
from importlib import metadata, util
from typing import TYPE_CHECKING, Any

from ort_rrelu import graph, reference
from ort_rrelu.errors import Error
from ort_rrelu.functional import rrelu, rrelu_grad
from ort_rrelu.installation import get_cmake_dir, get_library_path, get_pkgconfig_dir

if TYPE_CHECKING:
    from ort_rrelu import evaluator as evaluator
    from ort_rrelu import paddle as paddle
    from ort_rrelu import serving as serving
    from ort_rrelu import tensorflow as tensorflow
    from ort_rrelu import torch as torch
    from ort_rrelu import training as training
    from ort_rrelu.runtime import InferenceSession as InferenceSession
    from ort_rrelu.runtime import register as register
    from ort_rrelu.uncertainty import monte_carlo as monte_carlo

__all__ = [
    "Error",
    "get_cmake_dir",
    "get_library_path",
    "get_pkgconfig_dir",
    "graph",
    "reference",
    "rrelu",
    "rrelu_grad",
]

__version__ = metadata.version("ort-rrelu")

# Name -> the module that has it, and the package that it needs.
_LAZY = {
    "InferenceSession": ("runtime", "onnxruntime"),
    "register": ("runtime", "onnxruntime"),
    "evaluator": ("evaluator", "onnx"),
    "monte_carlo": ("uncertainty", "onnxruntime"),
    "paddle": ("paddle", "paddle"),
    "serving": ("serving", "onnx"),
    "tensorflow": ("tensorflow", "tensorflow"),
    "torch": ("torch", "torch"),
    "training": ("training", "onnxruntime"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _needed = _LAZY[name]
    module = importlib.import_module(f"{__name__}.{home}")
    return module if name == home else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for name, (_, needed) in _LAZY.items() if util.find_spec(needed))})
