"""What the graph tools write, as converters and quantizers need it: names, tensors, element types."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import onnx
import onnx.compose
import pytest
from onnx import helper

import ort_rrelu
from ort_rrelu.graph.nodes import all_nodes, function_nodes, graph_nodes
from tests.onnx_models import DTYPES, FLOAT, grad_model, parsed, rrelu_model, session

_DRAWS = {"RandomUniform", "RandomUniformLike"}
_RRELU = "ort_rrelu.RRelu"
_TRAIN = f"{_RRELU} <training = 1, seed = 1>"


def _with_unknown_type(element: int) -> onnx.ModelProto:
    """Behind an op that onnx's shape inference does not know."""
    model = rrelu_model(element, outputs=["y", "noise"], with_step=True, shape=["n"], seed=3)
    rrelu = next(node for node in model.graph.node if node.op_type == "RRelu")
    rrelu.input[0] = "hidden"
    model.graph.node.insert(0, helper.make_node("Foreign", ["x"], ["hidden"], domain="own"))
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def _in_bodies() -> onnx.ModelProto:
    """Two branches whose nodes have one name for their outputs, a loop, and a function."""
    return parsed(
        f"""net (float[4] x, int64 step, bool c) => (float[4] y) <int64 n = {{3}}, bool go = {{1}}> {{
            a = If (c) <then_branch = t () => (float[4] u) {{ u = {_TRAIN} (x, step) }},
                        else_branch = e () => (float[4] u) {{ u = {_TRAIN} (x, step) }}>
            b = Loop (n, go, a) <body = l (int64 i, bool k, float[4] p) => (bool d, float[4] r) {{
                d = Identity (k) r = {_RRELU} <training = 1, seed = 4> (p, step) }}>
            y = own.Twice (b, step) }}""",
        functions=f"""<domain: "own", opset_import: ["": 18, "ort_rrelu": 1]> Twice (x, step) => (y) {{
            h = {_RRELU} <training = 1, seed = 5> (x, step) y = {_RRELU} <training = 0> (h) }}""",
    )


def _with_taken_names() -> onnx.ModelProto:
    """Nodes, but no values, are called as new nodes would be."""
    model = parsed(
        f"net (float[4] x, int64 step) => (float[4] y) {{ a = Neg (x) b = Abs (a)"
        f"y = {_RRELU} <training = 1, seed = 1> (b, step) }}"
    )
    model.graph.node[0].name, model.graph.node[1].name = "y_0", "y_t0"
    return model


def _models() -> Iterator[tuple[str, onnx.ModelProto]]:
    for (element, dtype), training, outputs in itertools.product(
        DTYPES.items(), (0, 1), (["y"], ["y", "noise"])
    ):
        model = rrelu_model(
            element, outputs=outputs, with_step=True, step_shape=[], shape=["n"], training=training, seed=3
        )
        yield f"{dtype} training={training} {' '.join(outputs)}", model
        if training:
            newer = onnx.ModelProto()
            newer.CopyFrom(model)
            newer.opset_import[0].version, newer.ir_version = 22, 10
            yield f"{dtype} training={training} {' '.join(outputs)} opset 22", newer
    for element, dtype in DTYPES.items():
        yield f"gradient {dtype}", grad_model(element, shape=["n"])
    yield "unknown type", _with_unknown_type(FLOAT)
    yield "bodies and functions", _in_bodies()
    yield "taken names", _with_taken_names()


_MODELS = dict(_models())


def _names(nodes: Iterator[onnx.NodeProto], before: set[str]) -> list[str]:
    """Those of the nodes that were written: all but those whose outputs were there."""
    return [node.name for node in nodes if not before.intersection(node.output)]


def _of_ours(model: onnx.ModelProto) -> set[str]:
    return {name for node in all_nodes(model) if node.domain == "ort_rrelu" for name in node.output}


def _check_constants(nodes: Iterator[onnx.NodeProto], *, in_function: bool) -> None:
    for node in nodes:
        if node.op_type != "Constant":
            continue
        (attribute,) = node.attribute
        # A reference to a function's attribute, which is no tensor.
        assert attribute.name == "value" or (in_function and attribute.ref_attr_name)


def _check_draws(model: onnx.ModelProto) -> None:
    for node in all_nodes(model):
        if node.op_type in _DRAWS:
            assert {a.name: a.i for a in node.attribute}["dtype"] == FLOAT


def _assert_unique(names: list[str]) -> None:
    assert "" not in names
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("exact", [False, True], ids=["", "exact"])
@pytest.mark.parametrize("model", _MODELS.values(), ids=_MODELS)
def test_what_lower_writes(model: onnx.ModelProto, exact: bool) -> None:
    lowered = ort_rrelu.graph.lower(model, exact=exact)
    others = [node for node in all_nodes(model) if node.domain != "ort_rrelu"]
    written = _names(all_nodes(lowered), {name for node in others for name in node.output} - _of_ours(model))
    assert written
    _assert_unique([*written, *(node.name for node in others if node.name)])
    _check_constants(all_nodes(lowered), in_function=False)
    _check_draws(lowered)


@pytest.mark.parametrize("model", _MODELS.values(), ids=_MODELS)
def test_what_portable_embeds(model: onnx.ModelProto) -> None:
    embedded = ort_rrelu.graph.portable(model)
    _check_constants(graph_nodes(embedded.graph), in_function=False)
    _check_draws(embedded)
    for function in embedded.functions:
        _check_constants(function_nodes(function), in_function=True)
        if function.domain == "ort_rrelu":
            _assert_unique([node.name for node in function_nodes(function)])


def test_step_that_fits_a_function() -> None:
    """Written into a function of the model's own, for its eval node."""
    embedded = ort_rrelu.graph.portable(
        parsed(
            f"""net (float[4] x, int64 step) => (float[4] y) {{
                a = own.F (x) y = {_RRELU} <training = 1, seed = 1> (a, step) }}""",
            functions=f"""<domain: "own", opset_import: ["": 18, "ort_rrelu": 1]> F (x) => (y) {{
                y = {_RRELU} (x) }}""",
        )
    )
    own = next(function for function in embedded.functions if function.domain == "own")
    assert own.node[0].op_type == "Constant"
    assert own.node[0].name
    _check_constants(function_nodes(own), in_function=False)


def _chain(x: str, y: str, seed: int) -> onnx.ModelProto:
    return parsed(
        f"net (float[4] {x}, int64 s{x}) => (float[4] {y})"
        f"{{ {y} = {_RRELU} <training = 1, seed = {seed}> ({x}, s{x}) }}"
    )


@pytest.mark.parametrize("exact", [False, True], ids=["", "exact"])
@pytest.mark.parametrize("second_lowered", [False, True])
def test_lowered_models_that_are_joined(second_lowered: bool, exact: bool) -> None:
    first, second = (_chain(*each) for each in (("x", "y", 1), ("z", "w", 2)))
    if second_lowered:
        second = ort_rrelu.graph.lower(second, exact=exact)
    joined = onnx.compose.merge_models(ort_rrelu.graph.lower(first, exact=exact), second, io_map=[("y", "z")])
    lowered = ort_rrelu.graph.lower(joined, exact=exact)
    _assert_unique([node.name for node in all_nodes(lowered)])
    _assert_unique([name for node in all_nodes(lowered) for name in node.output])
    onnx.checker.check_model(lowered, full_check=True)


def test_names_of_nodes_are_taken() -> None:
    """A new value or node is called like no node that is there, in bodies too."""
    lowered = ort_rrelu.graph.lower(_MODELS["taken names"], exact=True)
    assert [node.name for node in lowered.graph.node][:2] == ["y_0", "y_t0"]
    assert not {"y_0", "y_t0"} & {name for node in lowered.graph.node for name in node.output}


_LOOP = f"""net (float[4] x) => (float[4] y) <int64 n = {{{{3}}}}, bool go = {{{{1}}}}> {{{{
    {{first}} y = Loop (n, go, x) <body = l (int64 i, bool k, float[4] p) => (bool d, float[4] r) {{{{
        d = Identity (k) r = {_TRAIN} (p) }}}}> }}}}"""
_SCAN = f"""net (float[3,4] x) => (float[3,4] y) {{{{
    {{first}} y = Scan <num_scan_inputs = 1, body = s (float[4] row) => (float[4] out) {{{{
        out = {_TRAIN} (row) }}}}> (x) }}}}"""


@pytest.mark.parametrize("taken", ["step_in_y", "step_in_y_scale", "step_in_y_offset", "step_in_y_next"])
@pytest.mark.parametrize("text", [_LOOP, _SCAN], ids=["loop", "scan"])
def test_what_add_step_input_writes(text: str, taken: str) -> None:
    """In a loop: with names, and with none that is there."""
    model = parsed(text.format(first=f"{taken} = Neg (x)"))
    wired = ort_rrelu.graph.add_step_input(model)
    values = [name for node in all_nodes(wired) for name in node.output]
    there = {name for node in all_nodes(model) for name in node.output}
    _assert_unique(values)
    _assert_unique(_names(all_nodes(wired), there))
    _check_constants(all_nodes(wired), in_function=False)
    session(wired)
