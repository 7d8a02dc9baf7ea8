"""Whatever holds a TensorFlow model, as one traced function, with the names of its outputs."""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from ort_rrelu.errors import InvalidTypeError, InvalidValueError, ModelFileError
from ort_rrelu.tensorflow.draws import NO_GLOBAL_SEED
from ort_rrelu.tensorflow.needed import needed_nodes

_SERVING = "serving_default"
_PACKAGES = {"keras", "tf_keras"}


@dataclass(frozen=True)
class Traced:
    """A tf.types.experimental.ConcreteFunction, and the names of its outputs in their order, where known.

    `owner` has its variables, which would be deleted with it.
    """

    function: Any
    outputs: tuple[str, ...] = ()
    owner: Any = None


def traced(model: Any, input_signature: Sequence[Any] | None) -> Traced:
    """The model, traced in the mode that it is called in.

    Raises InvalidTypeError, InvalidValueError or ModelFileError; and what the model itself raises.
    """
    _check_signature(input_signature)
    if isinstance(model, str | os.PathLike):
        model = _loaded(Path(model))
    if hasattr(model, "signatures"):  # what tf.saved_model.load gave
        return Traced(_concrete(_signature_of(model), input_signature), owner=model)
    if isinstance(model, tf.types.experimental.ConcreteFunction):
        return Traced(_concrete(model, input_signature))
    if _is_keras_model(model):
        return _keras_model(model, input_signature)
    if not callable(model) or inspect.isclass(model):
        raise InvalidTypeError(
            f"model_or_function={model!r}: it must be a Keras model (not its class), a function, or a "
            "SavedModel, loaded or as its path"
        )
    return _function(model, input_signature)


def _check_signature(input_signature: Sequence[Any] | None) -> None:
    if input_signature is None:
        return
    if not isinstance(input_signature, list | tuple):
        raise InvalidTypeError(
            f"input_signature={input_signature!r}: it must be a list with a tf.TensorSpec for each input"
        )
    for spec in tf.nest.flatten(list(input_signature)):
        if not isinstance(spec, tf.TensorSpec):
            raise InvalidTypeError(
                f"input_signature has {spec!r}: it must be a tf.TensorSpec, such as "
                'tf.TensorSpec([None, 8], tf.float32, name="x")'
            )
        _check_rank(spec)


def _check_rank(spec: Any) -> None:
    if spec.shape.rank is None:
        raise InvalidValueError(
            f"{spec}: its rank is not known, and tf2onnx would call it a scalar: give an input_signature "
            "with a shape such as [None, None]"
        )


def _loaded(path: Path) -> Any:
    if not path.exists():
        raise ModelFileError(f"there is no SavedModel {path}")
    if not tf.saved_model.contains_saved_model(path):
        raise InvalidValueError(
            f"{path} is not the folder of a SavedModel: load other files first, such as those of Keras with "
            "keras.saving.load_model, and export what that gives"
        )
    return tf.saved_model.load(os.fspath(path))


def _signature_of(loaded: Any) -> Any:
    """The signature that servers take, or the only one."""
    signatures = dict(loaded.signatures)
    if not signatures:
        raise InvalidValueError(
            "the SavedModel has no signatures: save it with signatures=, or load it with tf.saved_model.load "
            "and export one of its functions, with an input_signature"
        )
    if len(signatures) == 1:
        return next(iter(signatures.values()))
    if _SERVING not in signatures:
        raise InvalidValueError(
            f"the SavedModel has the signatures {', '.join(sorted(signatures))}, and none is {_SERVING}: "
            "load it with tf.saved_model.load, and export one of its signatures"
        )
    return signatures[_SERVING]


def _concrete(function: Any, input_signature: Sequence[Any] | None) -> Any:
    """With keywords as arguments in the order of their names, which tf2onnx expects."""
    if input_signature is not None:
        raise InvalidValueError(
            f"input_signature={input_signature}: a SavedModel and a traced function have their inputs "
            "already, so it must be None"
        )
    arguments = function.structured_input_signature
    specs = [each for each in tf.nest.flatten(arguments) if isinstance(each, tf.TensorSpec)]
    for spec in specs:
        _check_rank(spec)

    def call(*xs: Any) -> Any:
        given = iter(xs)
        positional, keywords = tf.nest.map_structure(
            lambda each: next(given) if isinstance(each, tf.TensorSpec) else each, arguments
        )
        return function(*positional, **keywords)

    return _with_outputs(tf.function(call).get_concrete_function(*specs))


def _is_keras_model(model: Any) -> bool:
    """Of whichever Keras: TensorFlow has had three packages of it."""
    kinds = type(model).__mro__
    return any(kind.__name__ == "Model" and kind.__module__.partition(".")[0] in _PACKAGES for kind in kinds)


def _keras_model(model: Any, input_signature: Sequence[Any] | None) -> Traced:
    import keras  # TensorFlow brings one along

    backend = keras.backend.backend()
    if backend != "tensorflow":
        remedy = (
            "export it with ort_rrelu.torch.export"
            if backend == "torch"
            else "start with another KERAS_BACKEND"
        )
        raise InvalidValueError(
            f"Keras runs on {backend} here, and tf2onnx takes models on tensorflow: {remedy}"
        )
    inputs = getattr(model, "inputs", None)
    if input_signature is None:
        if not inputs:
            raise InvalidValueError(
                "input_signature=None: the model does not know its inputs; give a list with a tf.TensorSpec "
                "for each of them"
            )
        input_signature = [_spec(tensor) for tensor in inputs]
    places = _places(model) if inputs else None
    if places is None:
        input_signature = _named(model.call, input_signature)
    else:
        _check_count(input_signature, [tensor.name for tensor in inputs or ()])
    names = _output_names(model)
    if {spec.name for spec in tf.nest.flatten(list(input_signature))} & set(names):
        names = ()  # an input that is also an output

    def call(*xs: Any) -> Any:
        result = model(*xs) if places is None else model(tf.nest.map_structure(lambda i: xs[i], places))
        flat = tf.nest.flatten(result)
        if isinstance(result, dict) or len(names) != len(flat):
            return result
        return dict(zip(names, flat, strict=True))  # tf2onnx takes names from dicts alone

    return Traced(_trace(call, input_signature), names)


def _check_count(input_signature: Sequence[Any], names: Sequence[str]) -> None:
    if len(input_signature) != len(names) or not all(isinstance(s, tf.TensorSpec) for s in input_signature):
        raise InvalidValueError(
            f"input_signature={input_signature}: it must have a tf.TensorSpec for each input of the model, "
            f"in this order: {', '.join(names)}"
        )


def _trace(call: Callable[..., Any], input_signature: Sequence[Any]) -> Any:
    """The trace of a function, whose draws have the seeds that are written in it alone.

    tf.random.set_seed, which trainings call, would give one to each draw.
    """
    _check_names(input_signature)
    texts: list[str] = []

    def unseeded(*xs: Any) -> Any:
        tf.compat.v1.set_random_seed(None)  # of the graph of this trace alone
        result = call(*xs)
        texts.extend(each for each in tf.nest.flatten(result) if isinstance(each, str))
        return result

    traced = tf.function(unseeded).get_concrete_function(*input_signature)
    if texts:
        raise InvalidTypeError(f"model_or_function returns the text {texts[0]!r}: it must return tensors")
    if traced.graph.seed is None:  # else the function sets one itself
        _refuse_older_seeds(traced)
    return _with_outputs(traced)


def _refuse_older_seeds(traced: Any) -> None:
    """A tf.function keeps its traces, in which tf.random.set_seed gave a seed to each draw."""
    for node in needed_nodes(traced):
        if "seed2" in node.attr and node.attr["seed"].i not in (0, NO_GLOBAL_SEED):
            raise InvalidValueError(
                f'TensorFlow op {node.op} "{node.name}" is in a tf.function that was traced before, with the '
                f"seed {node.attr['seed'].i} of tf.random.set_seed, and keeps it: make the tf.function anew, "
                "and export before it is called"
            )


def _with_outputs(traced: Any) -> Any:
    if not traced.outputs:
        raise InvalidTypeError("model_or_function returns no tensor: it must return one at least")
    outputs = traced.structured_outputs
    if isinstance(outputs, dict):
        _check_outputs(outputs, {tensor.op.name for tensor in traced.inputs})
    return traced


def _check_outputs(outputs: dict[Any, Any], inputs: set[str]) -> None:
    """The names that a dict gives to outputs."""
    for name, value in outputs.items():
        if not isinstance(name, str) or not name or not isinstance(value, tf.Tensor | tf.TensorSpec):
            raise InvalidTypeError(
                f"model_or_function returns a dict with {name!r}: {value!r}: it must have a tensor for each "
                "name, and the names are texts"
            )
        if name in inputs:
            raise InvalidValueError(
                f"an input and an output have the name {name!r}, which ONNX does not allow: rename one"
            )


def _check_names(input_signature: Sequence[Any]) -> None:
    names = [spec.name for spec in tf.nest.flatten(list(input_signature)) if spec.name is not None]
    for name in names:
        if names.count(name) > 1:
            raise InvalidValueError(f"input_signature has two inputs of the name {name!r}: rename one")


def _spec(tensor: Any) -> Any:
    """Of an input of a Keras model."""
    spec = tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name.partition(":")[0])
    _check_rank(spec)
    return spec


def _places(model: Any) -> Any:
    """How the model wants its inputs: one, a list, a dict; with the place of each among them."""
    try:
        structure = model.input
    except AttributeError:  # Keras 3, of a Sequential
        return 0
    places = {id(tensor): place for place, tensor in enumerate(model.inputs)}
    return tf.nest.map_structure(lambda tensor: places[id(tensor)], structure)


def _output_names(model: Any) -> tuple[str, ...]:
    """Empty where Keras gives none, or where two are equal."""
    names = tuple(getattr(model, "output_names", None) or ())
    if not names and type(model).__name__ == "Sequential":
        names = (model.layers[-1].name,)
    return names if len(set(names)) == len(names) else ()


def _function(function: Any, input_signature: Sequence[Any] | None) -> Traced:
    signature = getattr(function, "input_signature", None) if input_signature is None else input_signature
    if signature is None:
        raise InvalidValueError(
            "input_signature=None: a function does not tell its inputs; give a list with a tf.TensorSpec for "
            "each of them"
        )
    _check_signature(list(signature))
    named = _named(function, signature)
    if hasattr(function, "python_function"):
        function = tf.function(function.python_function)  # which has no older traces
    return Traced(_trace(function, named))


def _named(function: Any, input_signature: Sequence[Any]) -> list[Any]:
    """Inputs without a name get that of the argument, or their key in a dict.

    Raises InvalidValueError where the function does not take so many.
    """
    signature = inspect.signature(getattr(function, "python_function", function))
    try:
        signature.bind(*input_signature)
    except TypeError as error:
        raise InvalidValueError(
            f"input_signature has {len(input_signature)} items, and the function takes {signature}: {error}"
        ) from error
    parameters = signature.parameters.values()
    names = [each.name for each in parameters if each.kind != inspect.Parameter.VAR_POSITIONAL]
    return [
        _with_name(spec, name)
        for spec, name in itertools.zip_longest(input_signature, names[: len(input_signature)])
    ]


def _with_name(spec: Any, name: str | None) -> Any:
    """Also those in dicts, of an input that may be a structure."""
    if isinstance(spec, dict):
        return {key: _with_name(each, str(key)) for key, each in spec.items()}
    if isinstance(spec, tf.TensorSpec) and spec.name is None:
        return tf.TensorSpec(spec.shape, spec.dtype, name)
    return spec
