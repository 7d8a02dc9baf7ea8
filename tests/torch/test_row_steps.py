"""export(step_input="rows"): each row draws as alone, or the node without a proof is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ort_rrelu
from tests.bits import assert_same_bits
from tests.onnx_models import session
from tests.torch.arrays import array, normal
from tests.torch.constructs import Applied
from tests.torch.exports import both_exporters, export_quietly

_X = normal(7, 5, 6)


def _axes(dynamo: bool) -> dict[str, Any]:
    if dynamo:
        return {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    return {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}


def _rrelu() -> nn.Module:
    return nn.RReLU(0.5, 1.5)


def _network() -> nn.Module:
    """Products of powers of two alone: other operators may round differently for other batches."""
    return nn.Sequential(_rrelu(), nn.Flatten(), _rrelu(), nn.Unflatten(1, (6, 5)), _rrelu())


@both_exporters
def test_rows_draw_as_alone(dynamo: bool) -> None:
    model = export_quietly(
        _network().train(), (_X,), seed=11, step_input="rows", dynamo=dynamo, **_axes(dynamo)
    )
    x, step = model.graph.input
    assert [d.dim_param for d in step.type.tensor_type.shape.dim] == ["batch"]
    of, steps = session(model), np.array([5, -1, 2**40, 5, 0, 7, 8])
    whole = of.run(None, {x.name: array(_X), "step": steps})[0]
    for n in range(len(steps)):
        alone = of.run(None, {x.name: array(_X[n : n + 1]), "step": steps[n : n + 1]})[0]
        assert_same_bits(alone, whole[n : n + 1])


@both_exporters
@pytest.mark.parametrize("kind", ["folded", "sequence first", "softmax"])
def test_refused_with_the_nodes_name(kind: str, dynamo: bool) -> None:
    rrelu = _rrelu()
    functions = {
        "folded": lambda x, _: rrelu(x.reshape(-1, 6)).reshape(-1, 5, 6),
        "sequence first": lambda x, _: rrelu(x.transpose(0, 1)).transpose(0, 1),
        "softmax": lambda x, _: rrelu(x.softmax(0)),
    }
    with pytest.raises(ort_rrelu.Error, match=r"no step for each row .*RRelu node") as caught:
        export_quietly(
            Applied(functions[kind]).train(), (_X,), step_input="rows", dynamo=dynamo, **_axes(dynamo)
        )
    reason = "Softmax node" if kind == "softmax" else "steps that are not one for each row"
    assert reason in str(caught.value)


def test_other_peoples_calls_get_it_too() -> None:
    """Where the weights stay out of the model that is wired."""
    with ort_rrelu.torch.patch_onnx_export(seed=1, step_input="rows"):
        program = torch.onnx.export(_network().train(), (_X,), dynamo=True, verbose=False, **_axes(True))
    assert program is not None
    step = program.model_proto.graph.input[-1]
    assert [d.dim_param for d in step.type.tensor_type.shape.dim] == ["batch"]


@pytest.mark.parametrize(("value", "kind"), [("row", ValueError), (1, TypeError), (None, TypeError)])
def test_values_that_are_none(value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"step_input={value!r}"):
        export_quietly(nn.RReLU().train(), (_X,), step_input=value)
