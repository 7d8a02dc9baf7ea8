"""Opset and IR version of a model, moved no further than needed."""

from __future__ import annotations

import onnx
from onnx import helper

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import all_nodes, graph_nodes, is_standard, label
from ort_rrelu.graph.onnx_tools import converted

_FUNCTIONS_IR, _OVERLOADS_IR = 8, 10
_FINE_IR = 8  # every supported runtime reads it


def opset_of(model: onnx.ModelProto | onnx.FunctionProto) -> int | None:
    """The version of the standard operators, if the model or function has any."""
    return next((entry.version for entry in model.opset_import if is_standard(entry.domain)), None)


def complete_imports(model: onnx.ModelProto) -> None:
    """Add, in place, the import of our domain, where nodes of ours are in the graph and it is missing."""
    imported = any(entry.domain == schema.DOMAIN for entry in model.opset_import)
    if not imported and any(node.domain == schema.DOMAIN for node in graph_nodes(model.graph)):
        model.opset_import.append(schema.opset_import())


def raise_opset(model: onnx.ModelProto, oldest: int) -> None:
    """Convert, in place, a model of an older opset to `oldest`; weights are left where they are.

    Raises InvalidValueError that names the opset when it cannot be converted, or a node when the model has
    standard operators and no opset; the model is as it was then.
    """
    version = opset_of(model)
    if version is None:
        _refuse_guess(model)
        model.opset_import.append(helper.make_opsetid("", oldest))
    elif version < oldest:
        _convert(model, version, oldest)


def _refuse_guess(model: onnx.ModelProto) -> None:
    """ONNX Runtime takes its own newest opset, another one in each of its versions."""
    node = next((node for node in graph_nodes(model.graph) if is_standard(node.domain)), None)
    if node is not None:
        raise InvalidValueError(
            f"{label(node)}: the model does not say in which opset its operators are: add an opset_import of "
            'domain "" and that version'
        )


def _convert(model: onnx.ModelProto, version: int, wanted: int) -> None:
    reason = f"the model has opset {version}, and {wanted} or newer is needed"
    # onnx's converter drops these without a word.
    for kept, what in (
        (model.functions, "functions"),
        (model.training_info, "training information"),
        (model.graph.sparse_initializer, "sparse initializers"),
    ):
        if kept:
            raise InvalidValueError(
                f"{reason}: a model with {what} is not converted here; export it with {wanted}"
            )
    metadata = {tuple(n.output): list(n.metadata_props) for n in all_nodes(model) if n.metadata_props}
    annotations = list(model.graph.quantization_annotation)
    try:
        made = converted(model, wanted)
    except InvalidValueError as error:
        raise InvalidValueError(f"{reason}: {error}") from error
    for node in all_nodes(made):
        node.metadata_props.extend(metadata.get(tuple(node.output), []))
    made.graph.quantization_annotation.extend(annotations)
    _return_what_is_said(model.graph, made.graph)
    oldest = helper.find_min_ir_version_for(made.opset_import, ignore_unknown=True)
    made.ir_version = max(made.ir_version, model.ir_version, oldest)
    model.CopyFrom(made)


def _return_what_is_said(original: onnx.GraphProto, converted: onnx.GraphProto) -> None:
    """Put back what onnx's converter drops of the values, or infers anew, and of the graph itself."""
    converted.metadata_props.extend(original.metadata_props)
    for field in ("input", "output", "value_info"):
        values = {value.name: value for value in getattr(original, field)}
        for value in getattr(converted, field):
            if value.name in values:
                value.CopyFrom(values[value.name])
    tensors = {tensor.name: tensor for tensor in original.initializer}
    for tensor in converted.initializer:
        if tensor.name in tensors:
            if said := tensors[tensor.name].doc_string:
                tensor.doc_string = said
            tensor.ClearField("metadata_props")
            tensor.metadata_props.extend(tensors[tensor.name].metadata_props)


def lower_ir_version(model: onnx.ModelProto) -> None:
    """Give the model, in place, the oldest IR version that has its opsets and functions.

    ONNX Runtime 1.17 refuses IR 10, which torch writes. What newer versions added to older fields, such as
    the metadata of nodes, older readers skip.
    """
    needed = helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    overloaded = any(f.overload for f in model.functions) or any(n.overload for n in all_nodes(model))
    if overloaded:
        needed = max(needed, _OVERLOADS_IR)
    least = _FUNCTIONS_IR if model.functions else 0
    model.ir_version = max(least, min(model.ir_version, max(needed, _FINE_IR)))
