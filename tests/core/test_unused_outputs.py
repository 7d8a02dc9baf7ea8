"""Optional outputs of RRelu that nobody reads are dropped, and no others."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from ort_rrelu import schema
from ort_rrelu.graph.edit import remove_unused_outputs
from tests.onnx_models import FLOAT, make_model


def _model(read: list[str]) -> onnx.ModelProto:
    node = helper.make_node(schema.RRELU, ["x"], ["y", "noise", "reserve"], domain=schema.DOMAIN)
    kinds = {"reserve": TensorProto.UINT8}
    x, *outputs = (helper.make_tensor_value_info(n, kinds.get(n, FLOAT), None) for n in ["x", *read])
    return make_model([node], [x], outputs)


@pytest.mark.parametrize(
    ("read", "kept"),
    [
        (["y"], ["y"]),
        (["y", "noise"], ["y", "noise"]),
        (["y", "reserve"], ["y", "", "reserve"]),
        (["noise"], ["y", "noise"]),
        (["y", "noise", "reserve"], ["y", "noise", "reserve"]),
    ],
    ids=str,
)
def test_what_is_read_stays_in_its_place(read: list[str], kept: list[str]) -> None:
    model = _model(read)
    remove_unused_outputs(model)
    assert list(model.graph.node[0].output) == kept
