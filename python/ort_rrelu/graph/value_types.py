"""The types of a model's values as shape inference knows them: asked for, checked, and written down."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

import onnx
from onnx import TensorProto
from onnx.defs import OpSchema

from ort_rrelu import library, schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.calls import inline_our_nodes, with_ours
from ort_rrelu.graph.check import attributes
from ort_rrelu.graph.edit import drop_functions
from ort_rrelu.graph.nodes import key_of_callee, label, subgraphs
from ort_rrelu.graph.onnx_tools import inferred

ElementTypes = Mapping[str, int]  # name -> onnx.TensorProto.DataType
Values = Mapping[str, onnx.ValueInfoProto]
_Fact = TypeVar("_Fact")


def graphs_with_types(model: onnx.ModelProto) -> list[tuple[onnx.GraphProto, ElementTypes]]:
    """The model's graph and the bodies in it, each before the one around it, with the types seen from there.

    Values are missing that shape inference cannot follow, such as those behind an op of another domain.

    Raises InvalidValueError when onnx cannot read the model.
    """
    return list(_walk(model.graph, inferred(model).graph, ChainMap(), _types))


def graphs_with_values(model: onnx.ModelProto) -> list[tuple[onnx.GraphProto, Values]]:
    """The same with what is known of each value, its shape too."""
    return list(_walk(model.graph, inferred(model).graph, ChainMap(), _values))


def _walk(
    graph: onnx.GraphProto,
    twin: onnx.GraphProto,
    outer: ChainMap[str, _Fact],
    facts_of: Callable[[onnx.GraphProto], dict[str, _Fact]],
) -> Iterator[tuple[onnx.GraphProto, Mapping[str, _Fact]]]:
    facts = ChainMap(facts_of(twin), *outer.maps)
    for node, its_twin in zip(graph.node, twin.node, strict=True):
        for body, inner in zip(subgraphs(node), subgraphs(its_twin), strict=True):
            yield from _walk(body, inner, facts, facts_of)
    yield graph, facts


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    values = (*graph.input, *graph.value_info, *graph.output)
    known = {value.name: value.type.tensor_type.elem_type for value in values}
    known |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name: kind for name, kind in known.items() if kind}


def _values(graph: onnx.GraphProto) -> dict[str, onnx.ValueInfoProto]:
    known = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    tensors = {
        tensor.name: onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
    }
    return known | tensors


def declare_call_types(model: onnx.ModelProto) -> None:
    """Declare, in place, the outputs of calls of functions that contain our nodes, in graphs and bodies.

    ONNX Runtime does not look at a custom op when it infers what a function gives, and refuses the model. In
    a portable one our ops are functions themselves.

    Raises:
        InvalidValueError: onnx does not know the type either.
    """
    ours = with_ours(model)
    if not ours:
        return
    for graph, values in graphs_with_values(model):
        declared = {value.name for value in (*graph.value_info, *graph.output) if value.HasField("type")}
        for node in graph.node:
            if key_of_callee(node) in ours:
                graph.value_info.extend(
                    _known(node, name, values) for name in node.output if name and name not in declared
                )


def _known(call: onnx.NodeProto, name: str, values: Values) -> onnx.ValueInfoProto:
    if name in values and values[name].type.WhichOneof("value"):
        return values[name]
    raise InvalidValueError(
        f'{label(call)}: the type of its output "{name}" is not known, and ONNX Runtime needs it, for the '
        "function contains nodes of ours: declare it in value_info"
    )


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
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    drop_functions(plain)
    try:
        inline_our_nodes(plain)
    except InvalidValueError:  # of another opset: what is in it is known where the model runs
        return model
    return plain


def _kinds(op: OpSchema, parameter: OpSchema.FormalParameter) -> Collection[str]:
    """Types that a parameter takes. It has them itself, too, but onnx 1.20 cannot tell them to Python."""
    kinds = {each.type_param_str: each.allowed_type_strs for each in op.type_constraints}
    return kinds.get(parameter.type_str, [parameter.type_str])


def _check_node(node: onnx.NodeProto, types: ElementTypes) -> None:
    op = schema.schemas()[node.op_type]
    values = ((op.inputs, node.input), (op.outputs, node.output))
    for parameter, name in (pair for each in values for pair in zip(*each, strict=False)):
        if name in types and _type_name(types[name]) not in (kinds := _kinds(op, parameter)):
            allowed = [kind for kind in TensorProto.DataType.values() if _type_name(kind) in kinds]
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
