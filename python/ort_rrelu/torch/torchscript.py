"""rrelu for torch's older exporter, torch.onnx.export(dynamo=False)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch.onnx import errors, symbolic_helper
from torch.onnx._internal.torchscript_exporter import registration, utils

from ort_rrelu import schema
from ort_rrelu.node_attributes import NodeAttributes
from ort_rrelu.torch import ops  # noqa: F401  # defines torch.ops.ort_rrelu

__all__ = ["MODULE", "symbolics"]

_OPSET = 9  # the oldest that the exporter has
_NAMES = (
    "aten::rrelu",
    "aten::rrelu_with_noise",
    "aten::rrelu_with_noise_functional",
    "aten::copy",
    "ort_rrelu::rrelu",
)
MODULE = "ort_rrelu_module"  # attribute of a traced call


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
def symbolics(attributes: NodeAttributes) -> Iterator[None]:
    """Symbolics for rrelu in torch's registry, in the block, for one export; the registry is as before then.

    Raises:
        torch.onnx.errors.SymbolicValueError (from torch's export): bounds, mode or seed are not constant, or
            the noise that rrelu_with_noise writes in place is read.
    """
    utils._trigger_symbolic_function_registration()  # torch's own must not go into what we take away
    registered: dict[str, Any] = registration.registry._registry
    before = {name: registered[name] for name in _NAMES if name in registered}
    for name, symbolic in _symbolics(attributes).items():
        group = registration._SymbolicFunctionGroup(name)
        group.add_custom(symbolic, _OPSET)
        registered[name] = group
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
            _constant(lower, "f", "lower"),
            _constant(upper, "f", "upper"),
            _constant(mode, "b", "training"),
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
        return y, drawn if attributes.trains(_constant(mode, "b", "training")) else g.op("Identity", noise)

    def own(g: Any, x: Any, lower: Any, upper: Any, mode: Any, own_seed: Any, step: Any, **tags: int) -> Any:
        inputs = [x] if symbolic_helper._is_none(step) else [x, step]
        return emit(g, inputs, lower, upper, mode, 2, _optional_int(own_seed, "seed"), tags.get(MODULE))

    return dict(zip(_NAMES, (rrelu, with_noise, functional, _copy, own), strict=True))
