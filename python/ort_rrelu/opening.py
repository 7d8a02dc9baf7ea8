"""What ort_rrelu.InferenceSession hands to ONNX Runtime: a model that is checked, its eval nodes lowered."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from google.protobuf.message import EncodeError

from ort_rrelu.errors import InvalidValueError, ModelFileError
from ort_rrelu.graph.check import checked_nodes
from ort_rrelu.graph.eval_nodes import has_eval_nodes, lower_eval_nodes
from ort_rrelu.graph.file import read_as_written, read_model
from ort_rrelu.graph.nodes import all_tensors
from ort_rrelu.graph.onnx_tools import weight_files
from ort_rrelu.graph.recognition import with_our_names
from ort_rrelu.graph.weightless import (
    InFile,
    InMemory,
    Places,
    Source,
    read_weightless,
    write_with_weights,
)

Providers = Sequence[str | tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Checked:
    """A model whose nodes of ours are sound.

    source: the path or bytes that ONNX Runtime may open. model: None where they are in ONNX Runtime's own
    format, which onnx cannot read. ours: the nodes of our domain in it. data, weights: of a model without
    its large weights.
    """

    source: str | bytes
    model: onnx.ModelProto | None
    ours: Sequence[onnx.NodeProto] = ()
    data: Source | None = None
    weights: Places | None = None

    def lowered(self, options: Any, providers: Providers | None, *, fresh: bool = False) -> str | bytes:
        """The model, which this changes, with its eval nodes lowered; `source` itself where they must stay.

        They stay where ONNX Runtime would not make more of the new nodes, or not give their bits; where what
        it writes to a file would lack ours; where there are none; and where weights in other files would not
        be found, or the model is too large for its bytes.

        Args:
            options: the session's, which may get the folder of weights in other files.
            providers: those that the session may use; None for all.
            fresh: the options have been made for this session, with nothing but the library.
        """
        model = self.model
        if model is None or not has_eval_nodes(self.ours):
            return self.source
        if not _have_our_bits(providers) or not (fresh or _let_optimize(options)):
            return self.source
        elsewhere = set() if fresh else _in_other_files(model)
        if not lower_eval_nodes(model, self.ours):
            return self.source
        if elsewhere and elsewhere - _in_other_files(model):
            return self.source  # options may have their values, and ONNX Runtime refuses a name that is gone
        if isinstance(self.source, str) and not _finds_weights(self.source, model, options, alone=fresh):
            return self.source
        if self.data is not None and self.weights is not None:
            return write_with_weights(model, self.weights, self.data) or self.source
        try:
            return bytes(model.SerializeToString())
        except EncodeError:
            return self.source


@contextmanager
def checked(source: str | bytes) -> Iterator[Checked]:
    """The model in a file, which stays open in the block, or in bytes.

    Its source is another one where nodes of ours need their names back.
    """
    if _is_small(source):
        yield _checked(source, None)
    elif isinstance(source, bytes):
        yield _checked(source, InMemory(source))
    else:
        with open(source, "rb") as file:
            yield _checked(source, InFile(file))


def _checked(source: str | bytes, large: Source | None) -> Checked:
    if _is_ort_format(source):
        return Checked(source, None)
    read = None if large is None else read_weightless(large)
    written = read_as_written(source) if read is None else read.model
    model = with_our_names(written)
    ours = checked_nodes(model)
    if model is written:
        return Checked(source, model, ours, large, None if read is None else read.weights)
    # Weights in other files would be looked for elsewhere.
    model = read_model(source, external_data=isinstance(source, str))
    try:
        return Checked(bytes(model.SerializeToString()), model, checked_nodes(model))
    except EncodeError as error:
        raise InvalidValueError(
            f"{source!r}: its RRelu functions have other names, and it is too large to be changed in "
            "memory: `ort-rrelu portable` writes a file with their own names"
        ) from error


_SMALL = 2**22  # bytes, which are read in less time than they are searched for weights


def _is_small(source: str | bytes) -> bool:
    if isinstance(source, bytes):
        return len(source) <= _SMALL
    return not os.path.isfile(source) or os.path.getsize(source) <= _SMALL


def _is_ort_format(source: str | bytes) -> bool:
    """ONNX Runtime's own flatbuffer format."""
    if isinstance(source, bytes):
        head = source[:8]
    elif (path := Path(source)).is_file():
        with path.open("rb") as file:
            head = file.read(8)
    else:
        return False
    return head[4:8] == b"ORTM"


# Whose LeakyRelu has the bits of ours. Azure's runs no operators of ONNX.
_PROVIDERS = ("CPUExecutionProvider", "CUDAExecutionProvider", "AzureExecutionProvider")


def _have_our_bits(providers: Providers | None) -> bool:
    usable = providers or onnxruntime.get_available_providers()
    names = (provider[0] if isinstance(provider, tuple) else provider for provider in usable)
    return all(name in _PROVIDERS for name in names)


def _let_optimize(options: Any) -> bool:
    """May ONNX Runtime make more of a standard operator, with the same bits, and for itself alone?"""
    return (
        options.graph_optimization_level != onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        and not options.optimized_model_filepath
        and not getattr(options, "has_providers", bool)()  # which are not in the list of a session's
        and entry(options, "session.set_denormal_as_zero") != "1"
    )


def entry(options: Any, name: str) -> str | None:
    """A config entry of session options; None where there is none, which takes tens of microseconds."""
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
_ONE_MODEL = "ort_rrelu.one_model"


def _finds_weights(path: str, model: onnx.ModelProto, options: Any, *, alone: bool) -> bool:
    """Does ONNX Runtime find the model's weights in other files if it gets the model as bytes?"""
    if not _in_other_files(model):
        return True
    folder = Path(path).absolute().parent
    if not _READS_FOLDER or not _holds_weights(folder, model):
        return False
    if entry(options, _FOLDER) is None and (alone or entry(options, _ONE_MODEL) == "1"):
        options.add_session_config_entry(_FOLDER, os.fspath(folder))
    return entry(options, _FOLDER) == os.fspath(folder)


def _in_other_files(model: onnx.ModelProto) -> set[str]:
    """The names of the tensors whose data are not in the model."""
    uses = onnx.external_data_helper.uses_external_data
    return {tensor.name for tensor in all_tensors(model) if uses(tensor)}


def _holds_weights(folder: Path, model: onnx.ModelProto) -> bool:
    try:
        files = weight_files(model, folder)
    except (InvalidValueError, ModelFileError):  # ONNX Runtime says so
        return False
    return all(file.resolve().is_relative_to(folder.resolve()) for file in files.values())
