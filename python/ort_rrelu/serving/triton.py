"""A model repository for Triton: the model, and a configuration that names our library."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx

from ort_rrelu import installation
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.check import check_model
from ort_rrelu.graph.file import read_model, write_model
from ort_rrelu.graph.recognition import with_our_names
from ort_rrelu.serving.batching import can_batch
from ort_rrelu.serving.errors import check_name
from ort_rrelu.serving.model import inputs_of, outputs_of
from ort_rrelu.serving.requests import TensorSpec

KINDS = ("auto", "cpu", "gpu")
_DATATYPES = {"BYTES": "TYPE_STRING"}


def configuration(
    model: onnx.ModelProto,
    name: str,
    *,
    library_path: str | None = None,
    max_batch_size: int = 32,
    queue_microseconds: int = 2000,
    instances: int = 1,
    kind: str = "auto",
) -> str:
    """The text of config.pbtxt.

    A model that must not batch gets max_batch_size 0. In one that batches, an input of one dimension, such as
    a step for each row, is [N, 1] for Triton's clients and [N] for the model; a comment says so. Triton's own
    string inputs are no images: a model that decodes one gets its bytes as UINT8, and nothing guards its
    decoder there.

    Args:
        model: the model.
        name: the model's, and its folder's, in the repository.
        library_path: of our library where Triton runs, absolute; None for where it is here.
        max_batch_size: rows that Triton joins, where the model may batch.
        queue_microseconds: how long a request waits for others.
        instances: sessions of the model, on each device.
        kind: "cpu", "gpu", or "auto" for what Triton finds.

    Raises:
        InvalidValueError: the library's path is not absolute, or a name, an argument or input is not allowed.
    """
    check_name(name)
    path = installation.get_library_path() if library_path is None else library_path
    if not Path(path).is_absolute():
        raise InvalidValueError(f"library path {path}: Triton needs an absolute one")
    if kind not in KINDS:
        raise InvalidValueError(f"kind={kind!r}: it must be one of {', '.join(KINDS)}")
    model = with_our_names(model)
    check_model(model)
    batches = can_batch(model) and max_batch_size > 1
    lines = [
        f"name: {_text(name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {max_batch_size if batches else 0}",
        f"model_operations {{ op_library_filename: {_text(path)} }}",
        *_tensors("input", inputs_of(model, guarded=False), batches=batches),
        *_tensors("output", outputs_of(model), batches=batches),
        f"instance_group [ {{ count: {instances} kind: KIND_{kind.upper()} }} ]",
    ]
    if batches:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {queue_microseconds} }}")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tensors(kind: str, specs: Sequence[TensorSpec], *, batches: bool) -> Iterator[str]:
    for spec in specs:
        dims = spec.wire_shape[1:] if batches else spec.wire_shape
        datatype = _DATATYPES.get(spec.datatype, f"TYPE_{spec.datatype}")
        # Triton's configuration has no scalars.
        scalar = "" if dims else " reshape { shape: [] }"
        if batches and not dims:
            yield f"# {_text(spec.name)}: shape [N, 1] for clients, [N] for the model."
        listed = ", ".join(map(str, dims or [1]))
        yield f"{kind} [ {{ name: {_text(spec.name)} data_type: {datatype} dims: [ {listed} ]{scalar} }} ]"


def write_repository(
    model: str | os.PathLike[str], folder: str | os.PathLike[str], name: str, text: str
) -> list[Path]:
    """Write NAME/config.pbtxt and NAME/1/model.onnx below a folder, and return their paths.

    Weights in other files go into files of the repository. Raises OSError as the file system does,
    FileExistsError for a model of that name, and InvalidValueError for a name that is no folder's; nothing is
    left of what could not be written whole.
    """
    target = Path(folder) / check_name(name)
    if target.exists():
        raise FileExistsError(f"{target} exists already: remove it, or give another name")
    weights = read_model(model, external_data=True)
    written = Path(folder) / f".{name}.new"
    try:
        (written / "1").mkdir(parents=True)
        write_model(weights, written / "1" / "model.onnx")
        (written / "config.pbtxt").write_text(text, "utf-8")
        written.rename(target)
    finally:
        shutil.rmtree(written, ignore_errors=True)
    return [target / "config.pbtxt", target / "1" / "model.onnx"]
