"""lower_eval_nodes: eval nodes as LeakyRelu, where ONNX Runtime then gives the bits of the kernel.

It fuses a LeakyRelu with a convolution before it, folds it where its input is constant, and moves layouts
through it; of a custom operator it knows nothing. Unlike `lower`, this changes nothing else in the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx
from onnx import TensorProto

from ort_rrelu.graph.check import may_train
from ort_rrelu.graph.edit import drop_functions, prune
from ort_rrelu.graph.element_types import known_types
from ort_rrelu.graph.nodes import is_rrelu, is_standard, reads, step_of, subgraphs
from ort_rrelu.graph.opset import opset_of
from ort_rrelu.graph.refused_nodes import has_types_of_rrelu, imports_our_operators, without_refused
from ort_rrelu.graph.standard_nodes import SHORT_FORMS, leaky_slope


def lower_eval_nodes(model: onnx.ModelProto, ours: Sequence[onnx.NodeProto]) -> bool:
    """Turn RRelu nodes into LeakyRelu nodes, in place; were there any?

    Those in eval mode, of float, with a positive mean slope, and of whose outputs only Y is read; in bodies
    too, but not in functions, whose calls may differ in type. Names, inputs and outputs of the model stay. A
    step that nothing reads any more goes with what computes it, unless it is an input.

    The model need not be sound: what ONNX Runtime or a kernel refuses in it before it runs, is refused after
    this.

    Args:
        model: in which all functions of ours have their names.
        ours: the nodes of our domain in it, those in functions too.
    """
    opset = opset_of(model)
    if opset is None or opset < SHORT_FORMS or any(is_standard(f.domain) for f in model.functions):
        return False
    if sum(is_standard(entry.domain) for entry in model.opset_import) > 1:
        return False  # ONNX Runtime may take another of them
    if not imports_our_operators(model):
        return False
    lowered = [
        (node, slope) for node in _candidates(model, opset) if (slope := leaky_slope(node)) is not None
    ]
    steps = set(filter(None, (step_of(node) for node, _slope in lowered)))
    for node, slope in lowered:
        _become_leaky_relu(node, slope)
    if steps:
        _prune(model.graph, steps)
    if model.functions and len(lowered) == len(ours):
        drop_functions(model)
    return bool(lowered)


def _become_leaky_relu(node: onnx.NodeProto, slope: float) -> None:
    node.domain, node.op_type = "", "LeakyRelu"
    del node.input[1:], node.output[1:], node.attribute[:]
    node.attribute.add(name="alpha", type=onnx.AttributeProto.FLOAT, f=slope)


def has_eval_nodes(ours: Iterable[onnx.NodeProto]) -> bool:
    """Is one of these nodes of our domain in eval mode?"""
    return any(is_rrelu(node) and not may_train(node) for node in ours)


def _candidates(model: onnx.ModelProto, opset: int) -> list[onnx.NodeProto]:
    """Eval nodes of float of which Y alone is read."""
    evals = [node for node in _nodes_of_float(model, opset) if not may_train(node)]
    if any(any(node.output[1:]) for node in evals):
        read = set(reads(model.graph))
        evals = [node for node in evals if read.isdisjoint(filter(None, node.output[1:]))]
    return without_refused(model, evals)


def _nodes_of_float(model: onnx.ModelProto, opset: int) -> list[onnx.NodeProto]:
    return [
        node
        for node, types in known_types(model, opset)
        if is_rrelu(node)
        and not node.overload
        and has_types_of_rrelu(node, types)
        and (types.get(node.input[0]) or types.get(node.output[0])) == TensorProto.FLOAT
        and not any(attribute.ref_attr_name for attribute in node.attribute)
    ]


def _prune(graph: onnx.GraphProto, steps: set[str]) -> None:
    """The bodies first: they read values of the graph around them."""
    for node in graph.node:
        for body in subgraphs(node):
            _prune(body, steps)
    prune(graph, steps)
