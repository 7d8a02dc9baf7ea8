"""embed_functions: RRelu and RReluGrad as functions of a model, and its nodes made to fit them."""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import TensorProto, helper

from ort_rrelu import functions, schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.functions import Bounds, Shape
from ort_rrelu.graph.check import attributes, check_model, may_train
from ort_rrelu.graph.edit import drop_functions, remove_unused_outputs
from ort_rrelu.graph.nodes import Names, function_nodes, graph_nodes, is_rrelu, label, our_nodes, step_of
from ort_rrelu.graph.opset import lower_ir_version, opset_of, raise_opset
from ort_rrelu.graph.reserves import reserve_to_noise
from ort_rrelu.graph.row_steps import is_of_rows
from ort_rrelu.graph.value_types import check_types


def embed_functions(model: onnx.ModelProto) -> None:
    """Embed them, in place, in a model of sound form; one without nodes of ours stays as it is.

    Raises InvalidValueError as graph.portable does, and may then have changed the model.
    """
    check_model(model)
    nodes, gradients = our_nodes(model), our_nodes(model, schema.RRELU_GRAD)
    if not nodes and not gradients:
        return
    drop_functions(model)
    check_types(model)
    remove_unused_outputs(model)
    reserve_to_noise(model)
    shape = _shape(our_nodes(model))
    raise_opset(model, functions.OLDEST_OPSET)
    conform(model, shape)
    opset = opset_of(model)
    assert opset is not None
    if nodes:
        model.functions.append(functions.rrelu(shape, opset, _usual_bounds(our_nodes(model))))
    if gradients:
        model.functions.append(functions.rrelu_grad(opset))
    if all(entry.domain != schema.DOMAIN for entry in model.opset_import):
        model.opset_import.append(schema.opset_import())
    lower_ir_version(model)


def is_portable(model: onnx.ModelProto) -> bool:
    """Has the model functions for our ops?"""
    return any(function.domain == schema.DOMAIN for function in model.functions)


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


def conform(model: onnx.ModelProto, shape: Shape) -> None:
    """Give every RRelu node, in place, all attributes, and the inputs and outputs of `shape`."""
    names = Names(model)
    for node in our_nodes(model):
        write_attributes(node)
        del node.input[len(shape.inputs) :]
        if shape.noise and not any(node.output[1:]):
            node.output[1:] = [names.new(f"{node.output[0]}_noise")]
    if shape.step:
        _wire_spare_steps(model, names)


def write_attributes(node: onnx.NodeProto) -> None:
    """All four, in place: a function has no defaults in IR 8, and ONNX Runtime knows none for a custom op."""
    types = {name: a.default_value.type for name, a in schema.schemas()[schema.RRELU].attributes.items()}
    values, present = attributes(node), {a.name: a for a in node.attribute}
    for name, kind in types.items():
        if name not in present:
            node.attribute.append(helper.make_attribute(name, values[name]))
        elif present[name].type != kind:  # an INT for a bound
            present[name].CopyFrom(helper.make_attribute(name, float(values[name])))


def _wire_spare_steps(model: onnx.ModelProto, names: Names) -> None:
    """Give eval nodes, which do not read it, a step: the model's input where there is one, else 0.

    Not an input with a step for each row of another X: kernels refuse it.
    """
    nodes = [node for node in graph_nodes(model.graph) if is_rrelu(node)]
    inputs = {value.name for value in model.graph.input if not is_of_rows(value)}
    spare = next((step_of(node) for node in nodes if step_of(node) in inputs), "")
    if not spare and not all(map(step_of, nodes)):
        spare = names.new("step")
        model.graph.initializer.append(helper.make_tensor(spare, TensorProto.INT64, [], [0]))
    for node in nodes:
        node.input[1:] = [step_of(node) or spare]
    for function in model.functions:
        _wire_spare_steps_of_function(function, names)


def _wire_spare_steps_of_function(function: onnx.FunctionProto, names: Names) -> None:
    waiting = [node for node in function_nodes(function) if is_rrelu(node) and not step_of(node)]
    if waiting:
        spare = names.new("step")
        for node in waiting:
            node.input[1:] = [spare]
        zero = helper.make_tensor(spare, TensorProto.INT64, [], [0])
        function.node.insert(0, helper.make_node("Constant", [], [spare], spare, value=zero))
