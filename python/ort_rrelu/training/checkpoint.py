"""Checkpoints of a training: tensors, step numbers and the identity of the model, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ort_rrelu.arguments import Array
from ort_rrelu.errors import InvalidValueError, MissingPackageError, ModelFileError
from ort_rrelu.files import replacing

# The second one has the number of the next sample too, which a reader of the first does not know.
_FORMAT, _FORMAT_BY_SAMPLE = "ort_rrelu.training.1", "ort_rrelu.training.2"


@dataclass(frozen=True)
class Checkpoint:
    """steps: how many were done. identity: StepModel.identity() of the model they were done with.

    next_sample: the step of the next sample; None for a model that takes one step for the whole batch.
    """

    steps: int
    tensors: Mapping[str, Array]
    identity: Mapping[str, str]
    next_sample: int | None = None


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise MissingPackageError(
            "safetensors is not installed: pip install 'ort-rrelu[training]'"
        ) from error
    return safetensors


def write(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write it, all or nothing: a process that is killed here leaves the file that was there before."""
    safetensors = _safetensors()
    metadata = {
        "format": _FORMAT,
        "steps": str(checkpoint.steps),
        "identity": json.dumps(dict(checkpoint.identity)),
        "sha256": _digest(checkpoint),
    }
    if checkpoint.next_sample is not None:
        metadata |= {"format": _FORMAT_BY_SAMPLE, "next_sample": str(checkpoint.next_sample)}
    tensors = {name: np.asarray(value) for name, value in checkpoint.tensors.items()}
    with replacing(path) as written:
        written.touch()
        mode = written.stat().st_mode  # as the umask wants it; safetensors makes files for their owner only
        safetensors.numpy.save_file(tensors, written, metadata)
        written.chmod(mode)
        with written.open("rb") as file:  # before the rename, or a power failure could leave an empty file
            os.fsync(file.fileno())


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read one; ModelFileError where there is none, InvalidValueError for a damaged or foreign file."""
    safetensors = _safetensors()
    if not Path(path).is_file():
        raise ModelFileError(f"there is no checkpoint {path}")
    try:
        with safetensors.safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except safetensors.SafetensorError as error:
        raise InvalidValueError(f"{path}: not a checkpoint, or a damaged one ({error})") from error
    if metadata.get("format") not in {_FORMAT, _FORMAT_BY_SAMPLE}:
        raise InvalidValueError(f"{path}: this safetensors file is not a checkpoint of ort_rrelu.training")
    try:
        next_sample = int(metadata["next_sample"]) if metadata["format"] == _FORMAT_BY_SAMPLE else None
        read = Checkpoint(int(metadata["steps"]), tensors, json.loads(metadata["identity"]), next_sample)
        expected = metadata["sha256"]
    except (KeyError, ValueError) as error:
        raise InvalidValueError(f"{path}: a damaged checkpoint ({error})") from error
    if _digest(read) != expected:
        raise InvalidValueError(f"{path}: a damaged checkpoint (its contents are not what was saved)")
    return read


def _digest(checkpoint: Checkpoint) -> str:
    """Of all that a checkpoint says: the format itself only knows its length."""
    said: list[Any] = [checkpoint.steps, dict(checkpoint.identity)]
    if checkpoint.next_sample is not None:
        said.append(checkpoint.next_sample)
    digest = hashlib.sha256(json.dumps(said).encode())
    for name in sorted(checkpoint.tensors):
        value = checkpoint.tensors[name]
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


_DIFFERENCES = {
    "optimizer": "it has the state of another optimizer ({theirs!r}, and this model has {ours!r})",
    "tensors": "its tensors have other names, shapes or dtypes than those of this model",
    "graph": "it is of another computation (other layers, seeds or hyperparameters, or an export by another "
    "version): resume with the very step model that it was saved with",
}


def check_identity(path: str | os.PathLike[str], theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Raise an InvalidValueError that says what differs unless the checkpoint is of this model."""
    for name, difference in _DIFFERENCES.items():
        if theirs.get(name) != ours[name]:
            what = difference.format(theirs=theirs.get(name), ours=ours[name])
            raise InvalidValueError(f"{path}: a checkpoint of another model: {what}")


def check_steps(path: str | os.PathLike[str], checkpoint: Checkpoint, *, by_sample: bool) -> None:
    """Raise an InvalidValueError unless it counts what the model counts: steps alone, or samples too."""
    if by_sample == (checkpoint.next_sample is not None):
        return
    kinds = "one step for the whole batch", 'a step for each sample (export_step(step_input="rows"))'
    theirs, ours = kinds if by_sample else kinds[::-1]
    lacking = "it has no number of the next sample: " if by_sample else ""
    raise InvalidValueError(
        f"{path}: a checkpoint of another model: {lacking}that model takes {theirs}, this one {ours}"
    )
