"""RReLU, the randomized leaky ReLU, for ONNX Runtime, torch, Paddle and NumPy, with the same slopes in all.

Importing this package imports none of torch, paddle and onnxruntime; what needs them is loaded on first
access.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ort_rrelu import graph, reference
from ort_rrelu.errors import Error
from ort_rrelu.functional import rrelu, rrelu_grad
from ort_rrelu.library import get_library_path

if TYPE_CHECKING:
    from ort_rrelu import evaluator, paddle, torch
    from ort_rrelu.runtime import InferenceSession, register

__all__ = [
    "Error",
    "InferenceSession",
    "evaluator",
    "get_library_path",
    "graph",
    "paddle",
    "reference",
    "register",
    "rrelu",
    "rrelu_grad",
    "torch",
]

__version__ = metadata.version("ort-rrelu")

_LAZY_NAMES = {"InferenceSession": "runtime", "register": "runtime"}
_LAZY_MODULES = {"evaluator", "paddle", "torch"}


def __getattr__(name: str) -> Any:
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
    if name in _LAZY_MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_NAMES, *_LAZY_MODULES})
