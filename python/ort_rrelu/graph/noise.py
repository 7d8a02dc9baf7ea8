"""remove_unused_noise: an RRelu whose noise nobody reads writes one output instead of two."""

from __future__ import annotations

import onnx

from ort_rrelu.graph.nodes import all_nodes, our_nodes, subgraphs

__all__ = ["remove_unused_noise"]


def remove_unused_noise(model: onnx.ModelProto) -> None:
    """Drop, in place, the second output of every RRelu node where no node and no graph output reads it."""
    graphs = [model.graph, *(g for n in all_nodes(model) for g in subgraphs(n))]
    read = {name for node in all_nodes(model) for name in node.input}
    read |= {output.name for graph in graphs for output in graph.output}
    read |= {name for function in model.functions for name in function.output}
    for node in our_nodes(model):
        while len(node.output) > 1 and node.output[-1] not in read:
            del node.output[-1]
