"""onnx's tools in C++ on models without their weights, and their errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnx.inliner
import onnx.version_converter
from google.protobuf.message import DecodeError, EncodeError
from onnx.defs import SchemaError

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import graph_nodes
from ort_rrelu.graph.weights import return_weights, take_weights

__all__ = ["converted", "inferred", "inlined", "onnx_errors"]

# onnx's own, protobuf's, and what its C++ raises: out_of_range is an IndexError in Python, length_error and
# invalid_argument a ValueError, each other std::exception a RuntimeError.
_RAISED = (
    *(onnx.shape_inference.InferenceError, onnx.checker.ValidationError, onnx.version_converter.ConvertError),
    *(SchemaError, DecodeError, EncodeError, RuntimeError, ValueError, IndexError, OverflowError, TypeError),
)


@contextmanager
def onnx_errors(what: str) -> Iterator[None]:
    """What onnx raises in the block becomes an InvalidValueError, `what` before its message."""
    try:
        yield
    except InvalidValueError:
        raise
    except _RAISED as error:
        raise InvalidValueError(f"{what}: {error}") from error


def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with the types and shapes that onnx infers, and without the bytes of large weights.

    Where the model does not import a domain that it uses, but others, onnx knows no types, and ONNX Runtime
    takes the newest version: so does this.

    Raises InvalidValueError when onnx cannot read the model.
    """
    weights, imported = take_weights(model), len(model.opset_import)
    try:
        model.opset_import.extend(_missing_imports(model))
        with onnx_errors("the model cannot be read, for its types"):
            return onnx.shape_inference.infer_shapes(model)
    finally:
        del model.opset_import[imported:]
        return_weights(model, weights)


def _missing_imports(model: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    known = {_canonical(entry.domain) for entry in model.opset_import}
    if not known:
        return []
    missing = sorted({_canonical(node.domain) for node in graph_nodes(model.graph)} - known)
    return [onnx.helper.make_opsetid(domain, _newest_version(domain)) for domain in missing]


def _canonical(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _newest_version(domain: str) -> int:
    return 1 if domain else onnx.defs.onnx_opset_version()


def inlined(model: onnx.ModelProto, functions: list[tuple[str, str]]) -> onnx.ModelProto:
    """A copy in which calls of the functions with these domains and names are their nodes.

    Raises InvalidValueError when onnx cannot inline them.
    """
    weights = take_weights(model)
    try:
        with onnx_errors("onnx cannot inline functions of the model"):
            made = onnx.inliner.inline_selected_functions(model, functions)
    finally:
        return_weights(model, weights)
    return_weights(made, weights)
    return made


def converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """A copy in another opset.

    Raises InvalidValueError when onnx cannot convert it.
    """
    weights = take_weights(model)
    try:
        with onnx_errors("onnx cannot convert it"):
            made = onnx.version_converter.convert_version(model, opset)
    finally:
        return_weights(model, weights)
    return_weights(made, weights)
    return made
