"""translation_table: what torch's default exporter, torch.onnx.export(dynamo=True), writes for rrelu."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import onnxscript
import torch

from ort_rrelu import schema
from ort_rrelu.node_attributes import NodeAttributes
from ort_rrelu.torch import ops  # noqa: F401  # defines torch.ops.ort_rrelu

_OPSET = onnxscript.values.Opset(schema.DOMAIN, schema.VERSION)
_RRELU, _RRELU_GRAD = (
    onnxscript.values.Op(_OPSET, name, schema.schemas()[name]) for name in (schema.RRELU, schema.RRELU_GRAD)
)

Table = dict[Callable[..., Any], Callable[..., Any]]


class Modules:
    """Tells which module the call that is being translated comes from; None where nobody knows."""

    current: Hashable = None


def _y_and_noise(*inputs: Any, **attributes: Any) -> Any:
    """Without the reserve, of which torch knows nothing: what nobody reads is dropped after the export."""
    return tuple(_RRELU(*inputs, **attributes))[:2]


def translation_table(seed: int | None = None, *, training: bool | None = None) -> Table:
    """Translations for torch.onnx.export(..., dynamo=True, custom_translation_table=translation_table()).

    Make a new one for every export: it numbers the train nodes that it has written. `ort_rrelu.torch.export`
    and `patch_onnx_export` do so, and add what a table cannot: step_input, portable, atomic writing. A table
    does not know modules either: all nodes of one seed count as places of one module.

    Args:
        seed: 0 .. 2^63 - 1, train node i gets ort_rrelu.reference.derive_seed(seed, i); None, fresh entropy
            for each session.
        training: None keeps each rrelu's own mode; True or False sets all of them.

    Returns:
        torch overload -> function that writes nodes; covers aten.rrelu, its functional and backward forms
        (which joint forward and backward graphs hold), and the ops of ort_rrelu.torch.RReLU.
    """
    return table(NodeAttributes(seed, training), Modules())


def table(attributes: NodeAttributes, modules: Modules) -> Table:
    """translation_table for nodes with these attributes."""

    def rrelu(
        x: Any,
        lower: float = schema.LOWER,
        upper: float = schema.UPPER,
        training: bool = False,
        generator: Any = None,
    ) -> Any:
        return _RRELU(x, **attributes(lower, upper, training))[0]

    def with_noise(
        x: Any,
        noise: Any,
        lower: float = schema.LOWER,
        upper: float = schema.UPPER,
        training: bool = False,
        generator: Any = None,
    ) -> Any:
        node = attributes(lower, upper, training)
        y, drawn = _y_and_noise(x, **node)
        # torch leaves its noise argument alone in eval mode.
        return y, drawn if node["training"] else onnxscript.opset18.Identity(noise)

    def with_noise_backward(
        dy: Any, x: Any, noise: Any, lower: float, upper: float, training: bool, self_is_result: bool
    ) -> Any:
        if attributes.trains(training):
            return _RRELU_GRAD(dy, noise)
        # torch leaves its noise argument alone in eval mode.
        return _RRELU_GRAD(dy, _RRELU(x, **attributes(lower, upper, False))[1])

    def own(
        x: Any, lower: float, upper: float, training: bool, seed: int | None = None, step: Any = None
    ) -> Any:
        inputs = (x,) if step is None else (x, step)
        return _y_and_noise(*inputs, **attributes(lower, upper, training, seed, modules.current))

    def own_grad(dy: Any, noise: Any) -> Any:
        return _RRELU_GRAD(dy, noise)

    aten, ours = torch.ops.aten, torch.ops.ort_rrelu
    return {
        aten.rrelu.default: rrelu,
        aten.rrelu_with_noise_functional.default: with_noise,
        aten.rrelu_with_noise_backward.default: with_noise_backward,
        ours.rrelu.default: own,
        ours.rrelu_grad.default: own_grad,
    }
