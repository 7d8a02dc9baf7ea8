"""Models opened and run in ONNX Runtime or onnx's evaluator, and how far their outputs are apart."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import ort_rrelu
from ort_rrelu.arguments import Array
from ort_rrelu.commands.describe import runs_without_library
from ort_rrelu.commands.feed import Input
from ort_rrelu.errors import Error, InvalidValueError
from ort_rrelu.graph.check import attributes, check_model, may_train
from ort_rrelu.graph.embedding import is_portable
from ort_rrelu.graph.file import read_model
from ort_rrelu.graph.nodes import fed_inputs, our_nodes, step_of
from ort_rrelu.graph.step_input import scalar_steps
from ort_rrelu.tensors import as_array, as_ort_value, is_extension

_ORT_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


_FATAL = 4
_ORT_FORMAT = ".ort"  # ONNX Runtime's own


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
    model: Path,
    *,
    seed: int | None = None,
    threads: int = 0,
    library: bool = True,
    lower_eval: bool = True,
    in_turn: bool = False,
) -> Any:
    """An onnxruntime.InferenceSession on the CPU, with the library registered or without it.

    seed, lower_eval: as of ort_rrelu.InferenceSession. threads: of one operator; 0 is ONNX Runtime's own
    choice. library: without it, a model with nodes of ours must be portable, and `seed` and `lower_eval` have
    no meaning. in_turn: other sessions run between the runs of this one.
    """
    options = ort_rrelu.register(seed=seed) if library else _plain_options(model)
    options.log_severity_level = _FATAL  # its errors come as exceptions, too
    options.intra_op_num_threads = threads
    if in_turn:  # else its threads go on spinning for a while, and disturb the next session's run
        options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("ort_rrelu.one_model", "1")
    with _onnxruntime_errors():
        if library:
            made = ort_rrelu.InferenceSession(model, options, _PROVIDERS, lower_eval=lower_eval)
        else:
            made = _onnxruntime().InferenceSession(model, options, _PROVIDERS)
    _check_texts(model, made)
    return made


def session_inputs(model: Path, session: Any) -> list[Input]:
    """The inputs of a session of the model; whether a step is a scalar, the file alone tells."""
    inputs = [Input.of(argument) for argument in session.get_inputs()]
    if model.suffix == _ORT_FORMAT:
        return inputs
    return _with_scalar_steps(inputs, read_model(model))


def _with_scalar_steps(inputs: Sequence[Input], model: onnx.ModelProto) -> list[Input]:
    scalars = scalar_steps(model)
    return [replace(each, one_step=each.name in scalars) for each in inputs]


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
            f"{path}: it cannot run without the library, because it is not portable; "
            f"`ort-rrelu portable {path} --output FILE` makes it so"
        )
    return _onnxruntime().SessionOptions()


def _onnxruntime() -> Any:
    importlib.import_module("ort_rrelu.runtime")  # which says what to install where it is missing
    return importlib.import_module("onnxruntime")


def timed_run(session: Any, arrays: Mapping[str, Array]) -> tuple[dict[str, Any], float]:
    """One run: the outputs by name, as onnxruntime.OrtValue, and its seconds."""
    names = [output.name for output in session.get_outputs()]
    feed = {name: as_ort_value(array) for name, array in arrays.items()}
    with _onnxruntime_errors():
        begin = time.perf_counter()
        results = session.run_with_ort_values(names, feed)
        seconds = time.perf_counter() - begin
    return dict(zip(names, results, strict=True)), seconds


class EvaluatorError(Error, RuntimeError):
    """onnx's ReferenceEvaluator refused the model, or failed in a run."""


@dataclass(frozen=True)
class Runner:
    """name: model and runtime; run: outputs by name, None for what is no tensor.

    fresh: how many of its train nodes draw other slopes in every session.
    """

    name: str
    fresh: int
    inputs: list[Input]
    run: Callable[[Mapping[str, Array]], dict[str, Array | None]]


def in_onnxruntime(model: Path, *, seed: int | None = None, library: bool = True) -> Runner:
    """ONNX Runtime, with the library registered, whose kernels run in eval mode too, or without it."""
    session = open_session(model, seed=seed, library=library, lower_eval=False)

    def run(arrays: Mapping[str, Array]) -> dict[str, Array | None]:
        results, _seconds = timed_run(session, arrays)
        return {name: as_array(value) for name, value in results.items()}

    name = f"{model}" if library else f"{model} without the library"
    return Runner(
        name,
        _fresh(model, seed if library else None, counting=library),
        session_inputs(model, session),
        run,
    )


def in_reference(path: Path) -> Runner:
    """onnx's ReferenceEvaluator: a portable model's own functions, else our NumPy reference."""
    from onnx.reference import ReferenceEvaluator

    from ort_rrelu.evaluator import OPS

    model = read_model(path)
    check_model(model)
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
        evaluator = ReferenceEvaluator(model, new_ops=None if is_portable(model) else OPS)
    except Exception as error:
        raise _reference_error(error) from error

    def run(arrays: Mapping[str, Array]) -> dict[str, Array | None]:
        try:
            results = evaluator.run(None, dict(arrays))
        except Exception as error:
            raise _reference_error(error) from error
        pairs = zip(evaluator.output_names, results, strict=True)
        return {name: np.asarray(value) if _is_array(value) else None for name, value in pairs}

    inputs = _with_scalar_steps(list(map(Input.of_value, fed_inputs(model))), model)
    fresh = _fresh(path, None, counting=not is_portable(model))
    return Runner(f"{path} in onnx {onnx.__version__}'s ReferenceEvaluator", fresh, inputs, run)


def _fresh(path: Path, seed: int | None, *, counting: bool) -> int:
    """counting: whether a node without a step counts its runs, as a kernel does and a function cannot."""
    if path.suffix == _ORT_FORMAT:
        return 0
    nodes = filter(may_train, our_nodes(read_model(path)))
    return sum(
        (seed is None and attributes(node)["seed"] < 0) or not (counting or step_of(node)) for node in nodes
    )


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray | np.generic)


def _reference_error(error: Exception) -> Error:
    """It raises whatever its Python happens to raise."""
    return EvaluatorError(f"onnx's ReferenceEvaluator: {type(error).__name__}: {error}")


@dataclass(frozen=True)
class Difference:
    """largest: of |a - b|; NaN where only one of two elements is one, None where a - b has no meaning.

    elements: how many elements have other bits, where any NaN equals any NaN; None for two dtypes or shapes.
    """

    largest: float | None
    elements: int | None

    def exceeds(self, tolerance: float) -> bool:
        """Are the arrays further apart than that? What cannot be compared is."""
        if self.largest is None:
            return self.elements != 0
        return not self.largest <= tolerance  # true for NaN


def difference(a: Array, b: Array) -> Difference:
    """Of two arrays of any dtypes and shapes."""
    if a.shape != b.shape:
        return Difference(None, None)
    elements = _unequal(a, b) if a.dtype == b.dtype else None
    if not (_is_number(a.dtype) and _is_number(b.dtype)):
        return Difference(None, elements)
    return Difference(_largest(a, b), elements)


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biufc" or is_extension(dtype)


def _unequal(a: Array, b: Array) -> int:
    if not a.size:
        return 0
    if a.dtype.kind == "O":
        return int(np.count_nonzero(a != b))
    bits = [np.ascontiguousarray(x).reshape(-1).view(np.uint8).reshape(a.size, -1) for x in (a, b)]
    other = (bits[0] != bits[1]).any(axis=1)
    return int(np.count_nonzero(other & ~_both_nan(a, b).reshape(-1)))


def _both_nan(a: Array, b: Array) -> Array:
    if a.dtype.kind in "biu":
        return np.zeros(a.shape, bool)
    return np.asarray((a != a) & (b != b))  # np.isnan does not know all of ml_dtypes' types


def _largest(a: Array, b: Array) -> float:
    if not a.size:
        return 0.0
    if a.dtype.kind in "iu" and a.dtype == b.dtype:  # float64 would round those of 64 bits
        bits = np.dtype(f"u{a.dtype.itemsize}")
        upper, lower = (x.reshape(-1).view(bits) for x in (np.maximum(a, b), np.minimum(a, b)))
        return float((upper - lower).max())
    wide = [x.astype(np.complex128 if x.dtype.kind == "c" else np.float64) for x in (a, b)]
    with np.errstate(all="ignore"):  # infinities of one sign are no distance apart
        apart = np.abs(wide[0] - wide[1])
    return float(np.max(np.where((wide[0] == wide[1]) | _both_nan(*wide), 0.0, apart)))
