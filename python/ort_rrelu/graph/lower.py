"""lower: a model without nodes of ours, for runtimes that have neither the library nor functions."""

from __future__ import annotations

import os

import onnx

from ort_rrelu import functions, schema
from ort_rrelu.arguments import check_switch
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.functions import Shape
from ort_rrelu.graph.calls import call_inlined, inline_our_nodes
from ort_rrelu.graph.check import attributes, check_model
from ort_rrelu.graph.edit import drop_functions, remove_unused_outputs
from ort_rrelu.graph.embedding import write_attributes
from ort_rrelu.graph.file import new_model
from ort_rrelu.graph.nodes import Names, label, our_nodes, step_of
from ort_rrelu.graph.opset import lower_ir_version, opset_of, raise_opset
from ort_rrelu.graph.reserves import reserve_to_noise
from ort_rrelu.graph.standard_nodes import UNKNOWN, oldest_opset, standard_nodes
from ort_rrelu.graph.unread_steps import remove_unread_steps, step_values
from ort_rrelu.graph.value_types import ElementTypes, check_types, graphs_with_types

_OPS = (schema.RRELU, schema.RRELU_GRAD)


def lower(model: onnx.ModelProto | str | os.PathLike[str], *, exact: bool = False) -> onnx.ModelProto:
    """Replace RRelu and RReluGrad by standard operators; nothing of ours is left, functions neither.

    Eval nodes become a LeakyRelu, which ONNX Runtime fuses into a convolution before it, or where LeakyRelu
    would give other bits (double, a negative slope) Where and Mul; 16-bit types go through Cast. The bits are
    those of the kernel.

    Train nodes become RandomUniformLike and PRelu, or Where and Mul where noise is read and in other types
    than float. The runtime's generator draws: other slopes than the kernel's, whatever `seed` and `step`,
    from [lower, upper] up to the rounding of a float. A seeded node keeps its seed modulo 2^24. PRelu makes
    NaN of an infinity in ONNX Runtime 1.17 to 1.24. From opset 22 on ONNX Runtime has no RandomUniformLike:
    there they become the random stream in standard operators, as with exact=True, which without a seed and a
    step draws anew in every run.

    Args:
        model: a model, which is not changed, or a file; weights in other files stay there.
        exact: let train nodes give the kernel's bits instead, by the random stream in standard operators,
            about 300 nodes for each, about 1/50 as fast as the kernel. They need a seed and a step.

    Returns:
        A new model, with the oldest IR version that its contents allow. Its opset stays unless it is too old:
        below 7 (float), 13 (other types, noise) or 18 (exact, and in eval mode where the element type is
        unknown; 15 in train mode). The model's own functions that contain such nodes are inlined. An
        input that was their step, and that nothing reads any more, is gone, and so is what only computed a
        step; other inputs stay. A model without RRelu and RReluGrad is returned as it is, copied.

    Raises:
        ModelFileError, InvalidValueError: not a model, an invalid node, an opset that cannot be converted, a
            function that cannot be inlined, a reserve that more than RReluGrad reads, or with exact=True a
            train node without seed or step.
        InvalidTypeError: exact is not a bool, or model neither a model nor a path.
    """
    check_switch("exact", exact)
    lowered = new_model(model)
    check_model(lowered)
    if not any(our_nodes(lowered, op) for op in _OPS):
        return lowered
    drop_functions(lowered)
    inline_our_nodes(lowered)
    check_model(lowered)  # of nodes that have values from calls of their functions now
    check_types(lowered)
    remove_unused_outputs(lowered)
    reserve_to_noise(lowered)
    if exact:
        _check_reproducible(lowered)
    steps = step_values(lowered)
    by_stream = exact or (opset_of(lowered) or 0) >= functions.NO_RANDOM_UNIFORM
    raise_opset(lowered, _oldest_opset(lowered, by_stream))
    _write_standard_nodes(lowered, by_stream)
    _drop_imports(lowered)
    remove_unread_steps(lowered, steps)
    lower_ir_version(lowered)
    return lowered


def _check_reproducible(model: onnx.ModelProto) -> None:
    for node in our_nodes(model):
        values = attributes(node)
        if not values["training"]:
            continue
        if values["seed"] < 0:
            raise InvalidValueError(
                f"{label(node)}: seed={values['seed']}: a train node that is lowered exactly needs one of "
                "0 or more, which graph.seed gives"
            )
        if not step_of(node):
            raise InvalidValueError(
                f"{label(node)}: it has no step: a train node that is lowered exactly needs one, which "
                "graph.add_step_input gives"
            )


def _needs_function(node: onnx.NodeProto, element: int, by_stream: bool) -> bool:
    """Does it compute the random stream, or in eval mode what depends on an unknown T?"""
    if node.op_type != schema.RRELU:
        return False
    return by_stream if attributes(node)["training"] else element == UNKNOWN


def _element(node: onnx.NodeProto, types: ElementTypes) -> int:
    """Its T."""
    return next((types[name] for name in (node.input[0], node.output[0]) if name in types), UNKNOWN)


def _oldest_opset(model: onnx.ModelProto, by_stream: bool) -> int:
    def needed(node: onnx.NodeProto, element: int) -> int:
        by_function = _needs_function(node, element, by_stream)
        return functions.OLDEST_OPSET if by_function else oldest_opset(node, element)

    return max(
        (
            needed(node, _element(node, types))
            for graph, types in graphs_with_types(model)
            for node in graph.node
            if node.domain == schema.DOMAIN
        ),
        default=1,  # all were in functions that nobody calls
    )


def _write_standard_nodes(model: onnx.ModelProto, by_stream: bool) -> None:
    names, opset = Names(model), opset_of(model)
    assert opset is not None
    for graph, types in graphs_with_types(model):
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            if node.domain != schema.DOMAIN:
                nodes.append(node)
                continue
            element, prefix = _element(node, types), names.prefix(node.output[0])
            by_function = _needs_function(node, element, by_stream)
            nodes += (
                _by_function(node, opset, prefix) if by_function else standard_nodes(node, element, prefix)
            )
        _set_nodes(graph, nodes)


def _set_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    copies = onnx.GraphProto(node=nodes)
    del graph.node[:]
    graph.node.extend(copies.node)


def _by_function(node: onnx.NodeProto, opset: int, prefix: str) -> list[onnx.NodeProto]:
    """The nodes of one branch of RRelu's function."""
    values, noise = attributes(node), len(node.output) > 1
    training = bool(values["training"])
    step = training and bool(step_of(node))
    function = functions.rrelu_in_one_mode(
        Shape(step=step, noise=noise), opset, training=training, seeded=values["seed"] >= 0
    )
    write_attributes(node)
    del node.input[1 + step :]
    return call_inlined(function, node, prefix)


def _drop_imports(model: onnx.ModelProto) -> None:
    for part in (model, *model.functions):
        others = [entry for entry in part.opset_import if entry.domain != schema.DOMAIN]
        del part.opset_import[:]
        part.opset_import.extend(others)
