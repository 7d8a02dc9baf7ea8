"""Model files: read with a clear error, written so that nothing is ever half there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from ort_rrelu.errors import InvalidValueError, ModelFileError

__all__ = ["read_model", "write_model"]


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


def _parse(data: bytes, origin: str) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise InvalidValueError(f"{origin}: not an ONNX model, or a damaged one ({error})") from error
    if not model.ir_version or not model.HasField("graph"):
        raise InvalidValueError(f"{origin}: not an ONNX model (it has no IR version or no graph)")
    return model


def write_model(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model under a temporary name beside its target and rename it: all of it or nothing.

    A model too large for one protobuf file (2 GiB) gets its weights in `path` + ".data".
    Raises OSError as the file system does.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: name a file")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        written = Path(folder) / target.name
        if model.ByteSize() < onnx.checker.MAXIMUM_PROTOBUF:
            written.write_bytes(model.SerializeToString())
        else:
            data = f"{target.name}.data"
            onnx.save_model(model, written, save_as_external_data=True, location=data)
            (Path(folder) / data).replace(target.parent / data)
        written.replace(target)
