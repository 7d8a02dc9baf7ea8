"""portable: a model that runs where the library is not registered, and faster where it is."""

from __future__ import annotations

import os
from collections import Counter

import onnx

from ort_rrelu import functions, schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.functions import Bounds, Shape
from ort_rrelu.graph.check import attributes, check_model, may_train
from ort_rrelu.graph.check_types import check_types
from ort_rrelu.graph.conform import conform
from ort_rrelu.graph.file import new_model
from ort_rrelu.graph.nodes import label, our_nodes, step_of
from ort_rrelu.graph.opset import lower_ir_version, opset_of, raise_opset
from ort_rrelu.graph.reserve_to_noise import reserve_to_noise
from ort_rrelu.graph.unused_outputs import remove_unused_outputs

__all__ = ["drop_functions", "is_portable", "portable"]


def portable(model: onnx.ModelProto | str | os.PathLike[str]) -> onnx.ModelProto:
    """Embed RRelu and RReluGrad as functions in standard operators.

    Where the library is registered its kernels win; elsewhere the functions run. With a seed and a step a
    train-mode node gives the same bits either way. Without one of them a function draws anew at each run: it
    cannot count runs, or keep a seed for the session.

    All RRelu nodes of the result list the same inputs and outputs, which the functions fit: after a change of
    those, or of the bounds (for speed), make the model portable again. `training` and `seed` may be changed.

    Args:
        model: a model, which is not changed, or a file; weights in other files stay there.

    Returns:
        A new model, of opset 18 or newer and with the oldest IR version that its contents allow. A model
        without RRelu and RReluGrad is returned as it is, copied.

    Raises:
        ModelFileError, InvalidValueError: not a model, an invalid node, one whose X is known to be of a type
            that RRelu does not take, an opset that cannot be converted, a train node without `step` beside a
            node with one, or a reserve that more than RReluGrad reads.
    """
    embedded = new_model(model)
    check_model(embedded)
    nodes, gradients = our_nodes(embedded), our_nodes(embedded, schema.RRELU_GRAD)
    if not nodes and not gradients:
        return embedded
    drop_functions(embedded)
    check_types(embedded)
    remove_unused_outputs(embedded)
    reserve_to_noise(embedded)
    shape = _shape(our_nodes(embedded))
    raise_opset(embedded, functions.OLDEST_OPSET)
    conform(embedded, shape)
    opset = opset_of(embedded)
    assert opset is not None
    if nodes:
        embedded.functions.append(functions.rrelu(shape, opset, _usual_bounds(our_nodes(embedded))))
    if gradients:
        embedded.functions.append(functions.rrelu_grad(opset))
    if all(entry.domain != schema.DOMAIN for entry in embedded.opset_import):
        embedded.opset_import.append(schema.opset_import())
    lower_ir_version(embedded)
    return embedded


def is_portable(model: onnx.ModelProto) -> bool:
    """Has the model functions for our ops?"""
    return any(function.domain == schema.DOMAIN for function in model.functions)


def drop_functions(model: onnx.ModelProto) -> None:
    """Drop, in place, those that an earlier call embedded."""
    others = [function for function in model.functions if function.domain != schema.DOMAIN]
    del model.functions[:]
    model.functions.extend(others)


def _shape(nodes: list[onnx.NodeProto]) -> Shape:
    with_step = next(filter(step_of, nodes), None)
    if with_step is not None:
        for node in nodes:
            if may_train(node) and not step_of(node):
                raise InvalidValueError(
                    f"{label(node)} trains without a step, and {label(with_step)} has one: in a portable "
                    "model all train nodes have a step, or none has; graph.add_step_input or "
                    "export(step_input=True) wires the rest"
                )
    return Shape(step=with_step is not None, noise=any(any(node.output[1:]) for node in nodes))


def _usual_bounds(nodes: list[onnx.NodeProto]) -> Bounds | None:
    """Those of most nodes."""
    known = [node for node in nodes if not any(a.ref_attr_name for a in node.attribute)]
    counts = Counter((float(v["lower"]), float(v["upper"])) for v in map(attributes, known))
    return counts.most_common(1)[0][0] if counts else None
