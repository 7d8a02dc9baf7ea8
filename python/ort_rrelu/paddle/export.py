"""export: a Paddle model with rrelu -> an ONNX model with RRelu nodes."""

from __future__ import annotations

import inspect
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import paddle
from paddle.jit import TranslatedLayer
from paddle.jit.dy2static.program_translator import StaticFunction
from paddle.jit.pir_translated_layer import PirTranslatedLayer

from ort_rrelu.arguments import StepInput, check_step_input, check_switch
from ort_rrelu.errors import InvalidTypeError, InvalidValueError, ModelFileError
from ort_rrelu.exporting import as_opset_version, finished
from ort_rrelu.files import check_target
from ort_rrelu.graph.file import write_model
from ort_rrelu.node_attributes import NodeAttributes
from ort_rrelu.paddle.conversion import convert, translate
from ort_rrelu.paddle.document import check_weights, count_weights, mark, read_document
from ort_rrelu.paddle.restore import restore, tidy
from ort_rrelu.paddle.saving import (
    as_input_spec,
    refuse_old_program,
    save_function,
    save_program,
    save_translated,
)

# The oldest of a portable model.
_OPSET_VERSION = 18
_OPSET_VERSIONS = range(7, 22)  # Paddle2ONNX's
_OPTIONS = frozenset(
    {
        "auto_upgrade_opset",
        "dist_prim_all",
        "enable_experimental_op",
        "enable_onnx_checker",
        "enable_optimize",
        "verbose",
    }
)

_log = logging.getLogger(__name__)

_SAVED, _MARKED = "saved", "marked"
_PROGRAM, _OLD_PROGRAM, _WEIGHTS = ".json", ".pdmodel", ".pdiparams"


def export(
    layer_or_path: Any,
    f: str | os.PathLike[str] | None = None,
    input_spec: Sequence[Any] | None = None,
    *,
    feed_vars: Sequence[Any] | None = None,
    fetch_vars: Sequence[Any] | None = None,
    seed: int | None = None,
    training: bool | None = None,
    step_input: StepInput = False,
    portable: bool = True,
    opset_version: int | None = None,
    external_data: bool | None = None,
    **kw: Any,
) -> onnx.ModelProto:
    """Export a Paddle model; every rrelu (layers, functions, ort_rrelu.paddle.RReLU) becomes an RRelu node.

    Paddle2ONNX converts the rest, in its own process (docs/paddle.md says how to install it). BatchNorm and
    Dropout are exported in eval form, as Paddle saves them, whatever the mode of the rrelus. A layer's
    forward hooks are part of the model, and so are weight_norm and spectral_norm.

    Args:
        layer_or_path: a paddle.nn.Layer, or a paddle.DataParallel of one; a function, decorated with
            paddle.jit.to_static or not; a paddle.static.Program, with feed_vars and fetch_vars; what
            paddle.jit.load gave; or the path of a saved model, as for paddle.jit.load or with its ending
            .json or .pdmodel.
        f: where the model goes, written all or nothing; None only returns it.
        input_spec: a list with an item for each argument of a layer or function, as for paddle.jit.save; None
            where one was given to to_static. A paddle.static.InputSpec is an input. So is an example tensor
            or NumPy array, of exactly its shape and dtype; a tensor gives its name too. Inputs without a name
            get the argument's. Lists, tuples and dicts of these are taken. None, numbers, strings, enum
            members, dtypes, classes and functions are passed on, and are constants in the model.
        feed_vars, fetch_vars: of a Program, as for paddle.static.save_inference_model.
        seed: 0 .. 2^63 - 1 seeds train node i with ort_rrelu.reference.derive_seed(seed, i), the same slopes
            in every session; None: fresh entropy for each session. A layer's own seed goes first.
        training: None keeps each rrelu's own mode; True or False sets all of them. A saved model has lost its
            modes: None is eval there, and the log says so.
        step_input: add one int64 graph input `step`, the number of the draw, wired to every train node: True
            for a scalar; "rows" for one step for each row, as graph.add_step_input(rows=True) proves it.
        portable: embed the functions with which the model also runs where the library is not registered
            (`ort_rrelu.graph.portable`), in opset 18 or newer.
        opset_version: of the standard operators, 7 .. 21; None is 18.
        external_data: True writes the weights (but small ones) to f + ".data", None only those too large for
            one file.
        **kw: options of paddle2onnx.export, but optimize_tool.

    Returns:
        The model, with its weights.

    Raises:
        InvalidValueError (a ValueError): an argument is not allowed, two inputs have one name, Paddle cannot
            trace the model with this input_spec, an rrelu's Noise output is read, or an elu has one of the
            alphas -4000001, -4000002, ..., of which the exporter uses one for each rrelu.
        InvalidTypeError (a TypeError): an argument has another type, layer_or_path among them.
        ModelFileError (a FileNotFoundError): a saved model, or its weights, are not there.
        ConversionError (a RuntimeError): Paddle2ONNX cannot convert an operator, which is named.
        MissingPackageError (an ImportError): Paddle2ONNX is not installed, or the Python that
            ORT_RRELU_PADDLE2ONNX_PYTHON names cannot import it.
        OSError: f cannot be written.
    """
    _check_path(f)
    if f is not None:
        check_target(f)
    input_spec = as_input_spec(input_spec)
    _check_options(kw)
    check_step_input(step_input)
    check_switch("portable", portable)
    attributes = NodeAttributes(seed, training)
    opset = as_opset_version(opset_version, _OPSET_VERSION, _OPSET_VERSIONS)
    with tempfile.TemporaryDirectory(prefix="ort_rrelu_paddle_") as name:
        folder = Path(name)
        source = _saved(layer_or_path, folder, input_spec, feed_vars, fetch_vars)
        document = read_document(Path(f"{source}{_PROGRAM}"))
        marks = mark(document)
        (folder / f"{_MARKED}{_PROGRAM}").write_text(json.dumps(document), "utf-8")
        if (count := count_weights(document)) > 0:
            check_weights(Path(f"{source}{_WEIGHTS}"), count)
            shutil.copyfile(f"{source}{_WEIGHTS}", folder / f"{_MARKED}{_WEIGHTS}")
        converted = convert(_MARKED, folder, opset, kw)
    if training is None and any(each.tags.training is None for each in marks.values()):
        _log.warning(
            "%s: a saved model has lost the modes of its rrelus; they are exported in eval mode "
            "(training=True or False sets it, and this message is not given)",
            layer_or_path if isinstance(layer_or_path, str | os.PathLike) else type(layer_or_path).__name__,
        )
    model = onnx.load_model_from_string(converted)
    restore(model, marks, attributes)
    model = tidy(model)
    model = finished(model, step_input=step_input, portable=portable, opset_version=opset_version)
    if f is not None:
        write_model(model, f, external_data=external_data)
    return model


def _saved(
    model: Any,
    folder: Path,
    input_spec: Sequence[Any] | None,
    feed_vars: Sequence[Any] | None,
    fetch_vars: Sequence[Any] | None,
) -> Path:
    """A saved model, without the ending of its files, which lie in `folder` where they are of our making."""
    is_program = isinstance(model, paddle.static.Program | paddle.base.framework.Program)
    if (feed_vars is not None) != is_program or (fetch_vars is not None) != is_program:
        raise InvalidValueError("feed_vars and fetch_vars: a Program needs both, anything else takes neither")
    target = folder / _SAVED
    if isinstance(model, str | os.PathLike):
        _refuse_input_spec(input_spec, "a saved model")
        return _on_disk(Path(model), folder)
    if is_program:
        _refuse_input_spec(input_spec, "a Program")
        refuse_old_program(model)
        assert feed_vars is not None and fetch_vars is not None
        _check_variables(model, feed_vars=feed_vars, fetch_vars=fetch_vars)
        save_program(model, str(target), feed_vars, fetch_vars)
    elif isinstance(model, TranslatedLayer | PirTranslatedLayer):
        _refuse_input_spec(input_spec, "what paddle.jit.load gave")
        save_translated(model, str(target))
    elif isinstance(model, paddle.nn.Layer | StaticFunction) or inspect.isroutine(model):
        save_function(model, str(target), input_spec)
    else:
        raise InvalidTypeError(
            f"layer_or_path={model!r}: it must be a paddle.nn.Layer (not its class), a function, a "
            "paddle.static.Program, what paddle.jit.load gave, or the path of a saved model"
        )
    return target


def _refuse_input_spec(input_spec: Sequence[Any] | None, what: str) -> None:
    if input_spec is not None:
        raise InvalidValueError(f"input_spec={input_spec}: {what} has its inputs already, so it must be None")


def _on_disk(path: Path, folder: Path) -> Path:
    # Not with_suffix, which would take "net.v2" for "net".
    stem = Path(str(path).removesuffix(_PROGRAM).removesuffix(_OLD_PROGRAM))
    program, old = Path(f"{stem}{_PROGRAM}"), Path(f"{stem}{_OLD_PROGRAM}")
    wanted = [path] if path.suffix in {_PROGRAM, _OLD_PROGRAM} else [program, old]
    found = next((file for file in wanted if file.is_file()), None)
    if found is None:
        raise ModelFileError(f"there is no model file {' or '.join(map(str, wanted))}")
    if found == program:
        return stem
    translate(stem, _SAVED, folder)
    return folder / _SAVED


def _check_path(f: Any) -> None:
    """Raise InvalidTypeError unless `f` is a path, or None."""
    if f is not None and not isinstance(os.fspath(f) if isinstance(f, os.PathLike) else f, str):
        raise InvalidTypeError(f"f={f!r}: it must be the path of a file, as a str or a pathlib.Path, or None")


def _check_options(options: Mapping[str, Any]) -> None:
    """Raise InvalidValueError or InvalidTypeError unless they are options of paddle2onnx.export."""
    if unknown := options.keys() - _OPTIONS:
        raise InvalidValueError(
            f"{', '.join(sorted(unknown))}: not an option; allowed are {', '.join(sorted(_OPTIONS))}"
        )
    for name, value in options.items():
        check_switch(name, value)


def _check_variables(program: Any, **variables: Sequence[Any]) -> None:
    """Raise InvalidTypeError or InvalidValueError unless each is a list of variables of the program."""
    own = [result for op in program.global_block().ops for result in op.results()]
    for name, values in variables.items():
        # Iterating over a variable instead would not end.
        if not isinstance(values, list | tuple):
            raise InvalidTypeError(f"{name} is a {type(values).__name__}: it must be a list of variables")
        for i, value in enumerate(values):
            if not isinstance(value, paddle.pir.Value):
                raise InvalidTypeError(f"{name}[{i}]={value!r}: it must be a variable of the program")
            # Only is_same: any other question to a variable whose program is gone ends the process.
            if not any(map(value.is_same, own)):
                raise InvalidValueError(
                    f"{name}[{i}] is a variable of another program, or of a body in it: it must be one of "
                    "the outermost level of the program that is exported"
                )
