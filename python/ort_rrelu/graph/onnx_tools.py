"""onnx's tools in C++, without a model's large weights and with errors of ours; files that hold weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import onnx
import onnx.inliner
import onnx.version_converter
from google.protobuf.message import DecodeError, EncodeError
from onnx.defs import SchemaError

from ort_rrelu.errors import InvalidValueError, ModelFileError
from ort_rrelu.graph.inference_guard import check_inferable, negative_dimensions_open
from ort_rrelu.graph.nodes import all_tensors, canonical, graph_nodes


def inferred(model: onnx.ModelProto, *, data_prop: bool = False) -> onnx.ModelProto:
    """A copy with the types and shapes that onnx infers, and without the bytes of large weights.

    Where the model does not import a domain that it uses, but others, onnx knows no types, and ONNX Runtime
    takes the newest version: so does this.

    data_prop: also through shapes that the model computes.

    Raises InvalidValueError when onnx cannot read the model.
    """
    check_inferable(model)
    weights, imported = take_weights(model), len(model.opset_import)
    try:
        model.opset_import.extend(_missing_imports(model))
        with onnx_errors("the model cannot be read, for its types"), negative_dimensions_open(model):
            return onnx.shape_inference.infer_shapes(model, data_prop=data_prop)
    finally:
        del model.opset_import[imported:]
        return_weights(model, weights)


def _missing_imports(model: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    known = {canonical(entry.domain) for entry in model.opset_import}
    if not known:
        return []
    missing = sorted({canonical(node.domain) for node in graph_nodes(model.graph)} - known)
    return [onnx.helper.make_opsetid(domain, _newest_version(domain)) for domain in missing]


def _newest_version(domain: str) -> int:
    return 1 if domain else onnx.defs.onnx_opset_version()


def inlined(model: onnx.ModelProto, functions: list[tuple[str, str]]) -> onnx.ModelProto:
    """A copy in which calls of the functions with these domains and names are their nodes.

    Raises InvalidValueError when onnx cannot inline them.
    """
    weights = take_weights(model)
    try:
        with onnx_errors("onnx cannot inline functions of the model"):
            made = onnx.inliner.inline_selected_functions(model, functions)
    finally:
        return_weights(model, weights)
    return_weights(made, weights)
    return made


def converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """A copy in another opset.

    Raises InvalidValueError when onnx cannot convert it.
    """
    check_inferable(model)
    weights = take_weights(model)
    try:
        with onnx_errors("onnx cannot convert it"), negative_dimensions_open(model):
            made = onnx.version_converter.convert_version(model, opset)
    finally:
        return_weights(model, weights)
    return_weights(made, weights)
    return made


# onnx's own, protobuf's, and what its C++ raises: out_of_range is an IndexError in Python, length_error and
# invalid_argument a ValueError, each other std::exception a RuntimeError.
_RAISED = (
    *(onnx.shape_inference.InferenceError, onnx.checker.ValidationError, onnx.version_converter.ConvertError),
    *(SchemaError, DecodeError, EncodeError, RuntimeError, ValueError, IndexError, OverflowError, TypeError),
)


@contextmanager
def onnx_errors(what: str) -> Iterator[None]:
    """What onnx raises in the block becomes an InvalidValueError, `what` before its message."""
    try:
        yield
    except InvalidValueError:
        raise
    except _RAISED as error:
        raise InvalidValueError(f"{what}: {error}") from error


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
        InvalidValueError: a location is absolute or leads out of the folder; offset or length is no integer.
        ModelFileError: there is no such file.
    """
    files: dict[str, Path] = {}
    for tensor in filter(onnx.external_data_helper.uses_external_data, all_tensors(model)):
        location = _location(tensor)
        place = PurePath(location)
        if not location or place.is_absolute() or ".." in place.parts:
            raise InvalidValueError(
                f"tensor {tensor.name!r}: its data is at {location!r}: it must be in the folder of the model"
            )
        if not (folder / place).is_file():
            raise ModelFileError(f"tensor {tensor.name!r}: there is no file {folder / place} with its data")
        files[location] = folder / place
    return files


def _location(tensor: onnx.TensorProto) -> str:
    """The file that has its data, as the model says."""
    try:
        return str(onnx.external_data_helper.ExternalDataInfo(tensor).location)
    except ValueError as error:
        raise InvalidValueError(
            f"tensor {tensor.name!r}: offset and length of its data in another file must be integers: {error}"
        ) from None
