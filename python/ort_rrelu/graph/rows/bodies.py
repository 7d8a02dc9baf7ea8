"""Control flow: bodies that are run by what does not depend on the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx
from onnx import helper

from ort_rrelu.graph.rows.values import COUNTS, MixingError, Value

# A body and the values of its inputs -> the values of its outputs.
_Follow = Callable[[onnx.GraphProto, Sequence[Value]], list[Value]]


def _graph(node: onnx.NodeProto, name: str) -> onnx.GraphProto:
    for attribute in node.attribute:
        if attribute.name == name and attribute.type == onnx.AttributeProto.GRAPH:
            graph: onnx.GraphProto = attribute.g
            return graph
    raise MixingError(f"has no body {name}")


def _attribute(node: onnx.NodeProto, name: str) -> list[int] | None:
    return next((list(a.ints) for a in node.attribute if a.name == name), None)


def _same_for_all(value: Value | None) -> None:
    if value is not None and (value.rows is not None or value.sized or value.causes):
        raise MixingError("runs a body by a condition that depends on the batch")


def one_of(follow: _Follow, node: onnx.NodeProto, inputs: Sequence[Value | None]) -> list[Value]:
    """If: the branch that is taken where that is known, else both, which must agree."""
    condition = inputs[0] if inputs else None
    _same_for_all(condition)
    if condition is not None and condition.numbers is not None:
        name = "then_branch" if condition.numbers.any() else "else_branch"
        return follow(_graph(node, name), [])
    one, other = (follow(_graph(node, name), []) for name in ("then_branch", "else_branch"))
    if len(one) != len(other):
        raise MixingError("has branches with different numbers of outputs")
    return [_either(*pair) for pair in zip(one, other, strict=True)]


def _either(one: Value, other: Value) -> Value:
    if causes := tuple(dict.fromkeys(one.causes + other.causes)):
        return Value(onnx.TypeProto(), causes=causes)
    if one.sized or other.sized or one.rows != other.rows or one.shape != other.shape:
        raise MixingError("has branches that give the batch differently")
    return Value(one.type, one.rows)


def _outputs(before: Sequence[Value], after: Sequence[Value], stacked: list[Value]) -> list[Value]:
    """What a Loop or Scan gives: the states, which must be what they began with, and what is stacked.

    A state that mixes rows reaches everything in the body from its second run on, read afterwards or not.
    """
    if causes := tuple(dict.fromkeys(cause for state in after for cause in state.causes)):
        return [Value(onnx.TypeProto(), causes=causes)] * (len(after) + len(stacked))
    for old, new in zip(before, after, strict=True):
        if new.sized or new.rows != old.rows or new.shape != old.shape:
            raise MixingError("has a body that passes the batch on differently than it got it")
    return [Value(new.type, new.rows) for new in after] + stacked


def _states(values: Sequence[Value | None]) -> list[Value]:
    states = []
    for value in values:
        if value is None or value.sized:
            raise MixingError(COUNTS)
        states.append(Value(value.type, value.rows))
    return states


def loop(follow: _Follow, node: onnx.NodeProto, inputs: Sequence[Value | None]) -> list[Value]:
    """Loop, as many times for every batch."""
    for value in inputs[:2]:
        _same_for_all(value)
    states, body = _states(inputs[2:]), _graph(node, "body")
    if len(body.input) != 2 + len(states) or len(body.output) < 1 + len(states):
        raise MixingError("has a body that does not fit its inputs")
    count = Value(helper.make_tensor_type_proto(onnx.TensorProto.INT64, []))
    going_on = Value(helper.make_tensor_type_proto(onnx.TensorProto.BOOL, []))
    condition, *after = follow(body, [count, going_on, *states])
    _same_for_all(condition)
    stacked = [_stacked(value, 0) for value in after[len(states) :]]
    return _outputs(states, after[: len(states)], stacked)


def scan(follow: _Follow, node: onnx.NodeProto, inputs: Sequence[Value | None]) -> list[Value]:
    """Scan along other axes."""
    body = _graph(node, "body")
    scanned = next((a.i for a in node.attribute if a.name == "num_scan_inputs"), 0)
    first = len(inputs) - scanned
    if not 0 < scanned <= len(inputs) == len(body.input) or len(body.output) < first:
        raise MixingError("has a body that does not fit its inputs")
    axes = _attribute(node, "scan_input_axes") or [0] * scanned
    places = _attribute(node, "scan_output_axes") or [0] * (len(body.output) - first)
    if len(axes) != scanned or len(places) != len(body.output) - first:
        raise MixingError("has axes for another number of values than it scans")
    states = _states(inputs[:first])
    parts = [_part(value, axis) for value, axis in zip(_states(inputs[first:]), axes, strict=True)]
    after = follow(body, [*states, *parts])
    stacked = [_stacked(value, axis) for value, axis in zip(after[first:], places, strict=True)]
    return _outputs(states, after[:first], stacked)


def _part(value: Value, axis: int) -> Value:
    """One of those that a value is cut into along an axis."""
    dims = list(value.known_shape())
    if not dims:
        raise MixingError("scans a value without axes")
    axis %= len(dims)
    rows = value.rows
    if rows is not None:
        if rows.axis == axis:
            raise MixingError("works along the batch: it scans the rows one after the other")
        rows = rows.at(rows.axis - (axis < rows.axis))
    del dims[axis]
    return Value(helper.make_tensor_type_proto(value.type.tensor_type.elem_type, dims), rows)


def _stacked(value: Value, axis: int) -> Value:
    """Values of all runs of a body along a new axis."""
    if value.causes:
        return value
    if value.sized:
        raise MixingError(COUNTS)
    dims = list(value.known_shape())
    axis %= len(dims) + 1
    dims.insert(axis, None)
    kind = helper.make_tensor_type_proto(value.type.tensor_type.elem_type, dims)
    return Value(kind, value.rows and value.rows.at(value.rows.axis + (axis <= value.rows.axis)))
