"""Model files."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from ort_rrelu.errors import InvalidTypeError, InvalidValueError, ModelFileError
from ort_rrelu.files import replacing

__all__ = ["new_model", "read_model", "write_model"]


def read_model(
    path_or_bytes: str | os.PathLike[str] | bytes, *, external_data: bool = False
) -> onnx.ModelProto:
    """The model in a file or in bytes; weights in other files stay there unless external_data=True.

    Raises ModelFileError when there is no such file, InvalidValueError when it holds no ONNX model.
    """
    if isinstance(path_or_bytes, bytes):
        return _parse(path_or_bytes, "the bytes given")
    path = Path(path_or_bytes)
    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}")
    model = _parse(path.read_bytes(), str(path))
    if external_data:
        onnx.external_data_helper.load_external_data_for_model(model, os.fspath(path.parent))
    return model


def new_model(model: onnx.ModelProto | str | os.PathLike[str]) -> onnx.ModelProto:
    """A copy of a model, or the model in a file; weights in other files stay there.

    Raises as read_model does, and InvalidTypeError when it is neither a model nor a path.
    """
    if isinstance(model, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return copy
    if not isinstance(model, str | os.PathLike):
        raise InvalidTypeError(f"model is a {type(model).__name__}: it must be an onnx.ModelProto or a path")
    return read_model(model)


def _parse(data: bytes, origin: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise InvalidValueError(f"{origin}: not an ONNX model, or a damaged one ({error})") from error
    if not model.ir_version or not model.HasField("graph"):
        raise InvalidValueError(f"{origin}: not an ONNX model (it has no IR version or no graph)")
    return model


def write_model(
    model: onnx.ModelProto, path: str | os.PathLike[str], *, external_data: bool | None = None
) -> None:
    """Write a model, all of it or nothing.

    external_data: True puts the weights into `path` + ".data", None only those of a model that is too large
    for one protobuf file (2 GiB; 1 GiB of weights keeps a distance). Raises OSError as the file system does.
    """
    if external_data is None:
        external_data = _weight_bytes(model) >= onnx.checker.MAXIMUM_PROTOBUF // 2
    with replacing(path) as written:
        if external_data:
            _write_with_data(model, written)
        else:
            written.write_bytes(model.SerializeToString())


def _weight_bytes(model: onnx.ModelProto) -> int:
    """What the weights take; ByteSize, which would count the rest too, fails on a model above 2 GiB."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _write_with_data(model: onnx.ModelProto, path: Path) -> None:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # onnx.save_model moves the weights out of the model it is given
    onnx.save_model(copy, path, save_as_external_data=True, location=f"{path.name}.data")
