"""A step for each row: which nodes of a model draw row n with step n, by proof."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.check import may_train
from ort_rrelu.graph.nodes import fed_inputs, label
from ort_rrelu.graph.rows.walk import ONE_STEP, Draw, followed
from ort_rrelu.tensors import declared_shape

_REMEDY = (
    "let only operators that keep rows apart stand before it, or take one step for all rows (step_input=True)"
)

_PLACES_REMEDY = (
    "let only operators that keep the samples in their order stand before it, or take one step for the whole "
    "batch (step_input=True)"
)

_FIXED = "; of a dimension with a name, as dynamic axes have one, more can be proved"


def declare_row_steps(model: onnx.ModelProto, step: str) -> None:
    """Declare the input `step`, in place, as one for each row: its shape is [d].

    d is the name or size of the first dimension of those inputs along which, by proof, every train node
    draws each row as if it were alone. Every train node has a step already.

    Raises InvalidValueError that names a node for which there is no proof. The input has then another shape.
    """
    inputs = [value for value in fed_inputs(model) if value.name != step]
    firsts = [first for first in map(first_dimension, inputs) if first is not None]
    if not firsts:
        raise InvalidValueError(_nameless(inputs))
    given = next(value for value in model.graph.input if value.name == step)
    culprits: list[str] = []
    for first in dict.fromkeys(firsts):
        given.CopyFrom(helper.make_tensor_value_info(step, TensorProto.INT64, [first]))
        batched = [value.name for value in inputs if first_dimension(value) == first]
        culprit = _culprit(model, [*batched, step])
        if culprit is None:
            return
        culprits.append(_refusal(culprit, first))
    raise InvalidValueError(culprits[0])


def check_places(model: onnx.ModelProto, batched: list[str]) -> None:
    """Raise InvalidValueError that names a train node whose X is not known to begin with the batch's rows.

    For training, where rows need not be apart: what they give together, such as a BatchNorm's mean, may reach
    each of them. batched: the inputs that have rows, steps included. Every train node has a step already.
    """
    culprit = _culprit(model, batched, together=True)
    if culprit is not None:
        said = _said(culprit, "is not known to have the samples as the rows of its X")
        raise InvalidValueError(f"no step for each sample: {said}; {_PLACES_REMEDY}")


def is_of_rows(value: onnx.ValueInfoProto) -> bool:
    """Is it declared with one dimension, which is not known to be 1?"""
    shape = declared_shape(value.type.tensor_type)
    return len(shape) == 1 and shape[0] != 1


def first_dimension(value: onnx.ValueInfoProto) -> int | str | None:
    """Its name or size; None where it has neither, or the value no dimension."""
    first = next(iter(declared_shape(value.type.tensor_type)), None)
    return None if isinstance(first, int) and first < 0 else first


def _culprit(model: onnx.ModelProto, batched: list[str], *, together: bool = False) -> Draw | None:
    """A train node without proof."""
    draws: list[Draw] = []
    followed(model, batched, draws, together=together)
    return next((draw for draw in draws if draw.causes and may_train(draw.node)), None)


def _refusal(culprit: Draw, first: int | str) -> str:
    along = f'"{first}"' if isinstance(first, str) else f"of size {first}"
    cause = culprit.causes[0]
    where = f"no step for each row along the inputs' first dimension {along}"
    if cause.endswith(ONE_STEP):
        return f"{where}: {cause}: remove its step, which is one for all rows, or name its input"
    said = _said(culprit, "is not known to draw each row by itself")
    return f"{where}: {said}; {_REMEDY}{'' if isinstance(first, str) else _FIXED}"


def _said(culprit: Draw, unknown: str) -> str:
    cause, what = culprit.causes[0], label(culprit.node)
    return cause if cause.startswith(what) else f"{what} {unknown}: {cause}"


def _nameless(inputs: list[onnx.ValueInfoProto]) -> str:
    names = ", ".join(f'"{value.name}"' for value in inputs) or "none"
    return (
        f"no step for each row: no input has a first dimension with a name or a size (inputs: {names}); name "
        "it when you export, as in dynamic_shapes={'x': {0: torch.export.Dim('batch')}} or "
        "dynamic_axes={'x': {0: 'batch'}}, or set its dim_param"
    )
