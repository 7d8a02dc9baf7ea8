"""rrelu for torch's TorchScript exporter, torch.onnx.export(dynamo=False).

Its symbolics write the nodes. Two things that the trace does not tell are watched while the model runs: calls
in place that the exporter drops without a word, and the module that each call comes from.
"""

from __future__ import annotations

import functools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import onnx
import torch
from torch import Tensor
from torch.nn import functional
from torch.onnx import errors

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.exporting import check_portable_opset
from ort_rrelu.graph.check import may_train
from ort_rrelu.graph.file import read_model, write_model
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.node_attributes import NodeAttributes
from ort_rrelu.torch import ops, private  # noqa: F401  # ops defines torch.ops.ort_rrelu
from ort_rrelu.torch.export_settings import (
    Settings,
    bounds_as_numbers,
    current_settings,
    one_at_a_time,
    rrelu_modules,
)
from ort_rrelu.torch.module import RReLU
from ort_rrelu.torch.private import constant, is_none


def exporting(stock: Callable[..., Any]) -> Callable[..., Any]:
    """For torchscript_exporter.utils._export, which every export reaches."""

    def _export(model: Any, args: Any, f: Any, *rest: Any, **kw: Any) -> Any:
        settings = current_settings()
        with one_at_a_time:
            if settings is None:
                return stock(model, args, f, *rest, **kw)
            if settings.portable and rrelu_modules(model):
                check_portable_opset(kw.get("opset_version"))
            outputs, exported = _exported(stock, settings, model, args, *rest, **kw)
        _tell_of_eval_mode(settings, model, exported)
        if settings.take is not None:
            settings.take(exported)
        else:
            _write(settings.finished(exported, kw.get("opset_version")), f)
        return outputs

    return _export


def _exported(
    stock: Callable[..., Any], settings: Settings, model: Any, args: Any, *rest: Any, **kw: Any
) -> tuple[Any, onnx.ModelProto]:
    """What torch's function returns, and the model that it wrote."""
    with (
        tempfile.TemporaryDirectory() as folder,
        bounds_as_numbers(model),
        _own_symbolics(settings.attributes()),
        _counted_calls() as calls,
        _tagged_calls(),
    ):
        path = os.fspath(Path(folder) / "model.onnx")  # a Path would be taken for a file in memory
        outputs = stock(model, args, path, *rest, **kw)
        exported = read_model(path, external_data=True)
    calls.check(len(our_nodes(exported)))
    return outputs, exported


def _tell_of_eval_mode(settings: Settings, model: Any, exported: onnx.ModelProto) -> None:
    """Warn where torch has set a model in train mode to eval mode, which is its default."""
    asked = settings.seed is not None or settings.step_input
    nodes = our_nodes(exported)
    if asked and nodes and getattr(model, "training", False) and not any(map(may_train, nodes)):
        warnings.warn(
            "seed and step_input have no effect: torch.onnx.export(dynamo=False) exports in eval mode unless "
            "it gets training=TrainingMode.PRESERVE; patch_onnx_export(training=True) is for rrelu alone",
            stacklevel=3,
        )


def _write(model: onnx.ModelProto, f: Any) -> None:
    """To what torch takes: a path, or something that is open for writing bytes."""
    if isinstance(f, str | os.PathLike):
        write_model(model, f)
        return
    with private.open_for_writing(f) as opened:
        opened.write(model.SerializeToString())


_OPSET = 9  # the oldest that the exporter has
_NAMES = (
    "aten::rrelu",
    "aten::rrelu_with_noise",
    "aten::rrelu_with_noise_functional",
    "aten::copy",
    "ort_rrelu::rrelu",
)
_MODULE = "ort_rrelu_module"  # attribute of a traced call


def _optional_int(value: Any, name: str) -> int | None:
    if is_none(value):
        return None
    number: int = constant(value, "i", name)
    return number


def _refuse_consumed_noise(g: Any, noise: Any) -> None:
    """aten::rrelu_with_noise writes its argument, which a graph of values cannot express."""
    if len(list(g.original_node.inputs())[1].uses()) > 1:
        raise errors.SymbolicValueError(
            "rrelu_with_noise writes `noise` in place, which the TorchScript exporter cannot express: "
            "use rrelu_with_noise_functional, or dynamo=True",
            noise,
        )


def _copy(g: Any, x: Any, source: Any, non_blocking: Any = None) -> Any:
    """x.copy_(source) where x is an input of the model, for which torch's exporter has no symbolic.

    Modules that work in place, RReLU among them, end with such a call.
    """
    if source.type().scalarType() != x.type().scalarType():
        source = g.op("CastLike", source, x)
    return g.op("Expand", source, g.op("Shape", x)).setType(x.type())


@contextmanager
def _own_symbolics(attributes: NodeAttributes) -> Iterator[None]:
    """Symbolics for rrelu in torch's registry, in the block, for one export; the registry is as before then.

    Raises:
        torch.onnx.errors.SymbolicValueError (from torch's export): bounds, mode or seed are not constant, or
            the noise that rrelu_with_noise writes in place is read.
    """
    registered = private.symbolic_registry()
    before = {name: registered[name] for name in _NAMES if name in registered}
    for name, symbolic in _symbolics(attributes).items():
        registered[name] = private.symbolic_group(name, symbolic, _OPSET)
    try:
        yield
    finally:
        for name in _NAMES:
            if name in before:
                registered[name] = before[name]
            else:
                del registered[name]


def _symbolics(attributes: NodeAttributes) -> dict[str, Callable[..., Any]]:
    def emit(
        g: Any,
        inputs: list[Any],
        lower: Any,
        upper: Any,
        mode: Any,
        outputs: int,
        own_seed: int | None = None,
        module: int | None = None,
    ) -> Any:
        values = attributes(
            constant(lower, "f", "lower"),
            constant(upper, "f", "upper"),
            constant(mode, "b", "training"),
            own_seed,
            module,
        )
        suffixed = {f"{k}_{'f' if isinstance(v, float) else 'i'}": v for k, v in values.items()}
        made = g.op(f"{schema.DOMAIN}::{schema.RRELU}", *inputs, outputs=outputs, **suffixed)
        for value in made if outputs > 1 else (made,):
            value.setType(inputs[0].type())
        return made

    def rrelu(g: Any, x: Any, lower: Any, upper: Any, mode: Any, generator: Any = None) -> Any:
        return emit(g, [x], lower, upper, mode, 1)

    def with_noise(
        g: Any, x: Any, noise: Any, lower: Any, upper: Any, mode: Any, generator: Any = None
    ) -> Any:
        _refuse_consumed_noise(g, noise)
        return emit(g, [x], lower, upper, mode, 1)

    def functional(
        g: Any, x: Any, noise: Any, lower: Any, upper: Any, mode: Any, generator: Any = None
    ) -> Any:
        y, drawn = emit(g, [x], lower, upper, mode, 2)
        # torch leaves its noise argument alone in eval mode.
        return y, drawn if attributes.trains(constant(mode, "b", "training")) else g.op("Identity", noise)

    def own(g: Any, x: Any, lower: Any, upper: Any, mode: Any, own_seed: Any, step: Any, **tags: int) -> Any:
        inputs = [x] if is_none(step) else [x, step]
        return emit(g, inputs, lower, upper, mode, 2, _optional_int(own_seed, "seed"), tags.get(_MODULE))

    return dict(zip(_NAMES, (rrelu, with_noise, functional, _copy, own), strict=True))


@dataclass
class _Calls:
    """What a model called while it was traced."""

    calls: int = 0
    writes_into_views: int = 0

    def check(self, nodes: int) -> None:
        """Raise InvalidValueError when nodes are missing and a call wrote into a view."""
        if nodes < self.calls and self.writes_into_views:
            raise InvalidValueError(
                f"dynamo=False: torch's TorchScript exporter wrote {nodes} nodes for {self.calls} calls of "
                "rrelu, because it drops calls in place on a view (chunk, view, t()): use dynamo=True, or "
                "the form that is not in place"
            )


@contextmanager
def _counted_calls() -> Iterator[_Calls]:
    """Count in a block. Functions are replaced, not intercepted: a torch function mode changes the trace."""
    seen = _Calls()

    def note(x: Tensor, in_place: bool) -> None:
        seen.calls += 1
        seen.writes_into_views += in_place and private.is_view(x)

    def counting(function: Callable[..., Any], in_place: bool) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(x: Tensor, *args: Any, **kw: Any) -> Any:
            note(x, in_place)
            return function(x, *args, **kw)

        return counted

    forward = RReLU.forward

    def counted_forward(self: RReLU, x: Tensor, *args: Any, **kw: Any) -> Tensor:
        note(x, self.inplace)
        return forward(self, x, *args, **kw)

    in_place = counting(torch.rrelu_, True)
    with ExitStack() as patches:
        for home, name, function in (
            (torch, "rrelu", counting(torch.rrelu, False)),  # torch.nn.functional.rrelu calls it, too
            (torch, "rrelu_", in_place),
            (functional, "rrelu_", in_place),
            (RReLU, "forward", counted_forward),
        ):
            patches.enter_context(mock.patch.object(home, name, function))
        yield seen


_OP, _WRITE = "ort_rrelu::rrelu", "aten::copy_"


@contextmanager
def _tagged_calls() -> Iterator[None]:
    """In the block a traced call carries the number of its module, which scopes and names do not tell.

    A module is in the scope that called it, and may have several names.
    """
    numbers: dict[int, int] = {}
    forward = RReLU.forward

    def tagging(self: RReLU, x: Tensor, *args: Any, **kw: Any) -> Tensor:
        y = forward(self, x, *args, **kw)
        if self.seed is not None and torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            _tag(y, numbers.setdefault(id(self), len(numbers)))
        return y

    with mock.patch.object(RReLU, "forward", tagging):
        yield


def _tag(y: Tensor, number: int) -> None:
    node = private.traced_node(y)
    if node.kind() == _WRITE:
        node = list(node.inputs())[1].node()
    if node.kind() == _OP:
        node.i_(_MODULE, number)
