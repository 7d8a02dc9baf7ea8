"""Weights: the bytes of large initializers set aside, and the files that hold those of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath

import onnx

from ort_rrelu.errors import InvalidValueError, ModelFileError
from ort_rrelu.graph.nodes import all_nodes, subgraphs

__all__ = ["return_weights", "take_weights", "weight_files"]

_LARGE = 1024  # bytes: a weight, of which onnx's tools need not know the value


def take_weights(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Take the bytes of large initializers out, in place, as if they were in another file.

    onnx's tools in C++ copy a model through its bytes, of which there may be no more than 2 GiB.
    """
    weights: dict[str, onnx.TensorProto] = {}
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > _LARGE:
            weights[tensor.name] = onnx.TensorProto()
            weights[tensor.name].CopyFrom(tensor)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="taken")
    return weights


def return_weights(model: onnx.ModelProto, weights: dict[str, onnx.TensorProto]) -> None:
    """Put them back, in place."""
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(weights[tensor.name])


def weight_files(model: onnx.ModelProto, folder: Path) -> dict[str, Path]:
    """The files with weights of a model in `folder`: location, as the model has it -> path.

    Raises:
        InvalidValueError: a location is absolute or leads out of the folder.
        ModelFileError: there is no such file.
    """
    files: dict[str, Path] = {}
    for tensor in filter(onnx.external_data_helper.uses_external_data, _tensors(model)):
        location = onnx.external_data_helper.ExternalDataInfo(tensor).location
        place = PurePath(location)
        if not location or place.is_absolute() or ".." in place.parts:
            raise InvalidValueError(
                f"tensor {tensor.name!r}: its data is at {location!r}: it must be in the folder of the model"
            )
        if not (folder / place).is_file():
            raise ModelFileError(f"tensor {tensor.name!r}: there is no file {folder / place} with its data")
        files[location] = folder / place
    return files


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All that can be in other files: initializers, and tensors that are attributes."""
    nodes = list(all_nodes(model))
    for graph in (model.graph, *(body for node in nodes for body in subgraphs(node))):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
