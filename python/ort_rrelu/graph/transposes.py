"""move_before_transposes: nodes that work on each element alone go before the Transpose of their input.

Then the Transpose meets the one that tf2onnx writes after the node, and runtimes drop both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import onnx

from ort_rrelu.graph.nodes import Container, is_standard_op, name_of, reads


def move_before_transposes(container: Container, nodes: Iterable[onnx.NodeProto]) -> None:
    """Swap, in place, each node with the Transpose of its only input, if nothing else reads that.

    The nodes have one output, and stand in the container, in its order.
    """
    readers = Counter(reads(container))
    writers = {name: node for node in container.node for name in node.output}
    moved = set()
    for node in nodes:
        before = writers.get(node.input[0])
        if before is not None and is_standard_op(before, "Transpose") and readers[node.input[0]] == 1:
            moved.add(node.input[0])
            _swap(before, node)
    for place in reversed(range(len(container.value_info))):
        if container.value_info[place].name in moved:  # it has another shape now
            del container.value_info[place]


def _swap(transpose: onnx.NodeProto, node: onnx.NodeProto) -> None:
    """y = node(x) after x = Transpose(c) becomes x = node(c), y = Transpose(x)."""
    first, second = onnx.NodeProto(), onnx.NodeProto()
    first.CopyFrom(node)
    second.CopyFrom(transpose)
    first.name = name_of(node)
    first.input[0] = transpose.input[0]
    first.output[0], second.output[0] = transpose.output[0], node.output[0]
    second.input[0] = transpose.output[0]
    transpose.CopyFrom(first)
    node.CopyFrom(second)
