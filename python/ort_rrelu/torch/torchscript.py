"""rrelu for torch's older exporter, torch.onnx.export(dynamo=False)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.onnx import errors, symbolic_helper

from ort_rrelu import schema
from ort_rrelu.node_attributes import NodeAttributes
from ort_rrelu.torch import ops  # noqa: F401  # defines torch.ops.ort_rrelu

__all__ = ["torchscript_symbolics"]

# The opset of the built-in symbolic: a registration at a lower one is silently ignored.
_OPSET = 9


def _constant(value: Any, kind: str, name: str) -> Any:
    return symbolic_helper._get_const(value, kind, name)  # type: ignore[no-untyped-call]


def _optional_int(value: Any, name: str) -> int | None:
    if symbolic_helper._is_none(value):
        return None
    number: int = _constant(value, "i", name)
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


@contextlib.contextmanager
def torchscript_symbolics(seed: int | None = None, *, training: bool | None = None) -> Iterator[None]:
    """Symbolics for torch.onnx.export(..., dynamo=False) inside a `with` block; one export for each block.

    Args:
        seed, training: as in `translation_table`.

    Raises:
        torch.onnx.errors.SymbolicValueError (from torch's export): bounds, mode or seed are not constant, or
            the noise that rrelu_with_noise writes in place is read.
    """
    attributes = NodeAttributes(seed, training)

    def emit(
        g: Any,
        inputs: list[Any],
        lower: Any,
        upper: Any,
        mode: Any,
        outputs: int,
        own_seed: int | None = None,
    ) -> Any:
        values = attributes(
            _constant(lower, "f", "lower"),
            _constant(upper, "f", "upper"),
            _constant(mode, "b", "training"),
            own_seed,
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
        return y, drawn if attributes.trains(_constant(mode, "b", "training")) else g.op("Identity", noise)

    def own(g: Any, x: Any, lower: Any, upper: Any, mode: Any, own_seed: Any, step: Any) -> Any:
        inputs = [x] if symbolic_helper._is_none(step) else [x, step]
        return emit(g, inputs, lower, upper, mode, 2, _optional_int(own_seed, "seed"))

    symbolics: dict[str, Callable[..., Any]] = {
        "aten::rrelu": rrelu,
        "aten::rrelu_with_noise": with_noise,
        "aten::rrelu_with_noise_functional": functional,
        "aten::copy": _copy,
        "ort_rrelu::rrelu": own,
    }
    for name, symbolic in symbolics.items():
        torch.onnx.register_custom_op_symbolic(name, symbolic, _OPSET)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name in symbolics:
            torch.onnx.unregister_custom_op_symbolic(name, _OPSET)  # type: ignore[attr-defined]
