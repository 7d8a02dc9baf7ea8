"""Which steps the draws of a step model read: the training step's, or by proof one for each sample."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.check import may_train
from ort_rrelu.graph.nodes import label, our_nodes, step_of
from ort_rrelu.graph.row_steps import check_places, first_dimension
from ort_rrelu.training.step_model import SAMPLE_STEPS, STEP, X, Y


def wire_step(model: onnx.ModelProto) -> None:
    """What draws without a step of its own, such as torch.nn.RReLU, reads the training step's, in place."""
    for node in our_nodes(model):
        if not step_of(node):
            node.input[1:] = [STEP]


def wire_sample_steps(model: onnx.ModelProto) -> None:
    """All train nodes read the input `sample_steps`, which has the first dimension of x, in place.

    model: (tensors, x, y, sample_steps) -> ...; x and y have as many rows.

    Raises InvalidValueError that names a node whose X is not known to begin with the samples, in their order.
    """
    for node in our_nodes(model):
        if not may_train(node):  # it reads none, and its X may have other rows
            del node.input[1:]
        elif step_of(node) in ("", SAMPLE_STEPS):
            node.input[1:] = [SAMPLE_STEPS]
        else:
            raise InvalidValueError(
                f"no step for each sample: {label(node)} has a step of its own in the model: leave it out "
                "there, or take one step for the whole batch (step_input=True)"
            )
    _declare(model)
    check_places(model, [X, Y, SAMPLE_STEPS])


def _declare(model: onnx.ModelProto) -> None:
    inputs = {value.name: value for value in model.graph.input}
    first = first_dimension(inputs[X])
    given = inputs.get(SAMPLE_STEPS) or model.graph.input.add()
    given.CopyFrom(helper.make_tensor_value_info(SAMPLE_STEPS, TensorProto.INT64, [first]))


def fix_rows(model: onnx.ModelProto, rows: int) -> None:
    """Let a batch have this number of rows alone, in place."""
    for value in model.graph.input:
        if value.name in {X, Y, SAMPLE_STEPS}:
            value.type.tensor_type.shape.dim[0].dim_value = rows
