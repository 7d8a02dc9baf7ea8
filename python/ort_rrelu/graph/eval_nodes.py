"""lower_eval_nodes: eval nodes as LeakyRelu, where ONNX Runtime then gives the bits of the kernel.

It fuses a LeakyRelu with a convolution before it, folds it where its input is constant, and moves layouts
through it; of a custom operator it knows nothing. Unlike `lower`, this changes nothing else in the model.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto

from ort_rrelu import schema
from ort_rrelu.graph.check import may_train
from ort_rrelu.graph.edit import drop_functions, prune, replace_node
from ort_rrelu.graph.element_types import known_types
from ort_rrelu.graph.nodes import all_nodes, is_rrelu, is_standard, reads, subgraphs
from ort_rrelu.graph.opset import opset_of
from ort_rrelu.graph.standard_nodes import SHORT_FORMS, leaky_relu


def lower_eval_nodes(model: onnx.ModelProto) -> bool:
    """Turn RRelu nodes into LeakyRelu nodes, in place; were there any?

    Those in eval mode, of float, with a positive mean slope, and of whose outputs only Y is read; in bodies
    too, but not in functions, whose calls may differ in type. Names, inputs and outputs of the model stay. A
    step that nothing reads any more goes with what computes it, unless it is an input.

    The model need not be sound: what ONNX Runtime refuses in it, it refuses after this.
    """
    opset = opset_of(model)
    if opset is None or opset < SHORT_FORMS or any(is_standard(f.domain) for f in model.functions):
        return False
    lowered = [(node, new) for node in _candidates(model, opset) if (new := leaky_relu(node)) is not None]
    steps: set[str] = set()
    for node, new in lowered:
        steps |= replace_node(node, new)
        del node.output[1:]
    if steps := set(filter(None, steps)):
        _prune(model.graph, steps)
    if lowered and model.functions and all(node.domain != schema.DOMAIN for node in all_nodes(model)):
        drop_functions(model)
    return bool(lowered)


def _candidates(model: onnx.ModelProto, opset: int) -> list[onnx.NodeProto]:
    """Eval nodes of float of which Y alone is read."""
    evals = [node for node in _nodes_of_float(model, opset) if not may_train(node)]
    if not any(any(node.output[1:]) for node in evals):
        return evals
    read = set(reads(model.graph))
    return [node for node in evals if read.isdisjoint(filter(None, node.output[1:]))]


def _nodes_of_float(model: onnx.ModelProto, opset: int) -> list[onnx.NodeProto]:
    return [
        node
        for node, types in known_types(model, opset)
        if is_rrelu(node)
        and not node.overload
        and 1 <= len(node.input) <= 2
        and node.output
        and (types.get(node.input[0]) or types.get(node.output[0])) == TensorProto.FLOAT
        and not any(attribute.ref_attr_name for attribute in node.attribute)
    ]


def _prune(graph: onnx.GraphProto, steps: set[str]) -> None:
    """The bodies first: they read values of the graph around them."""
    for node in graph.node:
        for body in subgraphs(node):
            _prune(body, steps)
    prune(graph, steps)
