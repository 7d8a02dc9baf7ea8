"""A model in one of the runtimes that `compare` knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from ort_rrelu.arguments import Array
from ort_rrelu.commands import values
from ort_rrelu.commands.feed import Input
from ort_rrelu.commands.session import open_session, timed_run
from ort_rrelu.errors import Error
from ort_rrelu.graph.check import attributes, check_model, may_train
from ort_rrelu.graph.file import read_model
from ort_rrelu.graph.nodes import our_nodes, step_of
from ort_rrelu.graph.portable import is_portable

__all__ = ["Runner", "in_onnxruntime", "in_reference"]


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
    """ONNX Runtime, with the library registered or without it."""
    session = open_session(model, seed=seed, library=library)

    def run(arrays: Mapping[str, Array]) -> dict[str, Array | None]:
        results, _seconds = timed_run(session, arrays)
        return {name: values.as_array(value) for name, value in results.items()}

    name = f"{model}" if library else f"{model} without the library"
    return Runner(
        name,
        _fresh(model, seed if library else None, counting=library),
        [Input.of(argument) for argument in session.get_inputs()],
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

    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [Input.of_value(value) for value in model.graph.input if value.name not in given]
    fresh = _fresh(path, None, counting=not is_portable(model))
    return Runner(f"{path} in onnx {onnx.__version__}'s ReferenceEvaluator", fresh, inputs, run)


def _fresh(path: Path, seed: int | None, *, counting: bool) -> int:
    """counting: whether a node without a step counts its runs, as a kernel does and a function cannot."""
    if path.suffix == ".ort":  # ONNX Runtime's own format
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
