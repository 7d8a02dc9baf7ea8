"""Layers, functions and programs saved as Paddle saves them, but with the modes of their rrelus.

as_input_spec says which of their arguments are inputs; what is none stays a Python value.
"""

from __future__ import annotations

import copy
import enum
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Number
from typing import Any

import numpy as np
import paddle
from paddle.jit.dy2static.program_translator import StaticFunction
from paddle.static import InputSpec

from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.paddle.document import carrying_modes
from ort_rrelu.paddle.module import TracedSeedWarning

_TENSORS = (paddle.Tensor, paddle.pir.Value, paddle.static.Variable)
_PYTHON_VALUES = (Number, np.generic, str, bytes, enum.Enum, type, np.dtype, paddle.dtype)


def as_input_spec(input_spec: Any) -> list[Any] | None:
    """A copy of the same structure with an InputSpec for each tensor and NumPy array.

    A copy, because Paddle writes the names of arguments into it. Raises InvalidTypeError or
    InvalidValueError, with the position, unless it is a list or tuple of what export allows, or None.
    """
    if input_spec is None:
        return None
    if not isinstance(input_spec, list | tuple):
        raise InvalidTypeError(
            f"input_spec={input_spec!r}: it must be a list or tuple with a paddle.static.InputSpec, a tensor "
            "or a NumPy array for each input, or None"
        )
    return [_converted(item, f"input_spec[{i}]") for i, item in enumerate(input_spec)]


def _converted(item: Any, where: str) -> Any:
    if isinstance(item, InputSpec):
        return copy.copy(item)
    if isinstance(item, _TENSORS):
        return InputSpec.from_tensor(item)
    if isinstance(item, np.ndarray):
        return _of_array(item, where)
    if isinstance(item, Mapping):
        return _of_mapping(item, where)
    if isinstance(item, list | tuple):
        return _of_sequence(item, where)
    if item is None or isinstance(item, _PYTHON_VALUES) or inspect.isroutine(item):
        return item
    raise InvalidTypeError(
        f"{where} is a {type(item).__module__}.{type(item).__qualname__}: it must be a "
        "paddle.static.InputSpec, a tensor or a NumPy array; a list, tuple or dict of these; or a value that "
        "is no input: None, a number, a string, an enum member, a dtype, a class or a function"
    )


def _of_array(array: Any, where: str) -> InputSpec:
    try:
        return InputSpec.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"{where} is an array of {array.dtype}, which Paddle does not have") from error


def _of_mapping(items: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    converted = {key: _converted(item, f"{where}[{key!r}]") for key, item in items.items()}
    for key, item in converted.items():
        # Paddle names it after the key.
        if isinstance(item, InputSpec) and item.name is None and not isinstance(key, str):
            raise InvalidValueError(f"{where}[{key!r}] needs a name, because its key is not a str")
    return converted


def _of_sequence(items: Sequence[Any], where: str) -> Any:
    converted = [_converted(item, f"{where}[{i}]") for i, item in enumerate(items)]
    if isinstance(items, list):
        return converted
    return type(items)(*converted) if hasattr(items, "_fields") else tuple(converted)


def _retraceable(function: Any, input_spec: Sequence[Any] | None) -> Any:
    """A static function of the same Python function that nothing was traced with yet.

    What was traced before keeps the modes of then, and the default to_static (SOT) has no program to save.
    """
    if not isinstance(function, StaticFunction):
        return paddle.jit.to_static(function, input_spec=input_spec, full_graph=True)
    if input_spec is None:
        input_spec = function._function_spec._input_spec or getattr(function, "last_call_input_spec", None)
        input_spec = as_input_spec(input_spec)  # Paddle makes constants of the tensors in the decorator's
    return paddle.jit.to_static(function.dygraph_function, input_spec=input_spec, full_graph=True)


def save_function(function: Any, prefix: str, input_spec: Sequence[Any] | None) -> None:
    """Save a layer, a function or a function decorated with to_static as `prefix`.json and .pdiparams.

    A paddle.DataParallel is saved as the layer in it, as paddle.jit.save does. Raises InvalidValueError, with
    Paddle's own message in it, when Paddle cannot trace or save it.
    """
    if not paddle.framework.use_pir_api():
        raise InvalidValueError(
            f"{_name(function)} cannot be exported while Paddle's old IR is in use (FLAGS_enable_pir_api=0), "
            "but the .pdmodel file that paddle.jit.save makes of it can"
        )
    if inspect.isbuiltin(function) or _name(function) == "<lambda>":
        raise InvalidTypeError(
            f"layer_or_path={function!r}: Paddle traces neither lambdas nor built-in functions: "
            "it must be one that was written with def"
        )
    while isinstance(function, paddle.DataParallel):
        function = _without_data_parallel(function)
    is_layer = isinstance(function, paddle.nn.Layer)
    if is_layer:
        _refuse_hooks_with_keywords(function)
    traced = _retraceable(function.forward if is_layer else function, input_spec)
    if traced._input_spec is None and inspect.signature(traced.dygraph_function).parameters:
        raise InvalidValueError(
            "input_spec=None: a layer or function that was not decorated with an input_spec needs one, such "
            "as [paddle.static.InputSpec([None, 3], 'float32')]"
        )
    with (
        _as_invalid(function, input_spec),
        _attributes_kept(traced.class_instance),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", TracedSeedWarning)  # the seed is carried along
        # The hooks of inner layers are called anyway.
        whole = traced.concrete_program_specify_input_spec(None, with_hook=is_layer)
    inputs, (tensors, values) = _values(whole.inputs), whole.parameters
    _refuse_equal_names(inputs, values)
    weights = {value.name: t for t, value in zip(tensors, values, strict=True) if value.persistable}
    with _as_invalid(function, input_spec), carrying_modes(whole.main_program):
        # Not paddle.jit.save, which leaves out the hooks of the outermost layer.
        _save_traced(whole.main_program, prefix, inputs, _values(whole.outputs), weights)


@contextmanager
def _as_invalid(function: Any, input_spec: Sequence[Any] | None) -> Iterator[None]:
    """Raise what Paddle raises as InvalidValueError."""
    try:
        yield
    except Exception as error:
        raise InvalidValueError(
            f"Paddle cannot trace {_name(function)} with input_spec={input_spec}: {error}"
        ) from error


def _refuse_equal_names(inputs: list[Any], weights: Sequence[Any]) -> None:
    """Paddle saves them without a word, and no runtime can tell them apart."""
    taken = {weight.name: "a weight" for weight in weights}
    for i, value in enumerate(inputs):
        if value.name in taken:
            raise InvalidValueError(
                f"input_spec: input {i} has the name {value.name!r}, and so has {taken[value.name]}: give it "
                "another, with InputSpec(..., name=) or InputSpec.from_tensor(tensor, name=)"
            )
        taken[value.name] = f"input {i}"


def _without_data_parallel(layer: Any) -> Any:
    if layer._forward_pre_hooks or layer._forward_post_hooks:
        raise InvalidValueError(
            "a forward hook of the paddle.DataParallel itself would be lost: register it on the layer in it"
        )
    return layer._layers


def _refuse_hooks_with_keywords(layer: Any) -> None:
    """Paddle traces the outermost layer's hooks itself, and does not know of these."""
    for kind in ("pre", "post"):
        if getattr(layer, f"_forward_{kind}_hooks_with_kwargs_flag", None):  # Paddle 3.0 has none for "post"
            raise InvalidValueError(
                f"{_name(layer)}: a forward {kind}-hook of the outermost layer was registered with "
                "with_kwargs=True, which Paddle cannot trace: register it without, or on an inner layer"
            )


@contextmanager
def _attributes_kept(layer: Any) -> Iterator[None]:
    """Undo what a trace leaves in attributes of layers, such as weight_norm's weight, a program's value."""
    layers = [] if layer is None else layer.sublayers(include_self=True)
    before = [(each, dict(vars(each))) for each in layers]
    try:
        yield
    finally:
        for each, attributes in before:
            vars(each).clear()
            vars(each).update(attributes)


def _values(nested: Any) -> list[Any]:
    """The values of a program in what a function takes or returns, each once."""
    values = [each for each in paddle.utils.flatten(nested) if isinstance(each, paddle.pir.Value)]
    return [value for i, value in enumerate(values) if not any(map(value.is_same, values[:i]))]


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def save_program(program: Any, prefix: str, feed_vars: Sequence[Any], fetch_vars: Sequence[Any]) -> None:
    """Save a static program, whose weights are in the current global scope."""
    _refuse_missing_weights(program)
    with carrying_modes(program):
        _save(program, prefix, feed_vars, fetch_vars)


def _refuse_missing_weights(program: Any) -> None:
    scope = paddle.static.global_scope()
    ops = (op for op in program.global_block().ops if op.name() == "builtin.parameter")
    missing = [name for op in ops if scope.find_var(name := op.attrs()["parameter_name"]) is None]
    if missing:
        raise InvalidValueError(
            f"the program's weights ({', '.join(missing)}) are not in paddle.static.global_scope(): run its "
            "startup program first"
        )


def refuse_old_program(program: Any) -> None:
    """Raise InvalidTypeError, with what to do instead, for a program of the old IR."""
    if isinstance(program, paddle.base.framework.Program):
        raise InvalidTypeError(
            "a program of Paddle's old IR cannot be exported, but the .pdmodel file that "
            "paddle.static.save_inference_model makes of it can"
        )


def _save(program: Any, prefix: str, feed_vars: Sequence[Any], fetch_vars: Sequence[Any]) -> None:
    executor = paddle.static.Executor(paddle.CPUPlace())
    with _static_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paddle.static.save_inference_model(
            prefix, list(feed_vars), list(fetch_vars), executor, program=program
        )


@contextmanager
def _static_mode() -> Iterator[None]:
    dynamic = paddle.in_dynamic_mode()
    paddle.enable_static()
    try:
        yield
    finally:
        if dynamic:
            paddle.disable_static()


def save_translated(layer: Any, prefix: str) -> None:
    """Save what paddle.jit.load gave; the modes of its rrelus were lost when it was saved first."""
    program = layer.program()
    refuse_old_program(program)
    ops = program.global_block().ops
    feeds = [op.result(0) for op in ops if op.name() == "pd_op.data"]
    fetches = [op.operand_source(0) for op in ops if op.name() == "builtin.shadow_output"]
    _save_traced(
        program, prefix, feeds, fetches, {weight.name: weight for weight in layer.state_dict().values()}
    )


def _save_traced(
    program: Any, prefix: str, feeds: list[Any], fetches: list[Any], weights: dict[str, paddle.Tensor]
) -> None:
    # Paddle saves weights from a scope; a layer keeps them elsewhere.
    scope = paddle.base.core.Scope()
    for name, weight in weights.items():
        scope.var(name).get_tensor()._share_data_with(weight.value().get_tensor())
    with paddle.static.scope_guard(scope):
        _save(program, prefix, feeds, fetches)
