"""May a server join requests into one run of a model? Judged from the model, never from settings."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from ort_rrelu.errors import InvalidTypeError
from ort_rrelu.graph.drawing import mixing
from ort_rrelu.graph.form import check_form
from ort_rrelu.graph.nodes import fed_inputs
from ort_rrelu.graph.recognition import with_our_names


def can_batch(model: onnx.ModelProto) -> bool:
    """Whether requests may share a run: see `obstacles`."""
    return not any(True for _ in obstacles(model))


def obstacles(model: onnx.ModelProto) -> Iterator[str]:
    """Why requests must not share a run of the model, one sentence each; none when they may.

    They may if every node between inputs and outputs is known to keep rows apart, so that a row gets the same
    answer alone and among others. A node that is not known is an obstacle. A draw belongs to a place in the
    tensor, so a model in train mode runs each request by itself, unless every row brings a step of its own:
    an input of the batch's dimension, or integers computed from one. Every input and output must begin with
    the same named dimension, or requests could not be told apart; the other dimensions of the inputs must be
    fixed, or requests could not be joined.

    Raises InvalidTypeError if model is not an onnx.ModelProto, InvalidValueError if it is malformed.
    """
    if not isinstance(model, onnx.ModelProto):
        raise InvalidTypeError(f"model is a {type(model).__name__}: it must be an onnx.ModelProto")
    check_form(model)
    model = with_our_names(model)
    inputs = fed_inputs(model)
    if not inputs:
        yield "the model has no input"
        return
    batch = _first(inputs[0]) or "batch"
    yield from mixing(model, [value.name for value in inputs if _first(value) == batch])
    yield from _shapes(inputs, list(model.graph.output), batch)


def _shapes(
    inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto], batch: str
) -> Iterator[str]:
    for kind, values in (("input", inputs), ("output", outputs)):
        for value in values:
            if _first(value) != batch:
                yield f'{kind} "{value.name}" does not begin with the named dimension "{batch}"'
    for value in inputs:
        if any(
            not dim.HasField("dim_value") or dim.dim_value < 0 for dim in value.type.tensor_type.shape.dim[1:]
        ):
            yield f'input "{value.name}" has other open dimensions than its first'


def _first(value: onnx.ValueInfoProto) -> str:
    """The name of a value's first dimension, empty when it has none."""
    dims = value.type.tensor_type.shape.dim
    return dims[0].dim_param if dims else ""
