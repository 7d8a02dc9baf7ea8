"""The check of what our nodes read and write, in models in which no kernel will look at them."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from ort_rrelu import library, schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.calls import with_ours
from ort_rrelu.graph.check import attributes
from ort_rrelu.graph.element_types import ElementTypes, graphs_with_types
from ort_rrelu.graph.inlining import inline_our_nodes
from ort_rrelu.graph.nodes import label

__all__ = ["check_types"]

_SAVED = 1  # input of RReluGrad


def check_types(model: onnx.ModelProto) -> None:
    """Check every node of our domain, in graphs, bodies and functions, as far as onnx infers the types.

    Raises InvalidValueError that names the node, the value, its type and what is allowed: an element type
    that the op does not take, noise of another type than dY, or a bound that is not finite in the type of X.
    """
    for graph, types in graphs_with_types(_without_own_functions(model)):
        for node in graph.node:
            if node.domain == schema.DOMAIN:
                _check_node(node, types)


def _without_own_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Functions serve several types: their nodes are judged at each call, if they can be inlined."""
    if not with_ours(model):
        return model
    others = [function for function in model.functions if function.domain != schema.DOMAIN]
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.functions[:]
    plain.functions.extend(others)
    try:
        inline_our_nodes(plain)
    except InvalidValueError:  # of another opset: what is in it is known where the model runs
        return model
    return plain


def _check_node(node: onnx.NodeProto, types: ElementTypes) -> None:
    op = schema.schemas()[node.op_type]
    values = ((op.inputs, node.input), (op.outputs, node.output))
    for parameter, name in (pair for each in values for pair in zip(*each, strict=False)):
        if name in types and _type_name(types[name]) not in parameter.types:
            allowed = [kind for kind in TensorProto.DataType.values() if _type_name(kind) in parameter.types]
            raise InvalidValueError(
                f'{label(node)}: "{name}" is of type {_name(types[name])}: {parameter.name} must be of type '
                f"{' or '.join(map(_name, allowed))}"
            )
    if node.op_type == schema.RRELU:
        _check_bounds(node, types)
    else:
        _check_noise(node, types)


def _type_name(element: int) -> str:
    return f"tensor({_name(element).lower()})"


def _name(element: int) -> str:
    known = element in TensorProto.DataType.values()
    return str(TensorProto.DataType.Name(element)) if known else f"number {element}"


def _check_bounds(node: onnx.NodeProto, types: ElementTypes) -> None:
    names = (*node.input[:1], *node.output[:1])
    element = next((types[name] for name in names if name in types), None)
    if element is None:
        return
    values = attributes(node)
    try:
        library.check(library.Params(element, values["lower"], values["upper"]))
    except InvalidValueError as error:
        raise InvalidValueError(f"{label(node)}: {error}") from error


def _check_noise(node: onnx.NodeProto, types: ElementTypes) -> None:
    if len(node.input) <= _SAVED:
        return
    dy, saved = types.get(node.input[0]), types.get(node.input[_SAVED])
    if dy is not None and saved not in {None, dy, TensorProto.UINT8}:
        raise InvalidValueError(
            f'{label(node)}: "{node.input[_SAVED]}" is of type {_name(saved)}, and dY of type {_name(dy)}: '
            "noise is of the type of dY"
        )
