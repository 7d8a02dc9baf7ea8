"""Module, Optimizer and CheckpointState of onnxruntime-training over the files of generate_artifacts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from ort_rrelu.errors import InvalidValueError, ModelFileError
from ort_rrelu.files import replacing
from ort_rrelu.graph.file import read_model
from ort_rrelu.training.artifacts import training_module


class Artifacts(NamedTuple):
    """What onnxruntime.training.api makes of one folder; optimizer is None where there is no such model."""

    module: Any
    optimizer: Any
    state: Any


def load_artifacts(
    artifact_directory: str | os.PathLike[str],
    prefix: str = "",
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    session_options: Any = None,
    device: str = "cpu",
) -> Artifacts:
    """Open what generate_artifacts wrote, to train, or to go on from a checkpoint.

    Args:
        artifact_directory: the folder with the files.
        prefix: what their names begin with.
        checkpoint: the file to start from; None: the one that generate_artifacts wrote.
        session_options: an onnxruntime.SessionOptions, with which the library is registered; None makes one.
        device: as in onnxruntime.training.api.Module.

    Raises:
        MissingPackageError: onnxruntime-training, or torch, which it imports, is not installed.
        ModelFileError: a file does not exist.
        InvalidValueError: the checkpoint is damaged or does not fit the model.
    """
    api = training_module("api")
    from ort_rrelu.runtime import register

    folder = Path(os.fspath(artifact_directory))
    training, evaluation, update = (
        folder / f"{prefix}{name}_model.onnx" for name in ("training", "eval", "optimizer")
    )
    source = folder / f"{prefix}checkpoint" if checkpoint is None else Path(os.fspath(checkpoint))
    model = read_model(training)
    state = _state(api, source)
    options = register(session_options)
    for path in (training, evaluation):
        if not path.is_file():
            raise ModelFileError(f"there is no model file {path}")
    _check_fit(model, state, source, training)
    module = api.Module(training, state, evaluation, device, options)
    optimizer = api.Optimizer(update, module) if update.is_file() else None
    return Artifacts(module, optimizer, state)


def save_checkpoint(
    state: Any, path: str | os.PathLike[str], *, include_optimizer_state: bool = True
) -> None:
    """CheckpointState.save_checkpoint, all of it or nothing: a process that is killed leaves the old file.

    include_optimizer_state: without it a resumed AdamW starts with new moments.
    """
    api = training_module("api")
    with replacing(path) as written:
        api.CheckpointState.save_checkpoint(state, written, include_optimizer_state)


def _state(api: Any, path: Path) -> Any:
    if not path.is_file():
        raise ModelFileError(f"there is no checkpoint {path}")
    try:
        return api.CheckpointState.load_checkpoint(path)
    except RuntimeError as error:
        raise InvalidValueError(
            f"{path}: not a checkpoint, or a damaged one ({_last_words(error)})"
        ) from error


def _last_words(error: Exception) -> str:
    """Without the names of C++ functions and files."""
    return str(error).strip().rpartition("] : ")[2]


def _check_fit(model: onnx.ModelProto, state: Any, checkpoint: Path, training: Path) -> None:
    """The parameters of the checkpoint are the inputs of the training model: same names and shapes."""
    wanted = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    trained = {name.removesuffix(_BUFFER) for name in wanted if name.endswith(_BUFFER)}
    try:
        held = dict(state.parameters)
    except RuntimeError:  # a nominal checkpoint gives no parameter before there is a Module
        return
    for name in sorted(trained - held.keys()):
        raise InvalidValueError(
            f"{checkpoint} is of another model than {training}: it has no parameter {name!r}"
        )
    for name, parameter in held.items():
        if name not in wanted:
            raise InvalidValueError(
                f"{checkpoint} is of another model than {training}, which has no parameter {name!r}"
            )
        shape, expected = parameter.data.shape, tuple(d.dim_value for d in wanted[name])
        if shape != expected:
            raise InvalidValueError(
                f"{checkpoint} is of another model than {training}: parameter {name!r} has shape {shape}, "
                f"not {expected}"
            )


# How the gradient accumulation of onnxruntime-training calls the buffer of a parameter.
_BUFFER = "_grad.accumulation.buffer"
