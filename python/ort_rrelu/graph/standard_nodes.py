"""standard_nodes: standard operators that stand for one node of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import DTypeLike
from onnx import TensorProto

from ort_rrelu import schema
from ort_rrelu.functions import Bounds, as_stored, factor, mean_slope
from ort_rrelu.functions.body import Body
from ort_rrelu.graph.check import attributes

UNKNOWN = 0  # as onnx has it

# PRelu, Mul and others with broadcasting; LessOrEqual, and all that is used here with bfloat16; CastLike.
SHORT_FORMS, _LONG_FORMS, _CAST_LIKE = 7, 13, 15

# RandomUniformLike has its seed as a float, which holds no more integers than these.
_SEEDS = 2**24


def oldest_opset(node: onnx.NodeProto, element: int) -> int:
    """The one that standard_nodes needs."""
    types = _Types(element, node.input[0])
    if element == UNKNOWN:
        return _CAST_LIKE
    if element == TensorProto.BFLOAT16:
        return _LONG_FORMS
    if node.op_type == schema.RRELU_GRAD or _is_prelu(node, types):
        return SHORT_FORMS
    return SHORT_FORMS if _is_leaky_relu(node, types) and not _noise_is_read(node) else _LONG_FORMS


def standard_nodes(node: onnx.NodeProto, element: int, prefix: str) -> list[onnx.NodeProto]:
    """The nodes that compute the outputs of `node`, an RRelu or an RReluGrad from noise.

    In eval mode the bits are the kernel's. In train mode the runtime's own generator draws.

    Args:
        node: without references to a function's attributes, and without an output that nobody reads.
        element: of X or dY: one of ours, or UNKNOWN, but not for an RRelu in eval mode.
        prefix: that of all new values.
    """
    body, types = Body(prefix), _Types(element, node.input[0])
    compute = _gradient if node.op_type == schema.RRELU_GRAD else _forward
    results = compute(body, node, types)
    _finish(body, [types.rounded(body, value) for value in results[: len(node.output)]], node)
    return body.nodes


def leaky_slope(node: onnx.NodeProto) -> float | None:
    """The alpha with which LeakyRelu gives Y of an eval RRelu of float, to the bit; None where none does."""
    slope = mean_slope(_bounds(node))
    return slope if _is_of_leaky_relu(slope) else None


@dataclass(frozen=True)
class _Types:
    """T, and the type that is computed in: ONNX Runtime has few kernels for 16-bit types.

    For an unknown T that is double, in which the product of what the other types hold is exact.
    """

    element: int
    like: str  # a value of type T

    @property
    def wide(self) -> DTypeLike:
        return np.float64 if self.element in {TensorProto.DOUBLE, UNKNOWN} else np.float32

    @property
    def is_wide(self) -> bool:
        return self.element in {TensorProto.DOUBLE, TensorProto.FLOAT}

    def widened(self, body: Body, value: str) -> str:
        if self.is_wide:
            return value
        return self.cast(body, as_stored(body, value))

    def cast(self, body: Body, value: str) -> str:
        """To the wide type."""
        return body.to_double(value) if self.wide is np.float64 else body.to_float(value)

    def rounded(self, body: Body, value: str) -> str:
        if self.is_wide:
            return value
        if self.element == UNKNOWN:
            return body("CastLike", value, self.like)
        return body("Cast", value, to=self.element)


def _bounds(node: onnx.NodeProto) -> Bounds:
    values = attributes(node)
    return float(values["lower"]), float(values["upper"])


def _trains(node: onnx.NodeProto) -> bool:
    return bool(attributes(node)["training"])


def _noise_is_read(node: onnx.NodeProto) -> bool:
    return len(node.output) > 1


def _is_leaky_relu(node: onnx.NodeProto, types: _Types) -> bool:
    """A double has a slope of its own."""
    return not _trains(node) and types.wide is np.float32 and _is_of_leaky_relu(mean_slope(_bounds(node)))


def _is_of_leaky_relu(slope: float) -> bool:
    """LeakyRelu keeps the sign of +0, which a negative slope changes."""
    return slope > 0


def _is_prelu(node: onnx.NodeProto, types: _Types) -> bool:
    """PRelu has no noise, and ONNX Runtime no kernel of it in double."""
    return _trains(node) and types.element == TensorProto.FLOAT and not _noise_is_read(node)


def _gradient(body: Body, node: onnx.NodeProto, types: _Types) -> list[str]:
    dy, noise = (types.widened(body, value) for value in node.input)
    return [body("Mul", dy, noise)]


def _forward(body: Body, node: onnx.NodeProto, types: _Types) -> list[str]:
    """Y, and the noise where it is read, in the wide type."""
    x = types.widened(body, node.input[0])
    if _is_prelu(node, types):
        return [body("PRelu", x, _drawn(body, node, types, x))]
    if _is_leaky_relu(node, types):
        y = body("LeakyRelu", x, alpha=mean_slope(_bounds(node)))
        return [y, factor(body, x, _mean(body, node, types), np.float32)] if _noise_is_read(node) else [y]
    slope = _drawn(body, node, types, x) if _trains(node) else _mean(body, node, types)
    noise = factor(body, x, slope, types.wide)
    return [body("Mul", x, noise), noise]


def _mean(body: Body, node: onnx.NodeProto, types: _Types) -> str:
    lower, upper = _bounds(node)
    mean = (lower + upper) / 2 if types.wide is np.float64 else mean_slope((lower, upper))
    return body.constant(mean, types.wide)


def _drawn(body: Body, node: onnx.NodeProto, types: _Types, x: str) -> str:
    lower, upper = _bounds(node)
    seed = attributes(node)["seed"]
    seeded: dict[str, Any] = {} if seed < 0 else {"seed": float(seed % _SEEDS)}
    # In float even where T is double: the bounds are floats, and OpenVINO takes no others with a double.
    slope = body("RandomUniformLike", x, dtype=TensorProto.FLOAT, low=lower, high=upper, **seeded)
    if types.element == TensorProto.FLOAT:
        return slope
    return types.cast(body, slope if types.is_wide else types.rounded(body, slope))


def _finish(body: Body, results: list[str], node: onnx.NodeProto) -> None:
    """Give results the names of the node's outputs, and what computes the first the name of the node."""
    names = dict(zip(results, node.output, strict=False))
    for written in body.nodes:
        written.input[:] = [names.get(value, value) for value in written.input]
        written.output[:] = [names.get(value, value) for value in written.output]
        if written.output[0] == node.output[0]:
            written.name, written.doc_string = node.name or written.name, node.doc_string
            written.metadata_props.extend(node.metadata_props)
