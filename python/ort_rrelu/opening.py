"""What ort_rrelu.InferenceSession hands to ONNX Runtime: a model that is checked, its eval nodes lowered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from google.protobuf.message import EncodeError

from ort_rrelu.errors import InvalidValueError, ModelFileError
from ort_rrelu.graph.check import check_model
from ort_rrelu.graph.eval_nodes import lower_eval_nodes
from ort_rrelu.graph.file import read_as_written, read_model
from ort_rrelu.graph.nodes import all_tensors
from ort_rrelu.graph.onnx_tools import weight_files
from ort_rrelu.graph.recognition import with_our_names

Source = str | bytes
Providers = Sequence[str | tuple[str, dict[str, Any]]]


def checked(source: Source) -> tuple[Source, onnx.ModelProto | None]:
    """What ONNX Runtime may open, the same unless nodes of ours need their names back; and the model in it.

    None for the model of ONNX Runtime's own format, which onnx cannot read.
    """
    if _is_ort_format(source):
        return source, None
    written = read_as_written(source)
    model = with_our_names(written)
    check_model(model)
    if model is written:
        return source, model
    if isinstance(source, str):  # weights in other files would be looked for elsewhere
        model = read_model(source, external_data=True)
    try:
        return bytes(model.SerializeToString()), model
    except EncodeError as error:
        raise InvalidValueError(
            f"{source!r}: its RRelu functions have other names, and it is too large to be changed in "
            "memory: `ort-rrelu portable` writes a file with their own names"
        ) from error


def _is_ort_format(source: Source) -> bool:
    """ONNX Runtime's own flatbuffer format."""
    if isinstance(source, bytes):
        head = source[:8]
    elif (path := Path(source)).is_file():
        with path.open("rb") as file:
            head = file.read(8)
    else:
        return False
    return head[4:8] == b"ORTM"


def lowered(source: Source, model: onnx.ModelProto, options: Any, providers: Providers) -> Source:
    """The model, which this changes, with its eval nodes lowered; `source` itself where they must stay.

    They stay where ONNX Runtime would not make more of the new nodes, or not give their bits; where what it
    writes to a file would lack ours; where there are none; and where weights in other files would not be
    found, or the model is too large for its bytes.

    Args:
        source: what `checked` gave.
        model: likewise.
        options: the session's, which may get the folder of weights in other files.
        providers: those that the session may use.
    """
    if not _gains(options, providers) or not lower_eval_nodes(model):
        return source
    if isinstance(source, str) and not _finds_weights(source, model, options):
        return source
    try:
        return bytes(model.SerializeToString())
    except EncodeError:
        return source


# Whose LeakyRelu has the bits of ours. Azure's runs no operators of ONNX.
_PROVIDERS = ("CPUExecutionProvider", "CUDAExecutionProvider", "AzureExecutionProvider")


def _gains(options: Any, providers: Providers) -> bool:
    names = [provider[0] if isinstance(provider, tuple) else provider for provider in providers]
    return (
        all(name in _PROVIDERS for name in names)
        and not getattr(options, "has_providers", bool)()  # which are not in the list
        and options.graph_optimization_level.name != "ORT_DISABLE_ALL"
        and not options.optimized_model_filepath
        and entry(options, "session.set_denormal_as_zero") != "1"
    )


def entry(options: Any, name: str) -> str | None:
    """A config entry of session options; None where there is none."""
    try:
        value: str = options.get_session_config_entry(name)
    except RuntimeError:  # ONNX Runtime's way to say that there is none
        return None
    return value


# Where ONNX Runtime then looks for the weights of every model, also of one that it reads from a path; it
# demands that their files are in the folder, and not only links to them.
_FOLDER = "session.model_external_initializers_file_folder_path"
_READS_FOLDER = tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= (1, 21)

# "1": no other model uses these options.
ONE_MODEL = "ort_rrelu.one_model"


def _finds_weights(path: str, model: onnx.ModelProto, options: Any) -> bool:
    """Does ONNX Runtime find the model's weights in other files if it gets the model as bytes?"""
    if not any(map(onnx.external_data_helper.uses_external_data, all_tensors(model))):
        return True
    folder = Path(path).absolute().parent
    if not _READS_FOLDER or not _holds_weights(folder, model):
        return False
    if entry(options, _FOLDER) is None and entry(options, ONE_MODEL) == "1":
        options.add_session_config_entry(_FOLDER, os.fspath(folder))
    return entry(options, _FOLDER) == os.fspath(folder)


def _holds_weights(folder: Path, model: onnx.ModelProto) -> bool:
    try:
        files = weight_files(model, folder)
    except (InvalidValueError, ModelFileError):  # ONNX Runtime says so
        return False
    return all(file.resolve().is_relative_to(folder.resolve()) for file in files.values())
