"""Eval nodes that a kernel or ONNX Runtime refuses, so that nobody lowers them to nodes that run.

What check.py refuses has not come here, and what only a run shows is not known here.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import onnx
from onnx import TensorProto

from ort_rrelu import schema
from ort_rrelu.graph.nodes import all_graphs, all_nodes, is_standard_op, step_of
from ort_rrelu.tensors import Dimension, declared_shape

_Shape = Sequence[Dimension]


def imports_our_operators(model: onnx.ModelProto) -> bool:
    """Does ONNX Runtime find our operators in the version that the model imports?

    It takes a model that imports none as one of today's.
    """
    versions = [entry.version for entry in model.opset_import if entry.domain == schema.DOMAIN]
    return all(0 < version < 2**31 for version in versions)


def has_types_of_rrelu(node: onnx.NodeProto, types: Mapping[str, int]) -> bool:
    """Has an RRelu of float, by the types of values, inputs and outputs as the operator declares them?

    That of a step has to be known, because what computes the step may go with it.
    """
    if not (1 <= len(node.input) <= 2 and 1 <= len(node.output) <= 3):
        return False
    if (step := step_of(node)) and types.get(step) != TensorProto.INT64:
        return False
    wanted = zip(node.output[1:], (TensorProto.FLOAT, TensorProto.UINT8), strict=False)
    return all(types.get(name) in (None, TensorProto.UNDEFINED, kind) for name, kind in wanted)


def without_refused(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes, but for those whose step or whose names are refused."""
    if any(any(node.output[1:]) for node in nodes):
        defined = Counter(_definitions(model))
        nodes = [node for node in nodes if all(defined[name] == 1 for name in node.output[1:] if name)]
    if any(map(step_of, nodes)):
        known = _Values(model)
        nodes = [node for node in nodes if not step_of(node) or known.fit(node.input[0], node.input[1])]
    return list(nodes)


def _definitions(model: onnx.ModelProto) -> Iterable[str]:
    for graph in all_graphs(model):
        for node in graph.node:
            yield from node.output
        yield from (value.name for value in (*graph.input, *graph.initializer))


class _Values:
    """What is said of shapes by name, in bodies too, where a name may stand for several values."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._shapes: defaultdict[str, list[_Shape]] = defaultdict(list)
        self._cut: set[str] = set()
        for graph in all_graphs(model):
            for value in (*graph.input, *graph.value_info, *graph.output):
                if value.type.tensor_type.HasField("shape"):
                    self._shapes[value.name].append(declared_shape(value.type.tensor_type))
            for tensor in graph.initializer:
                self._add(tensor.name, tensor)
        for node in all_nodes(model):
            if is_standard_op(node, "Constant") and node.output:
                self._add_constant(node)

    def fit(self, x: str, step: str) -> bool:
        """May `step` be that of x, by all that is known before a run?"""
        xs = self._shapes[x]
        return step not in self._cut and all(_fits(shape, xs) for shape in self._shapes[step])

    def _add(self, name: str, tensor: onnx.TensorProto) -> None:
        self._shapes[name].append(list(tensor.dims))
        if not _is_whole(tensor):
            self._cut.add(name)

    def _add_constant(self, node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            if attribute.name == "value":
                self._add(node.output[0], attribute.t)
            elif attribute.name == "value_ints":
                self._shapes[node.output[0]].append([len(attribute.ints)])


def _fits(step: _Shape, xs: Sequence[_Shape]) -> bool:
    """One element, or one for each row of x. A number of rows that is not known is for the run to check."""
    if all(size == 1 for size in step):
        return True
    if len(step) != 1:
        return False
    (rows,) = step
    if not isinstance(rows, int):
        return True
    return bool(xs) and all(list(x[:1]) == [rows] for x in xs)


def _is_whole(tensor: onnx.TensorProto) -> bool:
    """Has a tensor of int64 as many numbers as its shape asks for? Of others this knows nothing."""
    if tensor.data_type != TensorProto.INT64 or tensor.data_location == TensorProto.EXTERNAL:
        return True
    held = len(tensor.raw_data) / 8 if tensor.HasField("raw_data") else len(tensor.int64_data)
    return bool(held == math.prod(tensor.dims))
