"""What ONNX Runtime learns about shapes from our nodes, and what it does with it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from ort_rrelu import schema
from tests.onnx_models import Array, Shape, make_model, session


def _info(name: str, shape: Shape = None, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _rrelu(x: str = "x", y: str = "y") -> NodeProto:
    return helper.make_node(schema.RRELU, [x], [y], domain=schema.DOMAIN)


@pytest.mark.onnxruntime("1.24")  # the oldest whose shape inference is safe: ops/ort
@pytest.mark.parametrize("outputs", [["y"], ["y", "noise"], ["y", "", "reserve"]], ids=str)
@pytest.mark.parametrize("shape", [[2, 3], ["n", 3], ["n", "m", 1]], ids=str)
def test_sizes_and_names_of_dimensions_are_kept(shape: list[int | str], outputs: list[str]) -> None:
    node = helper.make_node(schema.RRELU, ["x"], outputs, domain=schema.DOMAIN)
    model = make_model([node], [_info("x", shape)], [_info("y")])
    assert session(model).get_outputs()[0].shape == shape


_UNKNOWN: list[tuple[Shape, Array]] = [
    (None, np.ones((2, 3), np.float32)),
    ([None, 3], np.ones((5, 3), np.float32)),
    ([None, None, None], np.ones((5, 3, 2), np.float32)),
    (["n", None], np.ones((5, 3), np.float32)),
    ([], np.ones((), np.float32)),
    ([0, 3], np.ones((0, 3), np.float32)),
]


@pytest.mark.parametrize(("shape", "x"), _UNKNOWN, ids=lambda value: str(getattr(value, "shape", value)))
def test_a_following_shape_is_not_folded_to_a_guess(shape: Shape, x: Array) -> None:
    nodes = [_rrelu(y="leaked"), helper.make_node("Shape", ["leaked"], ["y"])]
    model = make_model(nodes, [_info("x", shape)], [_info("y", kind=TensorProto.INT64)])
    (folded,) = session(model).run(None, {"x": x})
    assert folded.tolist() == list(x.shape)


def test_unknown_sizes_do_not_add_up_to_wrong_ones() -> None:
    nodes = [
        _rrelu(y="leaked"),
        helper.make_node("Concat", ["leaked", "leaked"], ["both"], axis=0),
        helper.make_node("Shape", ["both"], ["y"]),
    ]
    model = make_model(nodes, [_info("x", [None, 3])], [_info("y", kind=TensorProto.INT64)])
    (folded,) = session(model).run(None, {"x": np.ones((5, 3), np.float32)})
    assert folded.tolist() == [10, 3]
