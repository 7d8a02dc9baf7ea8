"""What RRelu saves for its gradient, turned into the other form: noise, or a bit for each element."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.check import attributes
from ort_rrelu.graph.nodes import (
    Names,
    function_nodes,
    graph_nodes,
    is_gradient,
    is_rrelu,
    label,
    subgraphs,
)

_NOISE, _RESERVE = 1, 2  # outputs of RRelu
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
            if not (is_gradient(node) and place == _SAVED):
                kept.add(name)
        kept |= {name for body in subgraphs(node) for inner in graph_nodes(body) for name in inner.input}
    changed = 0
    for node in list(model.graph.node):
        if _is_train_node(node) and (noise := _noise_of(node)) in readers and noise not in kept:
            reserve = names.new(f"{node.output[0]}_reserve")
            node.output[_NOISE:] = ["", reserve]
            for reader in readers[noise]:
                reader.input[_SAVED] = reserve
            changed += 1
    return changed


def _is_train_node(node: onnx.NodeProto) -> bool:
    return is_rrelu(node) and bool(attributes(node)["training"])


def _noise_of(node: onnx.NodeProto) -> str:
    return str(node.output[_NOISE]) if len(node.output) > _NOISE else ""


def reserve_to_noise(model: onnx.ModelProto) -> None:
    """Replace, in place, every reserve by noise, from which standard operators can compute.

    After a train-mode forward the gradient keeps its bits.

    Raises:
        InvalidValueError: a reserve is read by anything but RReluGrad, is an output, or comes from elsewhere.
    """
    names = Names(model)
    graphs = [body for node in graph_nodes(model.graph) for body in subgraphs(node)]
    outputs = {value.name for graph in (model.graph, *graphs) for value in graph.output}
    _rewrite(list(graph_nodes(model.graph)), outputs, names)
    for function in model.functions:
        bodies = [body for node in function_nodes(function) for body in subgraphs(node)]
        outputs = {value.name for body in bodies for value in body.output} | set(function.output)
        _rewrite(list(function_nodes(function)), outputs, names)
    _refuse_foreign(model)


def _rewrite(nodes: list[onnx.NodeProto], outputs: Iterable[str], names: Names) -> None:
    writers = {node.output[_RESERVE]: node for node in nodes if _has_reserve(node)}
    for name in outputs:
        if name in writers:
            raise _unwritable(writers[name], "it is an output")
    for node in nodes:
        for place, name in enumerate(node.input):
            if name in writers:
                if not (is_gradient(node) and place == _SAVED):
                    raise _unwritable(writers[name], f"{node.op_type} node {node.name!r} reads it")
                node.input[place] = _written_noise(writers[name], names)
    for writer in writers.values():
        del writer.output[_RESERVE:]


def _has_reserve(node: onnx.NodeProto) -> bool:
    return is_rrelu(node) and len(node.output) > _RESERVE and bool(node.output[_RESERVE])


def _written_noise(writer: onnx.NodeProto, names: Names) -> str:
    if not writer.output[_NOISE]:
        writer.output[_NOISE] = names.new(f"{writer.output[0]}_written_noise")
    return str(writer.output[_NOISE])


def _unwritable(writer: onnx.NodeProto, why: str) -> InvalidValueError:
    return InvalidValueError(
        f'{label(writer)}: standard operators cannot write its reserve "{writer.output[_RESERVE]}", '
        f"and {why}: only RReluGrad may read it, which then reads noise instead"
    )


def _refuse_foreign(model: onnx.ModelProto) -> None:
    """A reserve that no RRelu node of the model writes is known by its type."""
    graph = model.graph
    written = {
        value.name
        for value in (*graph.input, *graph.value_info)
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    } | {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.UINT8}
    for node in graph_nodes(graph):
        if is_gradient(node) and node.input[_SAVED] in written:
            raise InvalidValueError(
                f'{label(node)}: it reads the reserve "{node.input[_SAVED]}", which no RRelu node of the '
                "model writes, and standard operators cannot read it: give it noise"
            )
