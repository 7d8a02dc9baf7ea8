"""onnxruntime-training 1.19.2, its last release, found or missed with a message that says what to install."""

from __future__ import annotations

import importlib
from typing import Any

from ort_rrelu import schema
from ort_rrelu.errors import MissingPackageError

__all__ = ["api_module", "artifacts_module", "register_gradient"]

_ADVICE = (
    "pip install onnxruntime-training-cpu==1.19.2, its last release, which needs Python 3.11 and an "
    "environment of its own: it takes the place of onnxruntime"
)


def _bindings() -> Any:
    """ONNX Runtime's C++ side."""
    try:
        bindings = importlib.import_module("onnxruntime.capi._pybind_state")
    except ImportError as error:
        raise MissingPackageError(f"onnxruntime-training-cpu is not installed: {_ADVICE}") from error
    if not hasattr(bindings, "register_gradient_definition"):
        version = importlib.import_module("onnxruntime").__version__
        raise MissingPackageError(
            f"the onnxruntime {version} that is installed is not the one of onnxruntime-training: {_ADVICE}"
        )
    return bindings


def artifacts_module() -> Any:
    """The module onnxruntime.training.artifacts.

    Raises MissingPackageError when onnxruntime-training, or torch, which it imports, is not installed.
    """
    return _module("onnxruntime.training.artifacts")


def api_module() -> Any:
    """The module onnxruntime.training.api; raises as `artifacts_module` does."""
    return _module("onnxruntime.training.api")


def _module(name: str) -> Any:
    _bindings()
    try:
        return importlib.import_module(name)
    except ImportError as error:
        advice = "any version will do" if error.name == "torch" else _ADVICE
        raise MissingPackageError(
            f"onnxruntime-training imports {error.name}, which is not installed: {advice}"
        ) from error


def register_gradient() -> None:
    """Tell ONNX Runtime, for this process, that RReluGrad of dY and the noise is the gradient of RRelu.

    Building a gradient graph asks for it; running one does not. Registering it again changes nothing.
    """
    bindings = _bindings()
    gradient = bindings.GradientNodeDefinition()
    gradient.domain, gradient.op_type = schema.DOMAIN, schema.RRELU_GRAD
    # GO(0): the gradient of output 0; O(1): output 1, the noise; GI(0): the gradient of input 0.
    gradient.inputs, gradient.outputs, gradient.attributes = ["GO(0)", "O(1)"], ["GI(0)"], []
    bindings.register_gradient_definition(f"{schema.DOMAIN}::{schema.RRELU}", [gradient])
