"""A model in ONNX Runtime, for every verb that runs one."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ort_rrelu
from ort_rrelu.arguments import Array
from ort_rrelu.commands import values
from ort_rrelu.commands.describe import runs_without_library
from ort_rrelu.errors import Error, InvalidValueError
from ort_rrelu.graph.check import check_model
from ort_rrelu.graph.file import read_model

__all__ = ["OnnxRuntimeError", "open_session", "timed_run"]

_ORT_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_FATAL = 4
_PROVIDERS = ["CPUExecutionProvider"]


class OnnxRuntimeError(Error, RuntimeError):
    """ONNX Runtime refused the model, or failed in a run."""


@contextmanager
def _onnxruntime_errors() -> Iterator[None]:
    """ONNX Runtime's exceptions have no base class but Exception."""
    try:
        yield
    except (Error, OSError):
        raise
    except Exception as error:
        raise OnnxRuntimeError(f"ONNX Runtime: {_ORT_PREFIX.sub('', str(error))}") from error


def open_session(
    model: Path, *, seed: int | None = None, threads: int = 0, library: bool = True, in_turn: bool = False
) -> Any:
    """An onnxruntime.InferenceSession on the CPU, with the library registered or without it.

    threads: of one operator; 0 is ONNX Runtime's own choice. library: without it, a model with nodes of ours
    must be portable, and `seed` has no meaning. in_turn: other sessions run between the runs of this one.
    """
    options = ort_rrelu.register(seed=seed) if library else _plain_options(model)
    options.log_severity_level = _FATAL  # its errors come as exceptions, too
    options.intra_op_num_threads = threads
    if in_turn:  # else its threads go on spinning for a while, and disturb the next session's run
        options.add_session_config_entry("session.force_spinning_stop", "1")
    with _onnxruntime_errors():
        made = (ort_rrelu if library else _onnxruntime()).InferenceSession(model, options, _PROVIDERS)
    _check_texts(model, made)
    return made


def _check_texts(model: Path, session: Any) -> None:
    try:
        for value in (*session.get_inputs(), *session.get_outputs()):
            _ = value.name, value.shape
    except UnicodeDecodeError as error:
        raise InvalidValueError(
            f"{model}: an input or output has a name that is not UTF-8, and cannot be named here: {error}"
        ) from error


def _plain_options(path: Path) -> Any:
    model = read_model(path)
    check_model(model)
    if not runs_without_library(model):
        raise InvalidValueError(
            f"{path}: without the library it cannot run, since it is not portable; "
            f"`ort-rrelu portable {path} --output FILE` makes it so"
        )
    return _onnxruntime().SessionOptions()


def _onnxruntime() -> Any:
    importlib.import_module("ort_rrelu.runtime")  # which says what to install where it is missing
    return importlib.import_module("onnxruntime")


def timed_run(session: Any, arrays: Mapping[str, Array]) -> tuple[dict[str, Any], float]:
    """One run: the outputs by name, as onnxruntime.OrtValue, and its seconds."""
    names = [output.name for output in session.get_outputs()]
    feed = {name: values.as_ort_value(array) for name, array in arrays.items()}
    with _onnxruntime_errors():
        begin = time.perf_counter()
        results = session.run_with_ort_values(names, feed)
        seconds = time.perf_counter() - begin
    return dict(zip(names, results, strict=True)), seconds
