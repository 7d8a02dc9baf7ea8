"""May a server join requests into one run of a model? Judged from the model, never from settings."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from ort_rrelu import schema
from ort_rrelu.graph.check import may_train
from ort_rrelu.graph.form import check_form
from ort_rrelu.graph.nodes import RANDOM_OPS, function_nodes, graph_nodes, label
from ort_rrelu.graph.recognition import with_our_names
from ort_rrelu.serving.row_mixing import nodes_across

__all__ = ["can_batch", "obstacles"]


def can_batch(model: onnx.ModelProto) -> bool:
    """Whether requests may share a run: see `obstacles`."""
    return not any(True for _ in obstacles(model))


def obstacles(model: onnx.ModelProto) -> Iterator[str]:
    """Why requests must not share a run of the model, one sentence each; none when they may.

    A draw belongs to a place in the tensor. A request would get other slopes beside others than alone, so
    that a model which draws anything runs each request by itself. Requests can be told apart in a run only
    when every input and output begins with the same named dimension, and joined only when the inputs' other
    dimensions are fixed. Rows that see each other, in a mean over the batch say, get other answers too.
    """
    check_form(model)
    model = with_our_names(model)
    for node in _running_nodes(model):
        if (reason := _draws(node)) is not None:
            yield f"{_name(node)} {reason}"
    for node in _across(model):
        yield f"{_name(node)} works along the batch: a row's answer depends on the others"
    yield from _shapes(model)


def _across(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    weights = {tensor.name for tensor in model.graph.initializer}
    batch = next((_first(value) for value in model.graph.input if value.name not in weights), "")
    return nodes_across(model, batch) if batch else iter(())


def _running_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    yield from graph_nodes(model.graph)
    for function in model.functions:
        if function.domain != schema.DOMAIN:  # the kernel runs, not the function of a portable model
            yield from function_nodes(function)


def _name(node: onnx.NodeProto) -> str:
    return label(node).removeprefix(":")


def _draws(node: onnx.NodeProto) -> str | None:
    if node.domain == schema.DOMAIN:
        training = node.op_type == schema.RRELU and may_train(node)
        return "is in train mode: slopes depend on the place in the batch" if training else None
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in RANDOM_OPS:
        return "draws random numbers, which depend on the place in the batch"
    if node.op_type == "BitShift":  # a random stream in standard operators, as graph.lower writes it
        return "shifts bits, as random streams do that are written in standard operators"
    if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
        return "may be in train mode"
    if node.op_type == "BatchNormalization" and any(
        a.name == "training_mode" and (a.i or a.ref_attr_name) for a in node.attribute
    ):
        return "is in train mode: it mixes the requests of a batch"
    return None


def _shapes(model: onnx.ModelProto) -> Iterator[str]:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if not inputs:
        yield "the model has no input"
        return
    batch = _first(inputs[0]) or "batch"
    for kind, values in (("input", inputs), ("output", model.graph.output)):
        for value in values:
            if _first(value) != batch:
                yield f'{kind} "{value.name}" does not begin with the named dimension "{batch}"'
    for value in inputs:
        if any(not dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim[1:]):
            yield f'input "{value.name}" has other open dimensions than its first'


def _first(value: onnx.ValueInfoProto) -> str:
    """The name of a value's first dimension, empty when it has none."""
    dims = value.type.tensor_type.shape.dim
    return dims[0].dim_param if dims else ""
