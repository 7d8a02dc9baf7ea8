"""generate_artifacts: what onnxruntime-training 1.19.2, its last release, trains from; with RRelu nodes."""

from __future__ import annotations

import importlib
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import onnx

from ort_rrelu import graph, installation, schema
from ort_rrelu.errors import ConversionError, InvalidTypeError, InvalidValueError, MissingPackageError
from ort_rrelu.graph.file import read_model
from ort_rrelu.graph.nodes import label
from ort_rrelu.graph.recognition import with_our_names
from ort_rrelu.training.preparation import (
    NEWEST_IR_VERSION,
    check_gradients,
    check_loss_inputs,
    check_parameters,
    prepared,
)

# onnxruntime-training's building blocks delete a file of this name in the working folder.
_DELETED = "temp.onnx"


def generate_artifacts(
    model: onnx.ModelProto | str | os.PathLike[str],
    requires_grad: Iterable[str] | None = None,
    frozen_params: Iterable[str] | None = None,
    loss: Any = None,
    optimizer: Any = None,
    artifact_directory: str | os.PathLike[str] | None = None,
    prefix: str = "",
    *,
    additional_output_names: Iterable[str] | None = None,
    nominal_checkpoint: bool = False,
    loss_input_names: Iterable[str] | None = None,
) -> None:
    """onnxruntime.training.artifacts.generate_artifacts for a model with RRelu nodes.

    Writes training_model.onnx, eval_model.onnx, checkpoint and, with an optimizer, optimizer_model.onnx, from
    which onnxruntime.training.api trains: CheckpointState, Optimizer, and Module with
    session_options=ort_rrelu.register(). RRelu nodes keep their modes, bounds and seeds in the training
    model. In the eval model they have the mean slope, in standard operators, so that
    Module.export_model_for_inferencing works. If only they read `step`, it is an input of the training model
    alone.

    With seeds and a `step` input (export(seed=..., step_input=True)) a training that is stopped, saved with
    its optimizer state, and resumed gives the bits of one that was not stopped. Without `step` a node counts
    the runs of its session, so a resumed training draws its first slopes again.

    Args:
        model: a model in train mode, which is not changed, or a file; weights in other files are read.
            Functions are inlined, those of RRelu and RReluGrad are left out.
        requires_grad: the names of the weights to train, in float.
        frozen_params: the names of weights that are in the checkpoint too, and not trained.
        loss: an onnxruntime.training.artifacts.LossType or an onnxblock.Block; None: the model's first
            output is the loss.
        optimizer: an onnxruntime.training.artifacts.OptimType or an onnxblock.Block; None: no optimizer
            model.
        artifact_directory: where the files are put, together, when all of them are made; it is made if need
            be. None: the working folder.
        prefix: what the files' names begin with.
        additional_output_names: values that training and eval model give after the loss.
        nominal_checkpoint: write nominal_checkpoint, too.
        loss_input_names: values that the loss gets; None: all outputs of the model.

    Raises:
        MissingPackageError: onnxruntime-training, or torch, which it imports, is not installed.
        ModelFileError, InvalidValueError, InvalidTypeError: not a model, an argument that does not fit it, or
            a node whose gradient onnxruntime-training gets wrong; the message names node or argument.
        ConversionError: onnxruntime-training cannot build the gradient, as of an operator that has none.
        OSError: as the file system does.
    """
    upstream = training_module("artifacts")
    base = prepared(_loaded(model))
    trained, frozen = _names("requires_grad", requires_grad), _names("frozen_params", frozen_params)
    outputs = _names("additional_output_names", additional_output_names)
    loss_inputs = _names("loss_input_names", loss_input_names)
    check_parameters(base, trained, frozen)
    check_gradients(base, trained)
    _check_values(base, {"additional_output_names": outputs, "loss_input_names": loss_inputs})
    if loss is None or isinstance(loss, upstream.LossType):
        losses = loss_inputs or [output.name for output in base.graph.output]
        check_loss_inputs(base, losses, is_loss=loss is None)
    folder = _checked_folder(artifact_directory, prefix)
    _register_gradient()
    with tempfile.TemporaryDirectory(
        prefix=".training_artifacts.", dir=folder if folder.is_dir() else folder.parent
    ) as made:
        try:
            upstream.generate_artifacts(
                base,
                requires_grad=trained,
                frozen_params=frozen,
                loss=loss,
                optimizer=optimizer,
                artifact_directory=made,
                prefix=prefix,
                custom_op_library=installation.get_library_path(),
                additional_output_names=outputs,
                nominal_checkpoint=nominal_checkpoint,
                loss_input_names=loss_inputs,
            )
        except Exception as error:  # of many types, from onnx, Python and C++
            raise _explained(error, base) from error
        _finish(Path(made), prefix)
        folder.mkdir(exist_ok=True)
        for file in sorted(Path(made).iterdir()):
            file.replace(folder / file.name)


def _loaded(model: onnx.ModelProto | str | os.PathLike[str]) -> onnx.ModelProto:
    if isinstance(model, onnx.ModelProto):
        return with_our_names(model)
    if not isinstance(model, str | os.PathLike):
        raise InvalidTypeError(
            f"model is of type {type(model).__name__}: it must be an onnx.ModelProto or a path"
        )
    return read_model(model, external_data=True)


def _names(argument: str, names: Iterable[str] | None) -> list[str]:
    if names is None:
        return []
    listed = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else [None]
    if not all(isinstance(name, str) for name in listed):
        raise InvalidTypeError(f"{argument}={names!r}: it must be a sequence of names")
    return cast(list[str], listed)


def _check_values(model: onnx.ModelProto, arguments: dict[str, list[str]]) -> None:
    graph = model.graph
    known = {value.name for value in (*graph.input, *graph.initializer, *graph.value_info, *graph.output)}
    for argument, names in arguments.items():
        for name in names:
            if name not in known:
                written = ", ".join(repr(output.name) for output in graph.output)
                raise InvalidValueError(
                    f"{argument}: the model has no value {name!r}; its outputs are {written}"
                )


def _checked_folder(artifact_directory: str | os.PathLike[str] | None, prefix: str) -> Path:
    if not isinstance(prefix, str) or Path(f"{prefix}x").name != f"{prefix}x":
        raise InvalidValueError(f"prefix={prefix!r}: it must be a string without a folder")
    folder = Path.cwd() if artifact_directory is None else Path(os.fspath(artifact_directory)).resolve()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"artifact_directory={folder} is not a folder")
    if not folder.parent.is_dir():
        raise FileNotFoundError(
            f"artifact_directory={folder}: there is no folder {folder.parent} to make it in"
        )
    if (endangered := Path(_DELETED)).exists():
        raise InvalidValueError(
            f"{endangered.resolve()} would be deleted: onnxruntime-training 1.19.2 deletes {_DELETED} in the "
            "working folder; rename it or work in another folder"
        )
    return folder


def _finish(folder: Path, prefix: str) -> None:
    path = folder / f"{prefix}eval_model.onnx"
    onnx.save(_deterministic(onnx.load(path)), path)
    for path in folder.glob("*.onnx"):
        model = onnx.load(path)
        if model.ir_version > NEWEST_IR_VERSION:  # the installed onnx's, in the optimizer model
            model.ir_version = NEWEST_IR_VERSION
            onnx.save(model, path)


def _deterministic(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every RRelu node has the mean slope, in standard operators.

    onnxruntime-training knows only Dropout and BatchNormalization to have an eval mode, and its
    export_model_for_inferencing reads no model with custom ops.
    """
    return graph.lower(graph.set_training(model, False))


def _explained(error: Exception, model: onnx.ModelProto) -> Exception:
    text = str(error)
    if found := re.search(r"The gradient builder has not been registered: ?(\S+) for node (.*)", text):
        operator, name = found[1], found[2].strip()
        node = next((n for n in model.graph.node if (n.op_type, n.name) == (operator, name)), None)
        return ConversionError(
            f"{operator if node is None else label(node).removeprefix(':')}: it lies between a trained "
            f"parameter and the loss, and onnxruntime-training 1.19.2 has no gradient for {operator}"
        )
    return ConversionError(f"onnxruntime-training could not make the artifacts: {text}")


_ADVICE = (
    "pip install onnxruntime-training-cpu==1.19.2, its last release, which needs Python 3.11 and an "
    "environment of its own: it takes the place of onnxruntime"
)


def training_module(name: str) -> Any:
    """The module onnxruntime.training.NAME.

    Raises MissingPackageError when onnxruntime-training, or torch, which it imports, is not installed.
    """
    _bindings()
    try:
        return importlib.import_module(f"onnxruntime.training.{name}")
    except ImportError as error:
        advice = "any version will do" if error.name == "torch" else _ADVICE
        raise MissingPackageError(
            f"onnxruntime-training imports {error.name}, which is not installed: {advice}"
        ) from error


def _bindings() -> Any:
    """ONNX Runtime's C++ side."""
    try:
        bindings = importlib.import_module("onnxruntime.capi._pybind_state")
    except ImportError as error:
        raise MissingPackageError(f"onnxruntime-training-cpu is not installed: {_ADVICE}") from error
    if not hasattr(bindings, "register_gradient_definition"):
        version = importlib.import_module("onnxruntime").__version__
        raise MissingPackageError(
            f"the onnxruntime {version} that is installed is not the one of onnxruntime-training: {_ADVICE}"
        )
    return bindings


def _register_gradient() -> None:
    """Tell ONNX Runtime, for this process, that RReluGrad of dY and the noise is the gradient of RRelu.

    Building a gradient graph asks for it; running one does not. Registering it again changes nothing.
    """
    bindings = _bindings()
    gradient = bindings.GradientNodeDefinition()
    gradient.domain, gradient.op_type = schema.DOMAIN, schema.RRELU_GRAD
    # GO(0): the gradient of output 0; O(1): output 1, the noise; GI(0): the gradient of input 0.
    gradient.inputs, gradient.outputs, gradient.attributes = ["GO(0)", "O(1)"], ["GI(0)"], []
    bindings.register_gradient_definition(f"{schema.DOMAIN}::{schema.RRELU}", [gradient])
