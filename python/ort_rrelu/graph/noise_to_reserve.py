"""noise_to_reserve: RRelu saves 1 bit an element for its gradient, where nothing else reads the noise."""

from __future__ import annotations

import onnx

from ort_rrelu import schema
from ort_rrelu.graph.check import attributes
from ort_rrelu.graph.names import Names
from ort_rrelu.graph.nodes import graph_nodes, subgraphs

__all__ = ["noise_to_reserve"]

_NOISE = 1  # output of RRelu
_SAVED = 1  # input of RReluGrad


def noise_to_reserve(model: onnx.ModelProto) -> int:
    """Replace, in place, noise by reserve where only RReluGrad nodes of the same graph read it.

    The gradients keep their bits: only train-mode nodes are taken, for which both give the same. Nodes in
    bodies of control flow and in functions, and noise that is an output, stay as they are.

    Returns:
        The number of RRelu nodes that now write a reserve.
    """
    names = Names(model)
    readers: dict[str, list[onnx.NodeProto]] = {}
    kept = {value.name for value in model.graph.output}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append(node)
            if not (_is_gradient(node) and place == _SAVED):
                kept.add(name)
        kept |= {name for body in subgraphs(node) for inner in graph_nodes(body) for name in inner.input}
    changed = 0
    for node in list(model.graph.node):
        if _is_train_node(node) and (noise := _noise(node)) in readers and noise not in kept:
            reserve = names.new(f"{node.output[0]}_reserve")
            node.output[_NOISE:] = ["", reserve]
            for reader in readers[noise]:
                reader.input[_SAVED] = reserve
            changed += 1
    return changed


def _is_gradient(node: onnx.NodeProto) -> bool:
    return bool(node.domain == schema.DOMAIN and node.op_type == schema.RRELU_GRAD)


def _is_train_node(node: onnx.NodeProto) -> bool:
    ours = node.domain == schema.DOMAIN and node.op_type == schema.RRELU
    return ours and bool(attributes(node)["training"])


def _noise(node: onnx.NodeProto) -> str:
    return str(node.output[_NOISE]) if len(node.output) > _NOISE else ""
