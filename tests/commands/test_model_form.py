"""Malformed models: every tool refuses them with an error of ours that names what is wrong, or takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu import graph, schema, serving
from ort_rrelu.graph.form import MOST_BODIES
from tests.commands.command_line import call, call_json, refused
from tests.commands.valid_models import parse_seed
from tests.onnx_models import run, session

Tool = Callable[[Any], object]

TOOLS: dict[str, Tool] = {
    "lower": graph.lower,
    "fuse": graph.fuse,
    "portable": graph.portable,
    "set_training": lambda model: graph.set_training(model, True),
    "seed": lambda model: graph.seed(model, 1),
    "add_step_input": graph.add_step_input,
    "obstacles": lambda model: list(serving.obstacles(model)),
}
every_tool = pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)

_X, _Y = "float[n,3] x", "float[n,3] y"
_TRAIN = "ort_rrelu.RRelu <training = 1>"


def _model(nodes: str, functions: str = "") -> onnx.ModelProto:
    return parse_seed(f"g ({_X}) => ({_Y}) {{ {nodes} }}", functions=functions)


def _changed(nodes: str, change: Callable[[onnx.NodeProto], object]) -> onnx.ModelProto:
    """The last node changed."""
    model = _model(nodes)
    change(model.graph.node[-1])
    return model


def _scan(change: Callable[[onnx.NodeProto], object]) -> onnx.ModelProto:
    model = parse_seed(
        "g (float[n,3] x, float[3] z) => (float[n,3] y) { l, y = Scan <num_scan_inputs = 1, body = b "
        f"(float[3] s, float[3] a) => (float[3] t, float[3] r) {{ r = {_TRAIN} (a) t = Add (s, r) }}> (z, x)"
        " }"
    )
    change(model.graph.node[0])
    return model


def _drop(name: str) -> Callable[[onnx.NodeProto], object]:
    def drop(node: onnx.NodeProto) -> None:
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend(kept)

    return drop


def _set(name: str, value: int) -> Callable[[onnx.NodeProto], object]:
    def change(node: onnx.NodeProto) -> None:
        _drop(name)(node)
        node.attribute.append(helper.make_attribute(name, value))

    return change


def _in_opset(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    next(entry for entry in model.opset_import if not entry.domain).version = version
    return model


def _function(name: str, calls: str) -> str:
    return f'<domain: "own", opset_import: ["": 18, "own": 1]> {name} (a) => (b) {{ b = own.{calls} (a) }}'


def _not_text(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.ParseFromString(model.SerializeToString().replace(b"act", b"\xffct"))
    return made


def _nested(depth: int) -> onnx.ModelProto:
    """A train node in that many bodies: in memory, since no file can hold many more."""
    innermost = helper.make_node("RRelu", ["x"], ["r"], domain=schema.DOMAIN, training=1)
    body = onnx.GraphProto(name="b", node=[innermost], output=[helper.make_tensor_value_info("r", 1, None)])
    for _ in range(depth - 1):
        outer = onnx.GraphProto(name="b", output=body.output)
        _if(outer.node.add(), body)
        body = outer
    model = parse_seed(f"g (bool c, {_X}) => ({_Y}) {{ y = Identity (x) }}")
    _if(model.graph.node.add(), body)
    return model


def _if(node: onnx.NodeProto, body: onnx.GraphProto) -> None:
    node.op_type, node.input[:], node.output[:] = "If", ["c"], ["r"]
    for name in ("then_branch", "else_branch"):
        attribute = node.attribute.add(name=name, type=onnx.AttributeProto.GRAPH)
        if name == "then_branch" or not any(True for _ in body.node[0].attribute if _.HasField("g")):
            attribute.g.CopyFrom(body)


def _doubling(levels: int) -> str:
    """Each function calls the next twice."""
    each = [
        f'<domain: "own", opset_import: ["": 18, "own": 1]> F{i} (a) => (b) '
        f"{{ c = own.F{i + 1} (a) b = own.F{i + 1} (c) }}"
        for i in range(levels)
    ]
    last = f'<domain: "own", opset_import: ["": 18]> F{levels} (a) => (b) {{ b = Relu (a) }}'
    return "\n".join([*each, last])


MALFORMED: dict[str, tuple[onnx.ModelProto, str]] = {
    "RRelu without input": (
        _changed(f"y = {_TRAIN} (x)", lambda node: node.ClearField("input")),
        'ort_rrelu:RRelu node with output "y": it has 0 inputs: it must have 1 to 2',
    ),
    "RRelu with three inputs": (
        _changed(f"y = {_TRAIN} (x)", lambda node: node.input.extend(["", "x"])),
        "it has 3 inputs: it must have 1 to 2",
    ),
    "RRelu of nothing": (
        _changed(f"y = {_TRAIN} (x)", lambda node: node.input.__setitem__(0, "")),
        "its input 0 has no name",
    ),
    "RRelu without output": (
        _changed(f"[act] y = {_TRAIN} (x)", lambda node: node.ClearField("output")),
        'ort_rrelu:RRelu node "act": it has 0 outputs: it must have 1 to 3',
    ),
    "RReluGrad with one input": (
        _changed(f"h, m = {_TRAIN} (x) [grad] y = ort_rrelu.RReluGrad (h, m)", lambda node: node.input.pop()),
        'ort_rrelu:RReluGrad node "grad": it has 1 inputs: it must have 2',
    ),
    "an attribute twice": (
        _changed(f"y = {_TRAIN} (x)", lambda node: node.attribute.append(node.attribute[0])),
        "it has attribute 'training' twice",
    ),
    "an attribute of a function, in none": (
        _changed(f"y = {_TRAIN} (x)", lambda node: setattr(node.attribute[0], "ref_attr_name", "t")),
        "refers to a function's 't'",
    ),
    "a body that is an attribute of a function, in none": (
        _scan(lambda node: setattr(node.attribute[1], "ref_attr_name", "b")),
        "attribute 'body' refers to a function's 'b'",
    ),
    "PRelu with one input": (
        _changed(
            f"h = {_TRAIN} (x) s = RandomUniformLike (x) y = PRelu (h, s)", lambda node: node.input.pop()
        ),
        'PRelu node with output "y": it has 1 inputs: it must have 2',
    ),
    "Constant without output": (
        _changed(
            f"y = {_TRAIN} (x) one = Constant <value_int = 1> ()", lambda node: node.ClearField("output")
        ),
        "Constant node",
    ),
    "Scan without num_scan_inputs": (
        _scan(_drop("num_scan_inputs")),
        "it has no attribute 'num_scan_inputs'",
    ),
    "Scan before there was one": (
        _in_opset(_scan(_drop("num_scan_inputs")), 1),
        "it has no attribute 'num_scan_inputs'",
    ),
    "Constant without output, in no opset": (
        _in_opset(
            _changed(
                f"y = {_TRAIN} (x) one = Constant <value_int = 1> ()", lambda node: node.ClearField("output")
            ),
            0,
        ),
        "Constant node",
    ),
    "Scan of too many": (_scan(_set("num_scan_inputs", 3)), "num_scan_inputs=3: it must be from 1 to 2"),
    "Scan without body": (_scan(_drop("body")), "it has no attribute 'body'"),
    "Scan with a number as its body": (_scan(_set("body", 1)), "'body' is of type INT: it must be GRAPH"),
    "a function that calls itself": (
        _model(f"h = {_TRAIN} (x) y = own.F (h)", _function("F", "F")),
        "functions call themselves, or are called by such ones: own:F",
    ),
    "functions that call each other": (
        _model(f"h = {_TRAIN} (x) y = own.F (h)", _function("F", "G") + _function("G", "F")),
        "own:F, own:G",
    ),
    "two functions of one name": (
        _model(f"h = {_TRAIN} (x) y = own.F (h)", _function("F", "G") + _function("F", "H")),
        "two functions own:F",
    ),
    "more nodes than there is memory": (
        _model(f"h = {_TRAIN} (x) y = own.F0 (h)", _doubling(60)),
        "nodes: 10000000 are allowed",
    ),
    "a cycle": (
        _model(f"h = {_TRAIN} (b) a = Identity (h) b = Identity (a) y = Relu (x)"),
        "it waits for its own output",
    ),
    "a cycle through a body": (
        parse_seed(
            f"g (bool c, {_X}) => ({_Y}) {{ h = If (c) <then_branch = t () => (float[n,3] u) "
            f"{{ u = {_TRAIN} (y) }}, else_branch = e () => (float[n,3] v) {{ v = Neg (x) }}> y = Relu (h) }}"
        ),
        "it waits for its own output",
    ),
    "two nodes that write one value": (
        _model(f"h = {_TRAIN} (x) h = {_TRAIN} (x) y = Relu (h)"),
        'it writes "h", which is an input',
    ),
    "a node that writes a value twice": (
        _model(f"y, h, h = {_TRAIN} (x)"),
        'it writes "h", which is an input',
    ),
    "a node that writes an input": (_model(f"x = {_TRAIN} (x) y = Relu (x)"), 'it writes "x"'),
    "a body that writes a value twice": (
        parse_seed(
            f"g (bool c, {_X}) => ({_Y}) {{ y = If (c) <then_branch = t () => (float[n,3] u) "
            f"{{ u = {_TRAIN} (x) u = Neg (x) }}, else_branch = e () => (float[n,3] v) {{ v = Neg (x) }}> }}"
        ),
        'it writes "u"',
    ),
    "a function that writes its input": (
        _model(
            f"h = {_TRAIN} (x) y = own.F (h)",
            '<domain: "own", opset_import: ["": 18]> F (a) => (b) { a = Neg (a) b = Neg (a) }',
        ),
        'it writes "a"',
    ),
    "a name that is no text": (_not_text(_model(f"[act] y = {_TRAIN} (x)")), r"b'\xffct' is not UTF-8"),
}
malformed = pytest.mark.parametrize(("model", "message"), MALFORMED.values(), ids=MALFORMED)


@every_tool
@malformed
def test_malformed_models_are_refused(tool: Tool, model: onnx.ModelProto, message: str) -> None:
    with pytest.raises(ort_rrelu.Error) as caught:
        tool(model)
    assert message in str(caught.value)


@malformed
def test_the_command_line_names_what_is_wrong(
    model: onnx.ModelProto, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.onnx").write_bytes(model.SerializeToString())
    for command in ("info bad.onnx", "portable bad.onnx -o out.onnx"):
        assert message in refused(command)


@every_tool
def test_bodies_nested_too_deeply_are_refused(tool: Tool) -> None:
    tool(_nested(MOST_BODIES - 5))
    with pytest.raises(ort_rrelu.Error, match=f"more than {MOST_BODIES} nested bodies|protobuf cannot copy"):
        tool(_nested(60))


# What ONNX Runtime runs is taken.


def _without(model: onnx.ModelProto, *domains: str) -> onnx.ModelProto:
    kept = [entry for entry in model.opset_import if entry.domain not in domains]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


@pytest.fixture
def unimported() -> onnx.ModelProto:
    """Nodes of ours, and no import of our domain."""
    return _without(
        _model("h = Relu (x) y = ort_rrelu.RRelu <lower = 0.25, upper = 0.25> (h)"), schema.DOMAIN
    )


_ARRAY = np.array([[-4.0, 0.0, 8.0]], np.float32)


@every_tool
def test_model_that_lacks_the_import_of_our_domain_is_taken(tool: Tool, unimported: onnx.ModelProto) -> None:
    expected = run(session(unimported), _ARRAY)[0]  # ONNX Runtime takes it
    made = tool(unimported)
    if isinstance(made, onnx.ModelProto):
        onnx.checker.check_model(made)
        assert run(session(made), _ARRAY)[0].tolist() == expected.tolist()


def test_lowered_without_the_import(unimported: onnx.ModelProto) -> None:
    lowered = graph.lower(unimported)
    assert [node.op_type for node in lowered.graph.node] == ["Relu", "LeakyRelu"]
    assert schema.DOMAIN not in [entry.domain for entry in lowered.opset_import]


def test_the_command_line_takes_it(
    unimported: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unimported.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1000, np.float32), "w"))
    onnx.save(unimported, "net.onnx", save_as_external_data=True, location="w.bin")
    assert len(call_json("info net.onnx")["nodes"]) == 1
    call("lower net.onnx -o lowered.onnx")
    call("set-training net.onnx --train -o train.onnx")
    call("run net.onnx")
    assert graph.lower("train.onnx").graph.node[1].op_type == "RandomUniformLike"


def test_nodes_in_another_order_are_taken() -> None:
    model = _model("h = Relu (x) y = ort_rrelu.RRelu (h)")
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(model.graph.node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    expected = run(session(model), _ARRAY)[0]
    for made in (graph.lower(model), graph.portable(model), graph.seed(model, 1)):
        assert run(session(made), _ARRAY)[0].tolist() == expected.tolist()


def test_the_opset_is_never_guessed() -> None:
    """ONNX Runtime takes its own newest opset, another one in each version."""
    model = _without(_model(f"h = Relu (x) y = {_TRAIN} (h)"), "")
    for tool in (graph.lower, graph.portable):
        with pytest.raises(ort_rrelu.Error, match=r"Relu node .* in which opset its operators are"):
            tool(model)
    assert len(graph.seed(model, 1).graph.node) == 2
    alone = _without(_model("y = ort_rrelu.RRelu (x)"), "")
    assert [node.op_type for node in graph.lower(alone).graph.node] == ["LeakyRelu"]


@pytest.mark.parametrize(
    ("attribute", "message"),
    [(helper.make_attribute("t", 2), "training=2"), (helper.make_attribute("t", 0.5), "must be INT")],
    ids=["value", "type"],
)
def test_what_a_call_gives_its_function_is_checked(attribute: onnx.AttributeProto, message: str) -> None:
    function = (
        '<domain: "own", opset_import: ["": 18, "ort_rrelu": 1]> F <t> (a) => (b) '
        "{ b = ort_rrelu.RRelu <training : int = @t> (a) }"
    )
    model = _model("y = own.F (x)", function)
    model.graph.node[0].attribute.append(attribute)
    with pytest.raises(ort_rrelu.Error, match=message):
        graph.lower(model)


def test_bodies_that_are_attributes_of_a_function_are_taken() -> None:
    function = (
        '<domain: "own", opset_import: ["": 18]> F <b> (a, t, c) => (d) '
        "{ d = Loop <body : graph = @b> (t, c, a) }"
    )
    model = _model(f"[act] y = {_TRAIN} (x)", function)
    for tool in (graph.lower, graph.fuse, graph.portable, graph.add_step_input):
        assert len(tool(model).graph.node) >= 1


def test_functions_that_nobody_calls_are_lowered_away() -> None:
    function = (
        '<domain: "own", opset_import: ["": 18, "ort_rrelu": 1]> F (a) => (b) { b = ort_rrelu.RRelu (a) }'
    )
    lowered = graph.lower(_model("y = Relu (x)", function))
    assert not lowered.functions
    assert [entry.domain for entry in lowered.opset_import] == ["", "own"]


def test_calls_through_other_functions_are_counted() -> None:
    """One with an overload that calls its namesake is no recursion."""
    functions = (
        '<domain: "own", opset_import: ["": 18, "ort_rrelu": 1]> F (a) => (b) '
        "{ b = ort_rrelu.RRelu <training = 1> (a) }"
        '<domain: "own", opset_import: ["": 18, "own": 1]> F (a) => (b) { b = own.F (a) }'
    )
    model = _model("y = own.F (x)", functions)
    model.functions[1].overload = model.graph.node[0].overload = "outer"
    graph.seed(model, 1)
    model.functions[1].node.add(op_type="F", domain="own", input=["a"], output=["c"])
    with pytest.raises(ort_rrelu.Error, match="called several times"):
        graph.seed(model, 1)


def test_unknown_element_types_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = _model("y = ort_rrelu.RRelu (x)")
    model.graph.input.add(name="z").type.tensor_type.elem_type = 999
    Path("net.onnx").write_bytes(model.SerializeToString())
    assert call_json("info net.onnx")["inputs"]["z"] == "unknown element type 999"


@pytest.mark.parametrize(
    "tensor",
    [
        onnx.TensorProto(data_type=TensorProto.FLOAT, dims=[1], raw_data=b"abc"),
        onnx.TensorProto(data_type=TensorProto.FLOAT, dims=[1], float_data=[1, 2]),
        onnx.TensorProto(data_type=TensorProto.FLOAT, dims=[-1], float_data=[1]),
        onnx.TensorProto(data_type=TensorProto.INT32, dims=[1], float_data=[1]),
        onnx.TensorProto(data_type=TensorProto.STRING, dims=[1], string_data=[b"\xff"]),
        onnx.TensorProto(data_type=TensorProto.UNDEFINED, dims=[1]),
    ],
    ids=["bytes", "more", "negative", "of another type", "text", "undefined"],
)
def test_constants_that_hold_no_number_are_no_constants(tensor: onnx.TensorProto) -> None:
    model = _model(
        "r = RandomUniformLike (x) k = Constant <value = float {0.5}> () s = Mul (r, k) y = PRelu (x, s)"
    )
    model.graph.node[1].attribute[0].t.CopyFrom(tensor)
    said: list[graph.Finding] = []
    try:
        graph.fuse(model, report=said.append)
    except ort_rrelu.Error:
        return
    assert not said[0].fused
