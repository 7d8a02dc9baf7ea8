"""torch's default exporter made to write RRelu nodes: the functions that take the place of torch's own."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import onnx
import onnx_ir as ir
import torch

from ort_rrelu.errors import Error, InvalidValueError
from ort_rrelu.exporting import check_portable_opset
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.graph.rows.numbers import LARGEST
from ort_rrelu.torch.export_settings import (
    Settings,
    bounds_as_numbers,
    current_settings,
    one_at_a_time,
    rrelu_modules,
)
from ort_rrelu.torch.translation import Modules, table

_Function = Callable[..., Any]

_OLDEST = 18  # what torch's own translations write


class _Running(Modules):
    """The model that is exported, and the module whose call is translated at the moment."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def enter(self, node: torch.fx.Node) -> None:
        """From here on `node` is translated."""
        self.current = self._module_of(node)

    def _module_of(self, node: torch.fx.Node) -> Hashable:
        """Something that is equal for all calls of one module, under whatever names; None where unknown."""
        stack = node.meta.get("nn_module_stack")
        if not stack:
            return None
        key, (path, _) = list(stack.items())[-1]
        if isinstance(self._model, torch.export.ExportedProgram):
            # Strict exports number modules; others have the names only, of which a module may have several.
            number: str = key.partition("@")[0]
            return number if number.isdigit() else None
        try:
            return id(self._model.get_submodule(path.partition("@")[0]))
        except AttributeError:
            return None


_running: ContextVar[_Running | None] = ContextVar("ort_rrelu_running_export", default=None)


def exporting(stock: _Function) -> _Function:
    """For exporter._compat.export_compat, which every call of torch.onnx.export reaches."""

    def export_compat(model: Any, args: Any, f: Any = None, **kw: Any) -> Any:
        settings = current_settings()
        with one_at_a_time:
            if settings is None:
                return stock(model, args, f, **kw)
            return _export(stock, settings, model, args, f, **kw)

    return export_compat


def dispatching(stock: _Function) -> _Function:
    """For exporter._dispatching.dispatch, which is asked for each node's translation."""

    def dispatch(node: torch.fx.Node, registry: Any) -> Any:
        running = _running.get()
        if running is not None:
            running.enter(node)
        return stock(node, registry)

    return dispatch


def converting(stock: _Function) -> _Function:
    """For onnxscript_apis.convert_version, which fails at models without standard operators."""

    def convert_version(model: ir.Model, target_version: int) -> ir.Model:
        if _running.get() is None or target_version >= _OLDEST or model.functions or _standard(model):
            converted: ir.Model = stock(model, target_version)
            return converted
        model.opset_imports[""] = target_version
        return model

    return convert_version


def refuse_verify(verify: bool) -> None:
    """Raise InvalidValueError where torch's own check of the exported model is wanted."""
    if verify:
        raise InvalidValueError(
            "verify=True: torch's check cannot load the library; "
            "run the model with ort_rrelu.InferenceSession instead"
        )


def _standard(model: ir.Model) -> bool:
    return any(not node.domain for node in model.graph.all_nodes())


def _export(
    stock: _Function,
    settings: Settings,
    model: Any,
    args: Any,
    f: Any,
    *,
    export_params: bool = True,
    keep_initializers_as_inputs: bool = False,
    external_data: bool = True,
    opset_version: int | None = None,
    custom_translation_table: dict[Any, Any] | None = None,
    verify: bool = False,
    **kw: Any,
) -> Any:
    refuse_verify(verify)
    running = _Running(model)
    ours = table(settings.attributes(), running)
    if settings.portable and (rrelu_modules(model) or _calls(model, ours)):
        check_portable_opset(opset_version)
    with bounds_as_numbers(model), _is_running(running), _own_errors():
        program = stock(
            model,
            args,
            None,
            opset_version=opset_version,
            custom_translation_table=ours | (custom_translation_table or {}),
            **kw,
        )
    if settings.take is not None:
        _make_as_saved(program, export_params, keep_initializers_as_inputs)
        settings.take(program.model_proto)
        return program
    _finish(program, settings, opset_version)
    if isinstance(f, io.BytesIO):  # as torch does: with weights, whatever the other arguments say
        warnings.warn(
            "Saving ONNX model to a BytesIO object is deprecated. Please use a file path instead.",
            DeprecationWarning,
            stacklevel=4,
        )
        onnx.save(program.model_proto, f)
    elif f is not None:
        program.save(
            f,
            include_initializers=export_params,
            keep_initializers_as_inputs=keep_initializers_as_inputs,
            external_data=external_data,
        )
    return program


def _calls(model: Any, translations: dict[Any, Any]) -> bool:
    """Does an exported program call one of these operators?"""
    if not isinstance(model, torch.export.ExportedProgram):
        return False
    graphs = (m.graph for m in model.graph_module.modules() if isinstance(m, torch.fx.GraphModule))
    return any(node.target in translations for graph in graphs for node in graph.nodes)


@contextmanager
def _is_running(running: _Running) -> Iterator[None]:
    token = _running.set(running)
    try:
        yield
    finally:
        _running.reset(token)


@contextmanager
def _own_errors() -> Iterator[None]:
    """An error of ours that torch's exporter wrapped leaves the block as it was raised."""
    try:
        yield
    except torch.onnx.errors.OnnxExporterError as error:
        own: BaseException | None = error
        while own is not None and not isinstance(own, Error):
            own = own.__cause__
        if own is not None:
            raise type(own)(*own.args) from error
        raise


def _make_as_saved(program: torch.onnx.ONNXProgram, weights: bool, inputs: bool) -> None:
    """Make the program what its `save` writes with these include_ and keep_initializers."""
    graph = program.model.graph
    if inputs:
        graph.inputs.extend(graph.initializers.values())
    if not weights:
        graph.initializers.clear()


def _finish(program: torch.onnx.ONNXProgram, settings: Settings, opset_version: int | None) -> None:
    """What was set, in the program; its weights are neither read nor copied."""
    weights = {value.name: value.const_value for value in program.model.graph.initializers.values()}
    with _without_weights(program.model):
        model = program.model_proto
    if not our_nodes(model):
        return
    finished = ir.from_proto(settings.finished(model, opset_version))
    for name, value in finished.graph.initializers.items():
        if name in weights:
            value.const_value = weights[name]
    finished.meta.update(program.model.meta)
    program.model = finished


_INTEGERS = {ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL}


def _is_kept(tensor: ir.TensorProtocol) -> bool:
    return tensor.dtype == ir.DataType.STRING or (tensor.dtype in _INTEGERS and tensor.size <= LARGEST)


@contextmanager
def _without_weights(model: ir.Model) -> Iterator[None]:
    """In the block the initializers are said to be in another file: they may be large, or not there yet.

    But for the few integers that shapes are made from, which a step for each row is proved with.
    """
    taken = [
        (value, value.const_value)
        for value in model.graph.initializers.values()
        if value.const_value is not None and not _is_kept(value.const_value)
    ]
    for value, tensor in taken:
        value.const_value = ir.ExternalTensor(
            "taken", None, None, tensor.dtype, shape=ir.Shape(tensor.shape.numpy()), name=value.name or ""
        )
    try:
        yield
    finally:
        for value, tensor in taken:
            value.const_value = tensor
