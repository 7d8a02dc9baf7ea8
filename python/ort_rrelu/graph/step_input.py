"""add_step_input: one graph input `step`, the number of the draw, wired to every train node."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.check import attributes
from ort_rrelu.graph.nodes import all_nodes, graph_nodes, label, our_nodes, subgraphs

__all__ = ["add_step_input"]

_STEP = "step"
_ITERATION_SHIFT = 32


def add_step_input(model: onnx.ModelProto) -> None:
    """Add, in place, an int64 scalar input `step` that every train-mode RRelu node without a step reads.

    Nodes in the body of a Loop or Scan read `step + (iteration << 32)`, so that iterations differ. A model
    whose train nodes all have a step already, or that has none, is left as it is.

    Raises:
        InvalidValueError: the model has another value named `step`, or a train node in a function or in a
            loop inside a loop, where two runs could not be told apart.
    """
    if not any(map(_is_waiting, our_nodes(model))):
        return
    _refuse_functions(model)
    names = {name for node in all_nodes(model) for name in (*node.input, *node.output)}
    names |= {v.name for v in (*model.graph.input, *model.graph.initializer)}
    if _STEP in names:
        raise InvalidValueError(
            f"the model has a value named {_STEP!r} already: rename it, or wire it yourself"
        )
    model.graph.input.append(helper.make_tensor_value_info(_STEP, TensorProto.INT64, []))
    _wire(model.graph, _STEP, in_loop=False)


def _needs_step(node: onnx.NodeProto) -> bool:
    return bool(attributes(node)["training"]) and (len(node.input) < 2 or not node.input[1])


def _refuse_functions(model: onnx.ModelProto) -> None:
    for function in model.functions:
        for node in function.node:
            if _is_waiting(node):
                raise InvalidValueError(f"{label(node)} is in function {function.name}: inline it first")


def _is_waiting(node: onnx.NodeProto) -> bool:
    return node.domain == schema.DOMAIN and node.op_type == schema.RRELU and _needs_step(node)


def _wire(graph: onnx.GraphProto, step: str, *, in_loop: bool) -> None:
    for node in graph.node:
        if _is_waiting(node):
            del node.input[1:]
            node.input.append(step)
        for body in subgraphs(node):
            if not any(map(_is_waiting, graph_nodes(body))):
                continue
            if node.op_type in {"Loop", "Scan"}:
                _wire_loop(graph, node, body, step, in_loop=in_loop)
            else:
                _wire(body, step, in_loop=in_loop)


def _wire_loop(
    graph: onnx.GraphProto, node: onnx.NodeProto, body: onnx.GraphProto, step: str, *, in_loop: bool
) -> None:
    if in_loop:
        raise InvalidValueError(
            f"{node.op_type} node {node.name!r} with train-mode RRelu nodes is inside another loop: steps of "
            f"inner and outer iterations would collide; wire {_STEP!r} yourself"
        )
    own = f"{_STEP}_in_{node.output[0]}"
    iteration = body.input[0].name if node.op_type == "Loop" else _count_iterations(graph, node, body, own)
    scale = helper.make_tensor(f"{own}_scale", TensorProto.INT64, [], [1 << _ITERATION_SHIFT])
    _wire(body, own, in_loop=True)
    _prepend(
        body,
        helper.make_node("Constant", [], [f"{own}_scale"], value=scale),
        helper.make_node("Mul", [iteration, f"{own}_scale"], [f"{own}_offset"]),
        helper.make_node("Add", [step, f"{own}_offset"], [own]),
    )


def _prepend(body: onnx.GraphProto, *nodes: onnx.NodeProto) -> None:
    rest = list(body.node)
    del body.node[:]
    body.node.extend([*nodes, *rest])


def _count_iterations(graph: onnx.GraphProto, node: onnx.NodeProto, body: onnx.GraphProto, own: str) -> str:
    """A Scan body does not know its iteration: give it one more state variable, which counts from 0."""
    scanned = next(a.i for a in node.attribute if a.name == "num_scan_inputs")
    place = len(body.input) - scanned
    first, now, following, last = (f"{own}_{word}" for word in ("first", "iteration", "next", "last"))
    graph.initializer.append(helper.make_tensor(first, TensorProto.INT64, [], [0]))
    node.input.insert(place, first)
    node.output.insert(place, last)
    for values, name in ((body.input, now), (body.output, following)):
        moved = [*values[:place], helper.make_tensor_value_info(name, TensorProto.INT64, []), *values[place:]]
        del values[:]
        values.extend(moved)
    one = helper.make_tensor(f"{own}_one", TensorProto.INT64, [], [1])
    _prepend(
        body,
        helper.make_node("Constant", [], [f"{own}_one"], value=one),
        helper.make_node("Add", [now, f"{own}_one"], [following]),
    )
    return now
