"""conform: all RRelu nodes of a model list the same inputs and outputs, which one function can fit."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from ort_rrelu import schema
from ort_rrelu.functions import Shape
from ort_rrelu.graph.check import attributes
from ort_rrelu.graph.names import Names
from ort_rrelu.graph.nodes import function_nodes, graph_nodes, is_rrelu, our_nodes, step_of

__all__ = ["conform", "write_attributes"]


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
    """Give eval nodes, which do not read it, a step: the model's input where there is one, else 0."""
    nodes = [node for node in graph_nodes(model.graph) if is_rrelu(node)]
    inputs = {value.name for value in model.graph.input}
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
