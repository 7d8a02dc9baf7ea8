"""What exporters share: the last steps of an export and its file, the name of the batch, quiet loggers."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any, BinaryIO

import onnx

from ort_rrelu import functions, graph
from ort_rrelu.arguments import ROWS, StepInput
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.files import check_target
from ort_rrelu.graph.file import write_model
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.graph.step_input import wire_step

BATCH = "batch"  # what an open dimension of all samples is called


def finished(
    model: onnx.ModelProto, *, step_input: StepInput, portable: bool, opset_version: int | None
) -> onnx.ModelProto:
    """The exported model with a step input and portable, where these are wanted; it may be changed in place.

    Raises InvalidValueError when they are not possible, or opset_version, which was asked for, is too old.
    """
    if step_input:
        wire_step(model, rows=step_input == ROWS)
    if not portable or not our_nodes(model):
        return model
    check_portable_opset(opset_version)
    try:
        return graph.portable(model)
    except InvalidValueError as error:
        raise InvalidValueError(
            f"{error}; portable=False exports a model that runs only where the library is registered"
        ) from error


def check_portable_opset(opset_version: int | None) -> None:
    """Raise InvalidValueError when a model of this opset, which was asked for, cannot be portable."""
    if opset_version is not None and opset_version < functions.OLDEST_OPSET:
        raise InvalidValueError(
            f"opset_version={opset_version}: a portable model needs {functions.OLDEST_OPSET} or newer; "
            "portable=False exports one that runs only where the library is registered"
        )


def as_opset_version(version: int | None, default: int, allowed: range) -> int:
    """The opset version that a converter is to write; raises unless `version` is in `allowed`, or None."""
    if version is None:
        return default
    first, last = allowed[0], allowed[-1]
    if not isinstance(version, Integral) or isinstance(version, bool):
        raise InvalidTypeError(
            f"opset_version={version!r}: it must be an integer from {first} to {last}, or None"
        )
    if version not in allowed:
        raise InvalidValueError(f"opset_version={version}: it must be from {first} to {last}")
    return int(version)


def check_destination(f: Any, external_data: bool | None = None) -> None:
    """Raise unless `write_to` can write there, before the work that makes the model.

    InvalidTypeError or InvalidValueError that names f, or OSError.
    """
    if isinstance(f, str | os.PathLike):
        check_target(f)
    elif isinstance(f, io.RawIOBase | io.BufferedIOBase):
        if not f.writable():
            raise InvalidValueError(f"f={f!r} is not open for writing")
        if external_data:
            raise InvalidValueError("external_data=True: f is a stream, and the weights need a folder")
    elif f is not None:
        raise InvalidTypeError(f"f={f!r}: it must be a path, an io.BytesIO or another binary stream, or None")


def write_to(
    f: str | os.PathLike[str] | BinaryIO | None, model: onnx.ModelProto, *, external_data: bool | None = None
) -> None:
    """Write an exported model: to a path, all or nothing; to a binary stream; nowhere if `f` is None."""
    if isinstance(f, str | os.PathLike):
        write_model(model, f, external_data=external_data)
    elif f is not None:
        f.write(model.SerializeToString())


@contextmanager
def log_level(logger: str, level: int) -> Iterator[None]:
    """In the block the logger of this name says nothing below the level."""
    named = logging.getLogger(logger)
    before = named.level
    named.setLevel(level)
    try:
        yield
    finally:
        named.setLevel(before)
