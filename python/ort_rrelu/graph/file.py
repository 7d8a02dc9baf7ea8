"""Model files: read with a clear error, written so that nothing is ever half there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from ort_rrelu.errors import InvalidValueError, ModelFileError

__all__ = ["check_target", "read_model", "write_model"]


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


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise OSError unless a file can be written at `path`; to be asked before the work that fills it."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: name a file")
    if not target.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.absolute().parent} to write {target.name} into")
    if not os.access(target.absolute().parent, os.W_OK):
        raise PermissionError(f"no permission to write into {target.absolute().parent}")


def write_model(
    model: onnx.ModelProto, path: str | os.PathLike[str], *, external_data: bool | None = None
) -> None:
    """Write a model under a temporary name beside its target and rename it: all of it or nothing.

    external_data: True puts the weights into `path` + ".data", None only those of a model that is too large
    for one protobuf file (2 GiB). Raises OSError as the file system does.
    """
    check_target(path)
    target = Path(path).absolute()
    if external_data is None:
        external_data = model.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        written = Path(folder) / target.name
        if not external_data:
            written.write_bytes(model.SerializeToString())
        else:
            _write_with_data(model, written)
        for file in sorted(Path(folder).iterdir(), reverse=True):  # the data before the model that names it
            file.replace(target.parent / file.name)


def _write_with_data(model: onnx.ModelProto, path: Path) -> None:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # onnx.save_model moves the weights out of the model it is given
    onnx.save_model(copy, path, save_as_external_data=True, location=f"{path.name}.data")
