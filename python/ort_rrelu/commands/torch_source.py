"""Export of what the command line takes for a torch model."""

from __future__ import annotations

import inspect
import logging
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch

import ort_rrelu.torch  # first: it says what to install where torch is missing
from ort_rrelu.commands.export_inputs import (
    check_dynamic,
    dynamic_arguments,
    enlarged,
    example_inputs,
    named_axes,
)
from ort_rrelu.commands.factory import called, named
from ort_rrelu.errors import ConversionError, Error, InvalidTypeError, InvalidValueError, ModelFileError


def from_factory(
    text: str,
    shapes: Sequence[str],
    files: Sequence[str],
    *,
    training: bool | None,
    dynamic_batch: bool,
    dynamic_axes: Sequence[str],
    dynamo: bool,
    **options: Any,
) -> onnx.ModelProto:
    """The model that package.module:factory makes, or is. options: of ort_rrelu.torch.export."""
    inputs = example_inputs(shapes, files)
    model = _made(text)
    if training is False:
        model.eval()
    names = _input_names(model, len(inputs))
    if not dynamo:
        options["input_names"] = names
    axes = named_axes(inputs, names, batch=dynamic_batch, wanted=dynamic_axes)
    options |= dynamic_arguments(axes, names, dynamo=dynamo)
    exported = _exported(text, model, enlarged(inputs, axes), training=training, dynamo=dynamo, **options)
    check_dynamic(text, exported, axes)
    return exported


def from_program(path: Path, **options: Any) -> onnx.ModelProto:
    """The model in a file that torch.export.save wrote. options: of ort_rrelu.torch.export."""
    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}")
    try:
        with _quiet():
            program = torch.export.load(path)
    except Exception as error:  # of several types; a file of another kind, or of a newer torch
        text = "not a zip archive" if isinstance(error, zipfile.BadZipFile) else str(error)
        raise InvalidValueError(f"{path}: torch.export.load cannot read it: {text}") from error
    return _exported(str(path), program, (), **options)


def _made(text: str) -> torch.nn.Module:
    found = named(text)
    made = found if isinstance(found, torch.nn.Module) else called(text, found)
    if not isinstance(made, torch.nn.Module):
        raise InvalidTypeError(
            f"{text} gives an object of type {type(made).__name__}: it must be a torch.nn.Module"
        )
    return made


def _input_names(model: torch.nn.Module, count: int) -> list[str]:
    """Those of forward's arguments, which the default exporter takes by itself."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(model.forward).parameters.values()
    names = [p.name for p in parameters if p.kind in kinds][:count]
    return names + [f"input_{index}" for index in range(len(names), count)]


def _exported(text: str, model: Any, inputs: tuple[torch.Tensor, ...], **options: Any) -> onnx.ModelProto:
    try:
        with _quiet():
            return ort_rrelu.torch.export(model, inputs, verbose=False, **options)
    except Error:
        raise
    except Exception as error:  # of torch's exporters, or of the model's forward
        cause = _cause(error)
        raise ConversionError(
            f"torch cannot export {text}: {type(cause).__name__}: {_line(cause)}"
        ) from error


def _cause(error: BaseException) -> BaseException:
    """torch's exporter wraps what happened in advice on exporting."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "")


@contextmanager
def _quiet() -> Iterator[None]:
    """torch logs tracebacks of what it raises, and of what is not installed."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
