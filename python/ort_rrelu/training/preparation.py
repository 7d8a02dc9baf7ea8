"""A model as onnxruntime-training 1.19.2 needs it, and what that gets wrong without a word, refused.

Such a model has noise outputs, the shapes of all values, weights to train, and no functions.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import inliner

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.check import check_model, may_train
from ort_rrelu.graph.nodes import Names, graph_nodes, label, our_nodes, subgraphs
from ort_rrelu.graph.opset import lower_ir_version, opset_of
from ort_rrelu.graph.value_types import check_types

NEWEST_IR_VERSION = 10
_NEWEST_OPSET = 21
_LARGEST = onnx.checker.MAXIMUM_PROTOBUF


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose RRelu nodes all write noise, with types and shapes of all values, and without functions.

    Raises InvalidValueError when the model is too large, has an invalid node, is newer than 1.19.2 can read,
    trains no RRelu node that it has, or leaves the rank of an RRelu node's X open.
    """
    _check_size(model)
    check_model(model)
    _check_opset(model)
    plain = _without_functions(model)
    check_types(plain)
    _check_modes(plain)
    _check_bodies(plain)
    _name_noise(plain)
    lower_ir_version(plain)
    _check_inputs(plain)
    inferred = _inferred(plain)
    _check_shapes(inferred)
    return inferred


def _check_size(model: onnx.ModelProto) -> None:
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size >= _LARGEST:
        raise InvalidValueError(
            f"the model's weights have {size:,} bytes: it must fit into one protobuf message of {_LARGEST:,}"
        )


def _check_opset(model: onnx.ModelProto) -> None:
    opset = opset_of(model)
    if opset is not None and opset > _NEWEST_OPSET:
        raise InvalidValueError(
            f"the model has opset {opset}: onnxruntime-training 1.19.2 reads up to {_NEWEST_OPSET}; "
            f"export it with {_NEWEST_OPSET} or older"
        )


def _without_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy: the gradient builder looks into no function. Ours have kernels, others are inlined."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    others = [function for function in plain.functions if function.domain != schema.DOMAIN]
    del plain.functions[:]
    plain.functions.extend(others)
    return inliner.inline_local_functions(plain) if others else plain


def _check_modes(model: onnx.ModelProto) -> None:
    nodes = our_nodes(model)
    if nodes and not any(map(may_train, nodes)):
        raise InvalidValueError(
            f"{label(nodes[0])} and all other RRelu nodes are in eval mode, so that training would see mean "
            "slopes alone: export in train mode, or graph.set_training(model, True)"
        )


def _check_bodies(model: onnx.ModelProto) -> None:
    bodies = (body for node in model.graph.node for body in subgraphs(node))
    for node in (node for body in bodies for node in graph_nodes(body)):
        if node.domain == schema.DOMAIN:
            raise InvalidValueError(
                f"{label(node)} is in the body of a control-flow node, for which onnxruntime-training has no "
                "gradient"
            )


def _name_noise(model: onnx.ModelProto) -> None:
    """The gradient of RRelu reads it: an output that a node does not list is not there."""
    names = Names(model)
    for node in our_nodes(model):
        noise, *reserve = [*node.output[1:], ""][: max(1, len(node.output) - 1)]
        node.output[1:] = [noise or names.new(f"{node.output[0]}_noise"), *reserve]


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """With types and shapes; onnx knows our ops from the schemas that ort_rrelu.schema registers."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(inferred)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise InvalidValueError(f"the model is not valid: {error}") from error
    return inferred


def _check_inputs(model: onnx.ModelProto) -> None:
    for value in model.graph.input:
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            raise InvalidValueError(
                f"the shape of input {value.name!r} is not known: onnxruntime-training needs the number of "
                "its dimensions, which may be named instead of fixed"
            )


def _check_shapes(model: onnx.ModelProto) -> None:
    """Where an RRelu's shape is not known the gradient builder may end the process."""
    graph = model.graph
    known = {
        value.name
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    for node in our_nodes(model):
        if not {*filter(None, node.output[:2])} <= known:
            raise InvalidValueError(
                f"{label(node)}: the number of dimensions of its X is not known, without which "
                "onnxruntime-training may end the process"
            )


def check_parameters(model: onnx.ModelProto, requires_grad: list[str], frozen_params: list[str]) -> None:
    """Raise InvalidValueError unless there are parameters to train, each a float weight that a node reads."""
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    floats = [name for name, kind in weights.items() if kind == onnx.TensorProto.FLOAT]
    allowed = f"its float weights are {_listed(floats)}" if floats else "it has no float weights"
    if not requires_grad:
        raise InvalidValueError(f"requires_grad names no parameter of the model: {allowed}")
    read = {name for node in model.graph.node for name in node.input}
    for argument, names in (("requires_grad", requires_grad), ("frozen_params", frozen_params)):
        for name in names:
            if name not in weights:
                raise InvalidValueError(f"{argument}: the model has no weight {name!r}: {allowed}")
            if argument == "requires_grad" and name not in floats:
                kind = onnx.TensorProto.DataType.Name(weights[name])
                raise InvalidValueError(f"{argument}: {name!r} is of type {kind}, not FLOAT: {allowed}")
            if name not in read:
                raise InvalidValueError(f"{argument}: no node of the model's graph reads {name!r}")
    if both := sorted({*requires_grad} & {*frozen_params}):
        raise InvalidValueError(
            f"{_listed(both)} is in requires_grad and in frozen_params: only one is allowed"
        )


def check_loss_inputs(model: onnx.ModelProto, names: list[str], *, is_loss: bool) -> None:
    """Raise InvalidValueError unless all are float, for a loss; the first a single element, if it is one."""
    graph = model.graph
    types = {value.name: value.type.tensor_type for value in (*graph.value_info, *graph.output)}
    for name in names:
        kind = types[name].elem_type if name in types else onnx.TensorProto.FLOAT
        if kind != onnx.TensorProto.FLOAT:
            raise InvalidValueError(
                f"loss: {name!r} is of type {onnx.TensorProto.DataType.Name(kind)}: onnxruntime-training "
                "1.19.2 has gradients from a FLOAT loss alone; let a Cast node give it"
            )
    if is_loss and any(d.dim_value != 1 for d in types[names[0]].shape.dim):
        raise InvalidValueError(
            f"loss=None: the model's first output {names[0]!r} is then the loss: it must be a single element"
        )


def _listed(names: Iterable[str], most: int = 12) -> str:
    quoted = [repr(name) for name in names]
    more = f" and {len(quoted) - most} more" if len(quoted) > most else ""
    return ", ".join(quoted[:most]) + more


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
