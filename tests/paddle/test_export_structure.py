"""The exported graph: names, weights, dimensions, nothing needless, one node for each rrelu."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
from paddle import nn
from paddle.static import InputSpec

import ort_rrelu
from models.digits_paddle.network import build as digits
from ort_rrelu.errors import ConversionError
from ort_rrelu.graph.nodes import graph_nodes, our_nodes, subgraphs
from ort_rrelu.node_attributes import NodeAttributes
from ort_rrelu.paddle.document import Mark, Tags
from ort_rrelu.paddle.restore import restore
from ort_rrelu.serving import obstacles
from tests.paddle.constructs import CONSTRUCTS, Chain
from tests.paddle.exports import exported

constructs = pytest.mark.parametrize("construct", list(CONSTRUCTS))


def _dimensions(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


@constructs
@pytest.mark.parametrize("training", [True, False])
def test_model_is_valid_and_tidy(construct: str, training: bool) -> None:
    _, model = exported(construct, training=training)
    onnx.checker.check_model(model, full_check=True)
    kinds = Counter(node.op_type for node in graph_nodes(model.graph))
    assert not kinds.keys() & {"Identity", "Constant", "Elu"}
    assert "DynamicDimension" not in onnx.printer.to_text(model)


@constructs
def test_names_are_unique_and_say_where_nodes_are(construct: str) -> None:
    _, model = exported(construct, training=True)
    names = [node.name for node in graph_nodes(model.graph)]
    assert len(set(names)) == len(names)
    assert all("rrelu" in node.name.lower() for node in our_nodes(model))


def test_names_follow_the_layers() -> None:
    names = {
        construct: [node.name for node in our_nodes(exported(construct, training=True)[1])]
        for construct in CONSTRUCTS
    }
    assert names["nested"] == ["Sequential/RReLU", "Sequential/Sequential/RReLU", "RReLU"]
    assert names["function"] == ["rrelu"]
    assert names["chain of different bounds"] == ["RReLU", "RReLU_1", "RReLU_2"]


def test_names_are_the_same_in_every_export() -> None:
    construct = CONSTRUCTS["nested"]
    layer = construct.make()
    texts = {
        onnx.printer.to_text(ort_rrelu.paddle.export(layer, None, construct.input_spec, seed=1)) for _ in "ab"
    }
    assert len(texts) == 1


def test_weights_are_initializers() -> None:
    layer, model = exported("network", training=True)
    shapes = [tuple(weight.dims) for weight in model.graph.initializer]
    for weight in layer.parameters():
        assert tuple(weight.shape) in shapes


@pytest.mark.parametrize(
    ("construct", "inputs", "outputs"),
    [
        ("layer", [["batch", 7]], [["batch", 7]]),
        ("nested", [["batch", 7]], [["batch", 3]]),
        ("network", [["batch", 2, 4, 4]], [["batch", 6]]),
        ("all dynamic", [["batch", "x_1", "x_2"]], [["batch", "x_1", "x_2"]]),
        ("two inputs", [["x_0", 7], ["y_0", 7]], [[0, 7], ["y_0", 7]]),
        ("If, then", [["batch", 7]], [["batch", 7]]),
        ("0-d", [[]], [[]]),
        ("static", [[4, 7]], [[4, 7]]),
    ],
)
def test_dimensions_have_one_name_in_inputs_and_outputs(
    construct: str, inputs: list[list[int | str]], outputs: list[list[int | str]]
) -> None:
    _, model = exported(construct, training=False)
    assert [_dimensions(value) for value in model.graph.input] == inputs
    assert [_dimensions(value) for value in model.graph.output] == outputs


def test_bodies_of_control_flow_have_their_nodes() -> None:
    _, model = exported("If, then", training=True)
    (branch,) = (node for node in model.graph.node if node.op_type == "If")
    bodies = [[node.op_type for node in body.node] for body in subgraphs(branch)]
    assert ["RRelu" in body for body in bodies] == [True, True]


def test_file_is_the_model_that_is_returned(tmp_path: Path) -> None:
    layer, spec = nn.Sequential(nn.Linear(64, 64), nn.RReLU()), [InputSpec([None, 64], "float32")]
    path = tmp_path / "net.onnx"
    model = ort_rrelu.paddle.export(layer, path, spec)
    assert onnx.load(path) == model
    ort_rrelu.paddle.export(layer, path, spec, external_data=True)
    assert (tmp_path / "net.onnx.data").is_file()
    ort_rrelu.InferenceSession(path)


def _model_with_elus(*alphas: float) -> onnx.ModelProto:
    nodes = "".join(f"y{i} = Elu <alpha = {alpha}> (x) " for i, alpha in enumerate(alphas))
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> net (float[n] x) => (float[n] y0) {{ {nodes} }}'
    )


@pytest.mark.parametrize("alphas", [(1.0,), (-4000001.0, -4000001.0)], ids=["lost", "copied"])
def test_marker_that_does_not_return_exactly_once(alphas: tuple[float, ...]) -> None:
    marks = {-4000001.0: Mark(0.1, 0.3, Tags("Net/RReLU"))}
    with pytest.raises(ConversionError, match=r"1 rrelu in the Paddle program gave \d nodes.*Net/RReLU"):
        restore(_model_with_elus(*alphas), marks, NodeAttributes(None, None))


def test_step_that_is_there_already() -> None:
    with pytest.raises(ValueError, match="a value named 'step' already"):
        ort_rrelu.paddle.export(Chain(), None, [InputSpec([2], "float32", "step")], step_input=True)


def test_option_of_paddle2onnx() -> None:
    ort_rrelu.paddle.export(nn.RReLU(), None, [InputSpec([2], "float32")], enable_onnx_checker=False)


def test_demo_network_keeps_rows_apart() -> None:
    """Servers may join its requests."""
    spec = [InputSpec([None, 1, 8, 8], "float32", "images")]
    network = digits()
    network.eval()
    assert list(obstacles(ort_rrelu.paddle.export(network, None, spec))) == []
