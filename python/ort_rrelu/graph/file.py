"""Model files: read, written whole or not at all, and copied for tools that must not change theirs."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from ort_rrelu.errors import InvalidTypeError, InvalidValueError, ModelFileError
from ort_rrelu.files import check_target, copied, replacing
from ort_rrelu.graph.form import check_form
from ort_rrelu.graph.onnx_tools import onnx_errors, weight_files
from ort_rrelu.graph.opset import complete_imports
from ort_rrelu.graph.recognition import give_names_back


def read_model(
    path_or_bytes: str | os.PathLike[str] | bytes, *, external_data: bool = False
) -> onnx.ModelProto:
    """The model in a file or in bytes; weights in other files stay there unless external_data=True.

    Functions of ours that have other names, and their nodes, get ours back.

    Raises ModelFileError when there is no such file, InvalidValueError when it holds no ONNX model.
    """
    model = read_as_written(path_or_bytes, external_data=external_data)
    give_names_back(model)
    return model


def read_as_written(
    path_or_bytes: str | os.PathLike[str] | bytes, *, external_data: bool = False
) -> onnx.ModelProto:
    """As read_model, with the names that the model has."""
    if isinstance(path_or_bytes, bytes):
        return _parse(path_or_bytes, "the bytes given")
    path = Path(path_or_bytes)
    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}")
    model = _parse(path.read_bytes(), str(path))
    if external_data:
        with onnx_errors(f"{path}: weights in another file cannot be read"):
            onnx.external_data_helper.load_external_data_for_model(model, os.fspath(path.parent))
    return model


def new_model(model: onnx.ModelProto | str | os.PathLike[str]) -> onnx.ModelProto:
    """A copy of a model, or the model in a file, of a form that tools can walk through.

    Weights in other files stay there. Functions of ours that have other names, and their nodes, get ours
    back. Where the model uses our domain and does not import it, the import is added: ONNX Runtime runs such
    a model.

    Raises as read_model and check_form do, and InvalidTypeError when it is neither a model nor a path.
    """
    if isinstance(model, onnx.ModelProto):
        taken = _copy(model)
    elif isinstance(model, str | os.PathLike):
        taken = read_as_written(model)
    else:
        raise InvalidTypeError(f"model is a {type(model).__name__}: it must be an onnx.ModelProto or a path")
    check_form(taken)
    if give_names_back(taken):
        check_form(taken)  # of nodes whose operators are only known now
    complete_imports(taken)
    return taken


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    try:
        copy.CopyFrom(model)
    except DecodeError as error:  # protobuf copies some messages through their bytes
        raise InvalidValueError(f"protobuf cannot copy the model ({error})") from error
    return copy


def _parse(data: bytes, origin: str) -> onnx.ModelProto:
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise InvalidValueError(f"{origin}: not an ONNX model, or a damaged one ({error})") from error
    if not model.ir_version or not model.HasField("graph"):
        raise InvalidValueError(f"{origin}: not an ONNX model (it has no IR version or no graph)")
    return model


def write_model(
    model: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    external_data: bool | None = None,
    weights_from: str | os.PathLike[str] | None = None,
) -> None:
    """Write a model, all of it or nothing.

    Args:
        model: what to write.
        path: where.
        external_data: True puts the weights into `path` + ".data", None only those of a model that is too
            large for one protobuf file (2 GiB; 1 GiB of weights keeps a distance).
        weights_from: the folder that the model was read from. Files in which it has weights are copied from
            there, without loading them, under the names that the model has for them, which are relative to
            its own folder. None leaves them where they are.

    Raises:
        ModelFileError: a file with weights is missing.
        InvalidValueError: the model names a place for weights that is not in its folder, or the file itself,
            or `path` is where it has weights now.
        OSError: as the file system does, and FileExistsError when another file is where weights belong.
    """
    if external_data is None:
        external_data = _weight_bytes(model) >= onnx.checker.MAXIMUM_PROTOBUF // 2
    check_target(path)
    with copied(_copies(model, path, weights_from, external_data)), replacing(path) as written:
        if external_data:
            _write_with_data(model, written)
        else:
            written.write_bytes(model.SerializeToString())


def _copies(
    model: onnx.ModelProto,
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None,
    external_data: bool,
) -> dict[Path, Path]:
    """Of the files that hold weights already: target -> source."""
    if folder is None:
        return {}
    target = Path(path).resolve()
    files = weight_files(model, Path(folder))
    for written in [target.name, *[_data_name(target)] * external_data]:
        if written in files:
            raise InvalidValueError(
                f"the model has weights in {written!r}, so it cannot be written to {path}"
            )
    for source in files.values():
        if target.exists() and target.samefile(source):
            raise InvalidValueError(
                f"{path} holds weights of the model, so the model cannot be written there"
            )
    return {target.parent / place: source for place, source in files.items()}


def _data_name(path: Path) -> str:
    return f"{path.name}.data"


def _weight_bytes(model: onnx.ModelProto) -> int:
    """What the weights take; ByteSize, which would count the rest too, fails on a model above 2 GiB."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _write_with_data(model: onnx.ModelProto, path: Path) -> None:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # onnx.save_model moves the weights out of the model it is given
    onnx.save_model(copy, path, save_as_external_data=True, location=_data_name(path))
