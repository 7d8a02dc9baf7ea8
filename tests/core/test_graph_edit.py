"""What goes with a node that is replaced, and what stays."""

from __future__ import annotations

import onnx
from onnx import helper

from ort_rrelu.graph.edit import prune, replace_node
from tests.fusing import ops, parsed


def test_replaced_node_keeps_its_name_and_outputs() -> None:
    model = parsed('net (float[4] x, float[4] s) => (float[4] y) { [leak] y = PRelu(x, s) }')  # fmt: skip
    node = model.graph.node[0]
    dropped = replace_node(node, helper.make_node("LeakyRelu", ["x"], ["other"], "other", alpha=0.5))
    assert dropped == {"s"}
    assert (node.op_type, node.name, list(node.input), list(node.output)) == (
        "LeakyRelu",
        "leak",
        ["x"],
        ["y"],
    )


def _model() -> onnx.ModelProto:
    return parsed("""net (float[4] x, float one) => (float[2] y)
        <float one = {1}, float two = {2}, float three = {3}> {
        a, b = Split <axis = 0, num_outputs = 2> (x)
        c = Add(a, two) d = Mul(c, one) e = Mul(d, three)
        unused = Neg(x)
        y = Add(b, three) }""")


def test_what_is_read_or_was_never_read_stays() -> None:
    model = _model()
    prune(model.graph, {"e"})
    assert ops(model) == ["Split", "Neg", "Add"]  # one output of Split is read
    assert [tensor.name for tensor in model.graph.initializer] == ["one", "three"]  # one is an input, too
    onnx.checker.check_model(model, full_check=True)


def test_nothing_goes_that_is_read() -> None:
    model = _model()
    model.graph.output.append(helper.make_tensor_value_info("e", 1, [2]))
    before = model.SerializeToString()
    prune(model.graph, {"e", "d", "b", "three", "x"})
    assert model.SerializeToString() == before
