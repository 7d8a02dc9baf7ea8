"""Operators whose gradient onnxruntime-training 1.19.2 gets wrong without a word, found beforehand."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import label

__all__ = ["check_gradients"]


def check_gradients(model: onnx.ModelProto, requires_grad: Iterable[str]) -> None:
    """Raise InvalidValueError for a node that a gradient passes and that would give a wrong one.

    The model has the types and shapes of its values. Measured: through MaxPool with an open height the
    gradient has height 0, and the run fails; AveragePool does that or ends the process where any dimension is
    open; through BatchNormalization the gradient in eval mode is another function's, and in train mode the
    running statistics stay where they were.
    """
    shapes = {
        value.name: value.type.tensor_type.shape
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
    }
    trained = set(requires_grad)
    for node in model.graph.node:
        if trained.isdisjoint(node.input):
            continue
        trained |= set(filter(None, node.output))
        if (reason := _wrong(node, shapes)) is not None:
            raise InvalidValueError(f"{label(node).removeprefix(':')}: {reason}")


def _wrong(node: onnx.NodeProto, shapes: dict[str, onnx.TensorShapeProto]) -> str | None:
    if node.domain not in {"", "ai.onnx"}:
        return None
    if node.op_type == "BatchNormalization":
        return (
            "onnxruntime-training 1.19.2 gives wrong gradients through it in eval mode, and in train mode it "
            "never updates the running statistics; ort_rrelu.training.export_step trains such networks"
        )
    # The batch may vary for MaxPool.
    first = {"MaxPool": 2, "AveragePool": 0}.get(node.op_type)
    if first is None:
        return None
    dimensions = shapes[node.input[0]].dim[first:] if node.input[0] in shapes else []
    if dimensions and all(dimension.HasField("dim_value") for dimension in dimensions):
        return None
    which = "all but the first two" if first else "all"
    return (
        f"the dimensions of its input {node.input[0]!r} are not fixed ({which} must be): onnxruntime-"
        "training 1.19.2 gives a wrong gradient then, or ends the process; export with fixed sizes"
    )
