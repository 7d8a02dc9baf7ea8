"""Opset and IR version of a model, moved no further than needed."""

from __future__ import annotations

import onnx
from onnx import helper, version_converter

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.nodes import all_nodes

__all__ = ["lower_ir_version", "opset_of", "raise_opset"]

_STANDARD = {"", "ai.onnx"}
_FUNCTIONS_IR, _OVERLOADS_IR = 8, 10
_LARGE = 1024  # bytes: a weight, of which the converter need not know the value


def opset_of(model: onnx.ModelProto) -> int | None:
    """The version of the standard operators, if the model has any."""
    return next((entry.version for entry in model.opset_import if entry.domain in _STANDARD), None)


def raise_opset(model: onnx.ModelProto, oldest: int) -> None:
    """Convert, in place, a model of an older opset to `oldest`; weights are left where they are.

    Raises InvalidValueError that names the opset when it cannot be converted; the model is as it was then.
    """
    version = opset_of(model)
    if version is None:
        model.opset_import.append(helper.make_opsetid("", oldest))
    elif version < oldest:
        _convert(model, version, oldest)


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
    weights = _take_weights(model)
    try:
        converted = version_converter.convert_version(model, wanted)
    except Exception as error:  # whatever onnx's adapters raise, of several types
        raise InvalidValueError(f"{reason}: onnx cannot convert it ({error})") from error
    finally:
        _return_weights(model, weights)
    _return_weights(converted, weights)
    for node in all_nodes(converted):
        node.metadata_props.extend(metadata.get(tuple(node.output), []))
    converted.graph.quantization_annotation.extend(annotations)
    converted.ir_version = max(converted.ir_version, model.ir_version)
    model.CopyFrom(converted)


def _take_weights(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Take the bytes of large initializers out, as if they were in another file."""
    weights: dict[str, onnx.TensorProto] = {}
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > _LARGE:
            weights[tensor.name] = onnx.TensorProto()
            weights[tensor.name].CopyFrom(tensor)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="taken")
    return weights


def _return_weights(model: onnx.ModelProto, weights: dict[str, onnx.TensorProto]) -> None:
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(weights[tensor.name])


def lower_ir_version(model: onnx.ModelProto) -> None:
    """Give the model, in place, the oldest IR version that has its opsets and functions.

    ONNX Runtime 1.17 refuses IR 10, which torch writes. What newer versions added to older fields, such as
    the metadata of nodes, older readers skip.
    """
    needed = helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    overloaded = any(f.overload for f in model.functions) or any(n.overload for n in all_nodes(model))
    if overloaded:
        needed = max(needed, _OVERLOADS_IR)
    model.ir_version = max(_FUNCTIONS_IR, min(model.ir_version, needed))
