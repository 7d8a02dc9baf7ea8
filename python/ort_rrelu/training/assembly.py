"""Forward and backward, evaluation and optimizer put together to a step model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from ort_rrelu import schema
from ort_rrelu.graph.reserves import noise_to_reserve
from ort_rrelu.training import step_model
from ort_rrelu.training.optimizers import Optimizer
from ort_rrelu.training.step_model import (
    DOMAIN,
    EVALUATE,
    FINITE,
    LOSS,
    OPSET,
    OUTPUT,
    STEP,
    X,
    Y,
    as_initializer,
    as_next,
    as_slot,
    as_state,
)
from ort_rrelu.training.tracing import GRADIENT, Module

_REAL = {TensorProto.FLOAT, TensorProto.DOUBLE}


def assemble(
    module: Module,
    gradients: onnx.ModelProto,
    evaluation: onnx.ModelProto,
    name: str,
    optimizer: Optimizer,
) -> onnx.ModelProto:
    """The step model; `gradients` is (tensors, x, y, steps) -> (loss, gradients, changed buffers)."""
    model = onnx.ModelProto()
    model.CopyFrom(gradients)
    _declare_step(model)
    trained = [o.name.removeprefix(GRADIENT) for o in model.graph.output if o.name.startswith(GRADIENT)]
    _add_optimizer(model, trained, optimizer)
    _add_state(model, module, trained, optimizer)
    _add_check(model)
    model.functions.append(_evaluation_function(evaluation, module))
    noise_to_reserve(model)
    state_dict = {n: as_state(module.aliases.get(n, n)) for n in module.persistent}
    step_model.describe(model, step_model.Description(name, state_dict))
    _tidy(model)
    onnx.checker.check_model(model)
    return model


def _declare_step(model: onnx.ModelProto) -> None:
    """Make it an input: the optimizer may read it, too."""
    if all(value.name != STEP for value in model.graph.input):
        model.graph.input.append(helper.make_tensor_value_info(STEP, TensorProto.INT64, []))


def _add_optimizer(model: onnx.ModelProto, trained: Sequence[str], optimizer: Optimizer) -> None:
    graph = model.graph
    if (prepare := optimizer.prepare()) is not None:
        graph.node.append(_call(prepare, list(prepare.input), list(prepare.output)))
        model.functions.append(prepare)
    update = optimizer.function()
    model.functions.append(update)
    for name in trained:
        states = [as_state(name), *(as_slot(name, slot) for slot in optimizer.slots)]
        inputs = [states[0], GRADIENT + name, *states[1:], *optimizer.scalars]
        graph.node.append(_call(update, inputs, [as_next(state) for state in states]))
    helper_values = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, []) for n in optimizer.inputs]
    graph.input.extend(helper_values)
    graph.initializer.extend(as_initializer(n, np.float64(v)) for n, v in optimizer.inputs.items())
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def _call(function: onnx.FunctionProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.NodeProto:
    return helper.make_node(function.name, inputs, outputs, domain=function.domain)


def _add_check(model: onnx.ModelProto) -> None:
    """`finite`: neither the loss nor an updated parameter or buffer has become infinite or NaN."""
    graph = model.graph
    sums = []
    states = [o for o in graph.output if o.name.startswith(as_next(as_state("")))]
    for output in (o for o in states if o.type.tensor_type.elem_type in _REAL):
        total = f"{FINITE}/{output.name}"
        graph.node.append(helper.make_node("ReduceL1", [output.name], [f"{total}/sum"], keepdims=0))
        graph.node.append(helper.make_node("Cast", [f"{total}/sum"], [total], to=TensorProto.DOUBLE))
        sums.append(total)
    infinity = as_initializer(f"{FINITE}/infinity", np.float64(np.inf))
    graph.initializer.append(infinity)
    graph.output.insert(1, helper.make_tensor_value_info(FINITE, TensorProto.BOOL, []))
    graph.node.extend(
        [
            helper.make_node("Cast", [LOSS], [f"{FINITE}/loss"], to=TensorProto.DOUBLE),
            helper.make_node("Abs", [f"{FINITE}/loss"], [f"{FINITE}/absolute_loss"]),
            helper.make_node("Sum", [f"{FINITE}/absolute_loss", *sums], [f"{FINITE}/total"]),
            helper.make_node("Less", [f"{FINITE}/total", infinity.name], [FINITE]),
        ]
    )


def _add_state(model: onnx.ModelProto, module: Module, trained: Sequence[str], optimizer: Optimizer) -> None:
    """Optimizer state as inputs, initial values, and outputs for all that changes."""
    graph = model.graph
    outputs = {o.name: o for o in graph.output}
    del graph.output[:]
    graph.output.append(outputs[LOSS])
    for name, tensor in module.tensors.items():
        value = tensor.numpy()
        graph.initializer.append(as_initializer(as_state(name), value))
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        states = [as_state(name)] if name in trained or as_next(as_state(name)) in outputs else []
        if name in trained:
            for slot in optimizer.slots:
                state = as_slot(name, slot)
                states.append(state)
                graph.input.append(helper.make_tensor_value_info(state, kind, value.shape))
                graph.initializer.append(as_initializer(state, np.zeros_like(value)))
        graph.output.extend(helper.make_tensor_value_info(as_next(s), kind, value.shape) for s in states)


def _evaluation_function(evaluation: onnx.ModelProto, module: Module) -> onnx.FunctionProto:
    """(state tensors, x, y) -> (loss, output), with the constants of the model as nodes."""
    graph = evaluation.graph
    constants = [
        helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in graph.initializer
    ]
    return helper.make_function(
        DOMAIN,
        EVALUATE,
        [*(as_state(name) for name in module.tensors), X, Y],
        [LOSS, OUTPUT],
        [*constants, *graph.node],
        list(evaluation.opset_import),
    )


def _domains(model: onnx.ModelProto) -> Iterator[str]:
    for node in model.graph.node:
        yield node.domain
    for function in model.functions:
        yield from (node.domain for node in function.node)


def _tidy(model: onnx.ModelProto) -> None:
    """Opsets for all that is used, and nothing of the exporter's notes."""
    imported = {entry.domain for entry in model.opset_import}
    for domain in sorted(set(_domains(model)) - imported):
        model.opset_import.append(
            schema.opset_import() if domain == schema.DOMAIN else helper.make_opsetid(domain, OPSET)
        )
    for node in [*model.graph.node, *(n for function in model.functions for n in function.node)]:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    model.graph.name = "training_step"
