"""One signature, everywhere: schema.json, onnx's OpSchema, the Python functions, the library."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.defs import OpSchema

import ort_rrelu
from ort_rrelu import evaluator, library, reference, schema
from tests.bits import assert_same_bits
from tests.onnx_models import DTYPES, FLOAT, Shape, grad_model, make_model, rrelu_model, run, session


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, list[int | str]]]:
    """Element type and shape of every value that onnx's shape inference knows."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.output, *graph.value_info)
    }


# onnx knows the ops.


@pytest.mark.parametrize("dtype", DTYPES)
def test_checker_accepts_our_nodes(dtype: int) -> None:
    model = rrelu_model(dtype, shape=["n"], with_step=True, step_shape=[1], training=1)
    onnx.checker.check_model(model, full_check=True)
    for saved in "noise", "reserve":
        onnx.checker.check_model(grad_model(dtype, saved=saved, shape=["n"]), full_check=True)


def test_checker_refuses_a_misspelt_attribute() -> None:
    with pytest.raises(onnx.checker.ValidationError, match="Unrecognized attribute: trainning"):
        onnx.checker.check_model(rrelu_model(shape=["n"], trainning=1))


def test_checker_refuses_an_attribute_of_another_type() -> None:
    with pytest.raises(onnx.checker.ValidationError, match=r"Mismatched attribute type in .*: training"):
        onnx.checker.check_model(rrelu_model(shape=["n"], training=1.0))


@pytest.mark.parametrize("inputs", [[], ["x", "step", "more"]], ids=len)
def test_checker_counts_inputs(inputs: list[str]) -> None:
    node = helper.make_node(schema.RRELU, inputs, ["y"], domain=schema.DOMAIN)
    info = [helper.make_tensor_value_info(name, FLOAT, ["n"]) for name in inputs]
    model = make_model([node], info, [helper.make_tensor_value_info("y", FLOAT, ["n"])])
    with pytest.raises(onnx.checker.ValidationError, match="input"):
        onnx.checker.check_model(model)


@pytest.mark.parametrize("shape", [[], [2, 3], ["n", 3], ["n", "m", 1]], ids=str)
@pytest.mark.parametrize("dtype", [FLOAT, TensorProto.DOUBLE])
def test_shape_inference_fills_every_output(dtype: int, shape: list[int | str]) -> None:
    nodes = [
        helper.make_node(schema.RRELU, ["x"], ["y", "noise", "reserve"], domain=schema.DOMAIN),
        helper.make_node(schema.RRELU_GRAD, ["y", "noise"], ["dx"], domain=schema.DOMAIN),
        helper.make_node(schema.RRELU_GRAD, ["y", "reserve"], ["dx2"], domain=schema.DOMAIN),
    ]
    x = helper.make_tensor_value_info("x", dtype, shape)
    ends = [helper.make_empty_tensor_value_info(name) for name in ("dx", "dx2")]
    inferred = _shapes(make_model(nodes, [x], ends))
    del inferred["reserve"]
    assert inferred == dict.fromkeys(("dx", "dx2", "y", "noise"), (dtype, shape))


@pytest.mark.parametrize("outputs", [["y", "noise", "reserve"], ["y", "", "reserve"]], ids=str)
@pytest.mark.parametrize(
    ("shape", "length"),
    [
        ([], 65),
        ([0], 64),
        ([8], 65),
        ([3, 3], 66),
        ([2, 0, 3], 64),
        ([2**31, 2**31, 2], None),  # 2^63: no tensor has so many
        ([-1], None),
        (["n"], None),
        ([2, None], None),
        (None, None),
    ],
    ids=str,
)
def test_shape_of_a_reserve(outputs: list[str], shape: Shape, length: int | None) -> None:
    node = helper.make_node(schema.RRELU, ["x"], outputs, domain=schema.DOMAIN)
    x = helper.make_tensor_value_info("x", FLOAT, shape)
    model = make_model([node], [x], [helper.make_empty_tensor_value_info("reserve")])
    kind, (dimension,) = _shapes(model)["reserve"]
    assert kind == TensorProto.UINT8
    assert isinstance(dimension, str) if length is None else dimension == length


def test_shape_inference_leaves_unknown_rank_open() -> None:
    unknown: Shape = None
    model = rrelu_model(shape=unknown, outputs=["y"])
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type
    assert inferred.elem_type == FLOAT
    assert not inferred.HasField("shape")


# One set of defaults.


def test_defaults_are_those_of_schema_json() -> None:
    attributes = schema.schemas()[schema.RRELU].attributes
    defaults = {name: helper.get_attribute_value(a.default_value) for name, a in attributes.items()}
    expected = {name: schema.default(name) for name in ("lower", "upper", "training", "seed")}
    assert defaults == {name: np.float32(v) if isinstance(v, float) else v for name, v in expected.items()}
    assert expected == {"lower": 1 / 8, "upper": 1 / 3, "training": 0, "seed": -1}


@pytest.mark.parametrize("function", [ort_rrelu.rrelu, reference.rrelu, library.Params])
def test_defaults_of_functions(function: Any) -> None:
    parameters = inspect.signature(function).parameters
    for name in ("lower", "upper", "training"):
        assert parameters[name].default == schema.default(name)


def test_defaults_of_the_evaluator() -> None:
    parameters = inspect.signature(evaluator.RRelu._run).parameters
    for name in schema.schemas()[schema.RRELU].attributes:
        assert parameters[name].default == schema.default(name)


def test_kernel_and_front_end_have_the_same_defaults() -> None:
    x = -np.ones(100, np.float32)
    assert_same_bits(run(session(rrelu_model()), x)[0], ort_rrelu.rrelu(x))
    train = session(rrelu_model(training=1, seed=42))
    assert_same_bits(run(train, x)[0], ort_rrelu.rrelu(x, training=True, seed=42))


@pytest.mark.parametrize("name", ["rrelu", "rrelu_grad"])
def test_reference_has_the_signature_of_the_front_end(name: str) -> None:
    assert inspect.signature(getattr(reference, name)) == inspect.signature(getattr(ort_rrelu, name))


def test_element_types() -> None:
    assert dict(zip(schema.DTYPES.values(), schema.DTYPES, strict=True)) == DTYPES
    names = library.build_info()["kernels"]["cpu"]
    assert [TensorProto.DataType.Value(name.upper()) for name in names] == list(schema.DTYPES.values())
    kinds = [f"tensor({name})" for name in names]
    assert _type_constraints(schema.RRELU) == {"T": kinds}
    assert _type_constraints(schema.RRELU_GRAD) == {"T": kinds, "S": [*kinds, "tensor(uint8)"]}


def _type_constraints(op: str) -> dict[str, list[str]]:
    return {c.type_param_str: list(c.allowed_type_strs) for c in schema.schemas()[op].type_constraints}


def test_optional_inputs_and_outputs() -> None:
    rrelu = schema.schemas()[schema.RRELU]
    optional = OpSchema.FormalParameterOption.Optional
    parameters = [*rrelu.inputs, *rrelu.outputs]
    assert [p.name for p in parameters if p.option == optional] == ["step", "noise", "reserve"]
    assert [p.name for p in parameters if p.option != optional] == ["X", "Y"]
