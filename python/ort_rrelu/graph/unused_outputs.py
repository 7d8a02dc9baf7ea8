"""remove_unused_outputs: an RRelu whose noise or reserve nobody reads does not write it."""

from __future__ import annotations

import onnx

from ort_rrelu.graph.nodes import all_nodes, our_nodes, subgraphs

__all__ = ["remove_unused_outputs"]


def remove_unused_outputs(model: onnx.ModelProto) -> None:
    """Drop, in place, the optional outputs of RRelu nodes that no node and no graph output reads.

    One that stands before an output that is read becomes an empty name.
    """
    graphs = [model.graph, *(g for n in all_nodes(model) for g in subgraphs(n))]
    read = {name for node in all_nodes(model) for name in node.input}
    read |= {output.name for graph in graphs for output in graph.output}
    read |= {name for function in model.functions for name in function.output}
    for node in our_nodes(model):
        node.output[1:] = [name if name in read else "" for name in node.output[1:]]
        while len(node.output) > 1 and not node.output[-1]:
            del node.output[-1]
