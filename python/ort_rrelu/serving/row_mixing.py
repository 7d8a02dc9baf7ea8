"""Nodes that let the rows of a batch see each other, as far as shape inference can tell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from ort_rrelu import schema
from ort_rrelu.graph.nodes import all_nodes
from ort_rrelu.graph.onnx_tools import onnx_errors
from ort_rrelu.graph.weights import return_weights, take_weights

__all__ = ["nodes_across"]

# Work along one axis: the attribute's default, and None where it is an input.
_ALONG = {
    **dict.fromkeys(("ArgMax", "ArgMin", "Gather", "GatherElements", "ScatterElements", "Concat"), 0),
    **dict.fromkeys(("LpNormalization", "TopK"), -1),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), -1),
    "CumSum": None,
}
_SOFTMAX = {"Softmax", "LogSoftmax", "Hardmax"}
_Dims = list[str]


def nodes_across(model: onnx.ModelProto, batch: str) -> Iterator[onnx.NodeProto]:
    """The model's nodes that work along a dimension of that name: reductions, softmax, products and such.

    Nodes of the main graph only, and those whose shapes and axes are known.
    """
    shapes = _shapes(model)
    with onnx_errors("onnx cannot read the model's constants"):
        constants = _constants(model)
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or not node.input:
            continue
        dims = shapes.get(node.input[0])
        if node.op_type in ("MatMul", "Gemm"):
            if batch in _summed(node, shapes):
                yield node
        elif dims is not None and any(
            batch == dims[axis] for axis in _axes(node, len(dims), constants, opset)
        ):
            yield node


def _axes(node: onnx.NodeProto, rank: int, constants: dict[str, list[int]], opset: int) -> list[int]:
    """The axes that a node works along, those that are known."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute if not a.ref_attr_name}
    if node.op_type.startswith("Reduce"):
        axes = attributes.get("axes", _constant(node, 1, constants))
        if axes == [] and not attributes.get("noop_with_empty_axes"):
            axes = list(range(rank))
    elif node.op_type == "Slice":
        axes = attributes.get("axes", _constant(node, 3, constants))
    elif node.op_type == "CumSum":
        axes = _constant(node, 1, constants)
    elif node.op_type in _SOFTMAX and opset < 13:
        axes = list(range(attributes.get("axis", 1) % max(rank, 1), rank))
    elif node.op_type in _ALONG:
        axes = [attributes.get("axis", _ALONG[node.op_type])]
    else:
        axes = []
    return [axis % rank for axis in axes or [] if rank]


def _summed(node: onnx.NodeProto, shapes: dict[str, _Dims]) -> _Dims:
    """The dimension that a matrix product sums over, where it is known."""
    flags = {a.name for a in node.attribute if a.name in ("transA", "transB") and a.i}
    left, right = (shapes.get(name) for name in node.input[:2])
    found = []
    if left:
        found.append(left[-2 if "transA" in flags and len(left) > 1 else -1])
    if right:
        found.append(right[-1 if "transB" in flags or len(right) == 1 else -2])
    return found


def _constant(node: onnx.NodeProto, index: int, constants: dict[str, list[int]]) -> list[int] | None:
    """The values of an input: none for one that is not given, None for one that is not known."""
    name = node.input[index] if len(node.input) > index else ""
    return constants.get(name) if name else []


def _constants(model: onnx.ModelProto) -> dict[str, list[int]]:
    found = {
        tensor.name: np.ravel(numpy_helper.to_array(tensor)).tolist()
        for tensor in model.graph.initializer
        if tensor.data_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
        and len(tensor.dims) < 2
        and tensor.data_location != onnx.TensorProto.EXTERNAL
    }
    for node in model.graph.node:
        for a in node.attribute if node.op_type == "Constant" and node.domain in ("", "ai.onnx") else ():
            if (
                not a.ref_attr_name
                and (a.name != "value" or a.type == a.TENSOR)
                and a.name in ("value", "value_int", "value_ints")
            ):
                value = onnx.helper.get_attribute_value(a)
                array = numpy_helper.to_array(value) if a.name == "value" else np.asarray(value)
                if array.dtype.kind == "i" and array.ndim < 2:
                    found[node.output[0]] = np.ravel(array).tolist()
    return found


def _shapes(model: onnx.ModelProto) -> dict[str, _Dims]:
    """Names of the dimensions of the main graph's values, empty for those without."""
    copied = onnx.ModelProto()
    weights = take_weights(model)
    try:
        copied.CopyFrom(model)
    finally:
        return_weights(model, weights)
    for node in all_nodes(copied):
        if node.domain == schema.DOMAIN:  # unknown to inference; the first output is as the first input
            node.domain, node.op_type = "", "Identity"
            del node.attribute[:], node.input[1:], node.output[1:]
    with onnx_errors("onnx cannot infer the shapes of the model's values"):
        graph = onnx.shape_inference.infer_shapes(copied, data_prop=True).graph
    return {
        value.name: [d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
