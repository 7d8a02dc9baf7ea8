"""add_step_input: one graph input `step`, the number of the draw, wired to every train node."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Set

import onnx
from onnx import TensorProto, helper

from ort_rrelu.arguments import check_switch
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.graph.check import check_model, may_train
from ort_rrelu.graph.embedding import embed_functions, is_portable
from ort_rrelu.graph.file import new_model
from ort_rrelu.graph.nodes import (
    LOOPS,
    Names,
    function_nodes,
    graph_nodes,
    is_rrelu,
    is_standard_op,
    label,
    our_nodes,
    step_of,
    subgraphs,
    value_names,
)
from ort_rrelu.graph.row_steps import declare_row_steps, is_of_rows

_STEP = "step"
_ITERATION_SHIFT = 32


def add_step_input(
    model: onnx.ModelProto | str | os.PathLike[str], name: str = _STEP, *, rows: bool = False
) -> onnx.ModelProto:
    """Add an int64 input, the number of the draw, for every train-mode RRelu node without a step.

    It is a scalar, or with rows=True has one step for each row. Nodes in the body of a Loop or Scan read
    `step + (iteration << 32)`, so that iterations differ. A portable model stays one.

    Args:
        model: a model, which is not changed, or a file; weights in other files stay there.
        name: of the input. One that other RRelu nodes read as their step already serves the rest too, and so
            does an int64 input that nothing reads. One that has a step for each row keeps its shape.
        rows: the input has the shape [d], d being the name or size of the other inputs' first dimension. Row
            n of each X then draws as alone, with step[n], whatever rows stand beside it. That is proved from
            the model, never by a run: along d all operators before a train node keep rows apart, and its X
            begins with d. A scalar input of this name that only RRelu nodes read becomes one of rows.

    Returns:
        A new model. One whose train nodes all have such a step already, or that has none, is returned as it
        is, copied.

    Raises:
        ModelFileError, InvalidValueError: not a model, an invalid node, another value of that name, or a
            train node in a function, in a loop inside a loop, or in a body of another op, where two runs
            could not be told apart; for rows also a train node for which there is no proof, or which has
            another step, and inputs whose first dimensions have neither name nor size.
        InvalidTypeError: name is not a string, rows not a bool, or model neither a model nor a path.
    """
    if not isinstance(name, str):
        raise InvalidTypeError(f"name={name!r}: it must be a string")
    if not name:
        raise InvalidValueError("name='': an input needs a name")
    check_switch("rows", rows)
    wired = new_model(model)
    check_model(wired)
    wire_step(wired, name, rows=rows)
    return wired


def wire_step(model: onnx.ModelProto, name: str = _STEP, *, rows: bool = False) -> None:
    """add_step_input in place; when it raises InvalidValueError for one step, the model is as it was."""
    if rows or _has_rows(model, name):
        _wire_rows(model, name)
    elif any(map(_is_waiting, our_nodes(model))):
        _refuse_functions(model, _is_waiting)
        _wire_input(model, name)
    else:
        return
    if is_portable(model):  # its function may have no step yet
        embed_functions(model)


def _wire_input(model: onnx.ModelProto, name: str, *, rows: bool = False) -> None:
    _refuse_bodies(model.graph, name, in_loop=False)
    if name not in step_inputs(model) and not _is_idle_step(model, name, rows=rows):
        if name in value_names(model.graph):
            raise InvalidValueError(
                f"the model has a value named {name!r} already: rename it, or wire it yourself"
            )
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, []))
    _wire(model.graph, name, Names(model))


def _has_rows(model: onnx.ModelProto, name: str) -> bool:
    """Do RRelu nodes read a step for each row from this input?"""
    return name in step_inputs(model) and any(v.name == name and is_of_rows(v) for v in model.graph.input)


def _wire_rows(model: onnx.ModelProto, name: str) -> None:
    """A step for each row for all train nodes, in place; the model may be changed when it raises."""
    if not any(is_rrelu(node) and may_train(node) for node in our_nodes(model)):
        return
    _refuse_functions(model, may_train)
    if not _has_rows(model, name):
        _refuse_other_readers(model, name)
    _wire_input(model, name, rows=True)
    served = _served(model, name)
    for node in our_nodes(model):
        if step_of(node) in served and not may_train(node):  # it reads none, and its X may have other rows
            del node.input[1:]
    declare_row_steps(model, name)


def _served(model: onnx.ModelProto, name: str) -> set[str]:
    """The input and what loops make of it."""
    steps = {step_of(node) for node in our_nodes(model)}
    sums = (node for node in graph_nodes(model.graph) if adds_iteration(node, steps))
    return {name, *(node.output[0] for node in sums if node.input[0] == name)}


def _refuse_other_readers(model: onnx.ModelProto, name: str) -> None:
    """Where RRelu nodes read it as one step for all, which it will not be any more."""
    if name not in step_inputs(model):
        return
    steps = {step_of(node) for node in our_nodes(model)}
    for node in graph_nodes(model.graph):
        if name in (node.input[:1] if is_rrelu(node) else node.input) and not adds_iteration(node, steps):
            raise InvalidValueError(
                f"{label(node)} reads {name!r} too, so that it cannot become a step for each row: name "
                "another input"
            )


def step_inputs(model: onnx.ModelProto) -> list[str]:
    """The inputs of the model that RRelu nodes read as their step, or loops add an iteration to."""
    steps = {step_of(node) for node in our_nodes(model)}
    added = {node.input[0] for node in graph_nodes(model.graph) if adds_iteration(node, steps)}
    return [value.name for value in model.graph.input if value.name in steps | added]


def scalar_steps(model: onnx.ModelProto) -> set[str]:
    """Those of these inputs that are declared as scalars: one step for all rows."""
    types = {value.name: value.type.tensor_type for value in model.graph.input}
    return {n for n in step_inputs(model) if types[n].HasField("shape") and not types[n].shape.dim}


def _is_idle_step(model: onnx.ModelProto, name: str, *, rows: bool) -> bool:
    """Is it an int64 input that nothing reads, a scalar, or with rows=True of one dimension?"""
    ranks = {0, 1} if rows else {0}
    types = (value.type.tensor_type for value in model.graph.input if value.name == name)
    found = any(
        t.elem_type == TensorProto.INT64 and t.HasField("shape") and len(t.shape.dim) in ranks for t in types
    )
    taken = value_names(onnx.GraphProto(node=model.graph.node, output=model.graph.output))
    return found and name not in taken | {tensor.name for tensor in model.graph.initializer}


def adds_iteration(node: onnx.NodeProto, steps: Set[str]) -> bool:
    """Does it compute one of the steps as loops do, `step + offset`?"""
    return bool(node.op_type == "Add" and not node.domain and node.output[0] in steps)


def _is_waiting(node: onnx.NodeProto) -> bool:
    """Is it a train-mode RRelu node without a step?"""
    return is_rrelu(node) and not step_of(node) and may_train(node)


def _waiting_bodies(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, onnx.GraphProto]]:
    for node in graph.node:
        for body in subgraphs(node):
            if any(map(_is_waiting, graph_nodes(body))):
                yield node, body


def _refuse_functions(model: onnx.ModelProto, wanted: Callable[[onnx.NodeProto], bool]) -> None:
    for function in model.functions:
        for node in function_nodes(function):
            if is_rrelu(node) and wanted(node):
                raise InvalidValueError(f"{label(node)} is in function {function.name}: inline it first")


def _refuse_bodies(graph: onnx.GraphProto, step: str, *, in_loop: bool) -> None:
    for node, body in _waiting_bodies(graph):
        if not is_standard_op(node, "If", *LOOPS):
            raise InvalidValueError(
                f"{node.op_type} node {node.name!r} has train-mode RRelu nodes in its body, and its runs "
                f"cannot be told apart: wire {step!r} yourself"
            )
        is_loop = is_standard_op(node, *LOOPS)
        if in_loop and is_loop:
            raise InvalidValueError(
                f"{node.op_type} node {node.name!r} with train-mode RRelu nodes is inside another loop: "
                f"steps of inner and outer iterations would collide; wire {step!r} yourself"
            )
        _refuse_bodies(body, step, in_loop=in_loop or is_loop)


def _wire(graph: onnx.GraphProto, step: str, names: Names) -> None:
    bodies = list(_waiting_bodies(graph))
    for node in filter(_is_waiting, graph.node):
        del node.input[1:]
        node.input.append(step)
    for node, body in bodies:
        if is_standard_op(node, *LOOPS):
            _wire_loop(graph, node, body, step, names)
        else:
            _wire(body, step, names)


def _wire_loop(
    graph: onnx.GraphProto, node: onnx.NodeProto, body: onnx.GraphProto, step: str, names: Names
) -> None:
    steps = {step_of(each) for each in graph_nodes(body)}
    if wired := next((each.output[0] for each in body.node if adds_iteration(each, steps)), None):
        _wire(body, wired, names)
        return
    read = next(filter(None, node.output), node.op_type.lower())  # nobody may read any output
    own = names.new(f"{step}_in_{read}")
    scale, offset = names.new(f"{own}_scale"), names.new(f"{own}_offset")
    is_loop = node.op_type == "Loop"
    iteration = body.input[0].name if is_loop else _count_iterations(graph, node, body, own, names)
    _wire(body, own, names)
    _prepend(
        body,
        _constant(scale, 1 << _ITERATION_SHIFT),
        helper.make_node("Mul", [iteration, scale], [offset], offset),
        helper.make_node("Add", [step, offset], [own], own),
    )


def _constant(name: str, number: int) -> onnx.NodeProto:
    tensor = helper.make_tensor(name, TensorProto.INT64, [], [number])
    return helper.make_node("Constant", [], [name], name, value=tensor)


def _prepend(body: onnx.GraphProto, *nodes: onnx.NodeProto) -> None:
    rest = list(body.node)
    del body.node[:]
    body.node.extend([*nodes, *rest])


def _count_iterations(
    graph: onnx.GraphProto, node: onnx.NodeProto, body: onnx.GraphProto, own: str, names: Names
) -> str:
    """A Scan body does not know its iteration: give it one more state variable, which counts from 0."""
    scanned = next(a.i for a in node.attribute if a.name == "num_scan_inputs")
    place = len(body.input) - scanned
    first, now, following, last, one = (
        names.new(f"{own}_{word}") for word in ("first", "iteration", "next", "last", "one")
    )
    graph.initializer.append(helper.make_tensor(first, TensorProto.INT64, [], [0]))
    node.input.insert(place, first)
    node.output.insert(place, last)
    for values, name in ((body.input, now), (body.output, following)):
        moved = [*values[:place], helper.make_tensor_value_info(name, TensorProto.INT64, []), *values[place:]]
        del values[:]
        values.extend(moved)
    _prepend(body, _constant(one, 1), helper.make_node("Add", [now, one], [following], following))
    return now
