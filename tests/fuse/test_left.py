"""fuse: what stays as it is, and why; what survives of a model in which something was fused."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import ort_rrelu
from ort_rrelu import schema
from ort_rrelu.errors import InvalidTypeError, InvalidValueError, MissingPackageError, ModelFileError
from ort_rrelu.graph import Finding
from tests.fusing import DRAW, findings, fused, ops, parsed, values_of
from tests.onnx_models import rrelu_model

_X_TO_Y = "net (float[n, 4] x, float[4] w, float[n, 1] o) => (float[n, 4] y)"
_NUMBERS = "<float zero = {0}, float one = {1}, float half = {0.5}>"

# Nodes, the outputs besides y, and a part of the reason; None where no draw is left to tell of.
_LEFT = {
    "draw is an output": (f"r = {DRAW} (x) y = PRelu(x, r)", "float[n, 4] r", '"r" is used elsewhere'),
    "draw used twice": (f"r = {DRAW} (x) a = PRelu(x, r) y = Add(a, r)", "", '"r" is used elsewhere'),
    "draw used for two": (
        f"r = {DRAW} (x) a = PRelu(x, r) b = Neg(x) d = PRelu(b, r) y = Add(a, d)",
        "",
        '"r" is used elsewhere',
    ),
    "draw used after Identity": (
        f"r = {DRAW} (x) i = Identity(r) a = PRelu(x, i) y = Add(a, i)",
        "",
        '"i" is used elsewhere',
    ),
    "scaled draw used twice": (
        f"r = {DRAW} (x) s = Mul(r, half) a = PRelu(x, s) y = Add(a, s)",
        "",
        '"s" is used elsewhere',
    ),
    "draw used in a body": (
        f"""r = {DRAW} (x) a = PRelu(x, r) k = ReduceMax <keepdims = 0> (a) c = Greater(k, zero)
            y = If (c) <then_branch = t () => (float[n, 4] p) {{ p = Identity(r) }},
                        else_branch = e () => (float[n, 4] q) {{ q = Identity(a) }}>""",
        "",
        '"r" is used elsewhere',
    ),
    "draw outside of a body": (
        f"""r = {DRAW} (x) k = ReduceMax <keepdims = 0> (x) c = Greater(k, zero)
            y = If (c) <then_branch = t () => (float[n, 4] p) {{ p = PRelu(x, r) }},
                        else_branch = e () => (float[n, 4] q) {{ q = Identity(x) }}>""",
        "",
        "is in a body",
    ),
    "product used twice": (
        f"r = {DRAW} (x) p = Mul(x, r) c = Less(x, zero) a = Where(c, p, x) y = Add(a, p)",
        "",
        '"p" is used elsewhere',
    ),
    "factor is an output": (
        f"r = {DRAW} (x) c = Less(x, zero) f = Where(c, r, one) y = Mul(x, f)",
        "float[n, 4] f",
        '"f" is used elsewhere',
    ),
    "draw for each column": (f"r = {DRAW} (w) y = PRelu(x, r)", "", 'shape is that of "w"'),
    "draw for each row": (f"r = {DRAW} (o) y = PRelu(x, r)", "", 'shape is that of "o"'),
    "draw of its own shape": ("r = RandomUniform <shape = [2, 4]> () y = PRelu(x, r)", "", "not known to be"),
    "draw in a part of the shape": (
        f"s = Shape <start = 1> (x) c = ConstantOfShape(s) r = {DRAW} (c) y = PRelu(x, r)",
        "",
        'shape is that of "c"',
    ),
    "bounds in the wrong order": (
        "r = RandomUniformLike <low = 0.5, high = 0.25> (x) y = PRelu(x, r)",
        "",
        "lower=0.5",
    ),
    "scale is not constant": (
        "r = RandomUniformLike(x) s = Mul(r, w) y = PRelu(x, s)",
        "",
        'read by Mul node with output "s"',
    ),
    "quotient of a draw": (
        f"r = {DRAW} (x) s = Div(one, r) y = PRelu(x, s)",
        "",
        'read by Div node with output "s"',
    ),
    "quotient with zero": (
        f"r = {DRAW} (x) s = Div(r, zero) y = PRelu(x, s)",
        "",
        "not finite",
    ),
    "positive elements": (
        f"r = {DRAW} (x) p = Mul(x, r) c = Greater(x, zero) y = Where(c, p, x)",
        "",
        "gives positive elements what is drawn",
    ),
    "comparison with one": (
        f"r = {DRAW} (x) p = Mul(x, r) c = Less(x, one) y = Where(c, p, x)",
        "",
        "not a comparison with 0",
    ),
    "comparison of another value": (
        f"r = {DRAW} (x) p = Mul(x, r) n = Abs(x) c = Less(n, zero) y = Where(c, p, x)",
        "",
        'asks for the sign of "n", not of "x"',
    ),
    "comparison of fewer digits": (
        f"r = {DRAW} (x) p = Mul(x, r) h = Cast <to = 10> (x) z = Cast <to = 10> (zero) c = Less(h, z)"
        " y = Where(c, p, x)",
        "",
        'asks for the sign of "h", not of "x"',
    ),
    "product of another value": (
        f"r = {DRAW} (x) n = Abs(x) p = Mul(n, r) c = Less(x, zero) y = Where(c, p, x)",
        "",
        "one x in both places",
    ),
    "product of fewer digits": (
        f"""r = {DRAW} (x) p = Mul(x, r) h = Cast <to = 10> (p) g = Cast <to = 1> (h) c = Less(x, zero)
            y = Where(c, g, x)""",
        "",
        "may lose digits",
    ),
    "factor of a half": (
        f"r = {DRAW} (x) c = Less(x, zero) f = Where(c, r, half) y = Mul(x, f)",
        "",
        'gives "half", not 1',
    ),
    "draw for a random mask": (f"r = {DRAW} (x) c = Less(r, half) y = Where(c, x, zero)", "", "no form of"),
    "integer draws": (
        f"r = {DRAW} (x) i = Cast <to = 7> (r) s = Cast <to = 1> (i) y = PRelu(x, s)",
        "",
        "no form of RReLU",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", _LEFT)
def test_stays_and_says_why(case: str) -> None:
    nodes, more, reason = _LEFT[case]
    signature = _X_TO_Y[:-1] + (f", {more})" if more else ")")
    model = parsed(f"{signature} {_NUMBERS} {{ {nodes} }}")
    made, (said,) = fused(model)
    assert not said.fused
    assert reason in said.reason
    assert made.SerializeToString() == model.SerializeToString()


def test_number_that_may_be_fed_is_not_constant() -> None:
    model = parsed(f"""net (float[n] x, float zero) => (float[n] y) <float zero = {{0}}> {{
        r = {DRAW} (x) p = Mul(x, r) c = Less(x, zero) y = Where(c, p, x) }}""")
    assert "not a comparison with 0" in findings(model)[0].reason


def test_number_in_another_file_is_not_read() -> None:
    model = parsed(f"""net (float[n] x) => (float[n] y) <float zero = {{0}}> {{
        r = {DRAW} (x) p = Mul(x, r) c = Less(x, zero) y = Where(c, p, x) }}""")
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.zeros((), np.float32), "zero"))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "nowhere.data")
    model.graph.initializer[0].ClearField("raw_data")
    made = ort_rrelu.graph.fuse(model)
    assert made == model


def test_bounds_that_float16_cannot_hold() -> None:
    model = parsed("""net (float16[n] x) => (float16[n] y) {
        r = RandomUniformLike <high = 1e6> (x) y = PRelu(x, r) }""")
    (said,) = findings(model)
    assert said.reason == "upper=1000000 is not finite in float16"


def test_result_of_another_rank() -> None:
    model = parsed(f"""net (float x) => (float[1] y) <float[1] zero = {{0}}> {{
        r = {DRAW} (x) p = Mul(x, r) c = Less(x, zero) y = Where(c, p, x) }}""")
    assert findings(model)[0].reason == '"y" has 1 dimensions, x 0'


def test_attribute_of_a_type_that_onnx_refuses() -> None:
    model = parsed("net (float[4] x) => (float[4] y) { r = RandomUniformLike(x) y = PRelu(x, r) }")
    model.graph.node[0].attribute.append(helper.make_attribute("low", 0))
    said: list[Finding] = []
    ort_rrelu.graph.fuse(model, report=said.append)
    assert [(each.fused, each.reason) for each in said] == [
        (False, "its low is of type INT: ONNX wants FLOAT")
    ]


@pytest.mark.parametrize(
    ("form", "number"),
    [("value_int", 0.5), ("value_int", 1e30), ("value_float", 0), ("value", onnx.TensorProto(data_type=0))],
)
def test_constant_of_a_type_that_onnx_refuses(form: str, number: Any) -> None:
    """As an integer the first one would be the 0 that the pattern asks for."""
    model = parsed(f"""net (float[n] x) => (float[n] y) {{ zero = Constant <value_float = 0.0> ()
        r = {DRAW} (x) p = Mul(x, r) c = Less(x, zero) y = Where(c, p, x) }}""")
    model.graph.node[0].attribute[0].CopyFrom(helper.make_attribute(form, number))
    said: list[Finding] = []
    ort_rrelu.graph.fuse(model, report=said.append)
    assert "not a comparison with 0" in said[0].reason


@pytest.mark.parametrize("shape", [4, 4.0, "4"])
def test_shape_of_a_type_that_onnx_refuses(shape: int | float | str) -> None:
    model = parsed("net (float[4] x) => (float[4] y) { r = RandomUniform <shape = [4]> () y = PRelu(x, r) }")
    model.graph.node[0].attribute[0].CopyFrom(helper.make_attribute("shape", shape))
    said: list[Finding] = []
    ort_rrelu.graph.fuse(model, report=said.append)
    assert [each.reason for each in said] == ['its shape is not known to be that of "x"']


def test_integers() -> None:
    model = parsed("net (int32[n] x, float[n] u) => (int32[n] y) "
                   "{ r = RandomUniformLike(u) s = Cast <to = 6> (r) y = PRelu(x, s) }")  # fmt: skip
    assert not findings(model)[0].fused


@pytest.mark.parametrize("attribute", ["low", "high", "seed"])
def test_attribute_of_a_function_is_not_constant(attribute: str) -> None:
    model = parsed(
        "net (float[4] x) => (float[4] y) { y = own.Leak <of = 0.5> (x) }",
        functions=f"""<domain: "own", opset_import: ["": 18]> Leak <of> (x) => (z) {{
            r = RandomUniformLike <{attribute}: float = @of> (x) z = PRelu(x, r) }}""",
    )
    (said,) = findings(model)
    assert not said.fused
    assert f"its {attribute} is an attribute of the function" in said.reason


@pytest.mark.parametrize("training", [0, 1])
def test_model_of_ours_is_left_as_it_is(training: int) -> None:
    model = rrelu_model(outputs=["y"], shape=["n"], training=training)
    for each in (model, ort_rrelu.graph.portable(model)):  # whose function draws, too
        made, said = fused(each)
        assert made.SerializeToString() == each.SerializeToString()
        assert not said


# what survives


def _rich_model() -> onnx.ModelProto:
    model = parsed(
        f"""net (float[4, 6] x, bool c) => (float[4, 6] y) 
            <float[6] w = {{1, 2, 3, 4, 5, 6}}, float unused = {{3}}> {{
            [first] q = Mul(x, w) [spare] u = Relu(q) [draw] r = {DRAW} (q) [leak] p = PRelu(q, r)
            y = If (c) <then_branch = t () => (float[4, 6] v) {{ v = Relu(p) }},
                        else_branch = e () => (float[4, 6] s) {{ d = {DRAW} (p) s = PRelu(p, d) }}> }}""",
        functions='<domain: "own", opset_import: ["": 18]> Unused (x) => (z) { z = Neg(x) }',
    )
    model.producer_name, model.doc_string, model.graph.doc_string = "me", "a model", "a graph"
    model.metadata_props.add(key="a", value="b")
    for node in model.graph.node:
        node.doc_string = f"of {node.name}"
        node.metadata_props.add(key="c", value=node.name)
    model.graph.value_info.extend(helper.make_tensor_value_info(name, 1, [4, 6]) for name in "qrpu")
    annotation = model.graph.quantization_annotation.add(tensor_name="q")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
    model.training_info.add().algorithm.name = "none"
    model.opset_import.add(domain="elsewhere", version=3)
    return model


def test_everything_else_survives() -> None:
    model = _rich_model()
    before = model.SerializeToString()
    made = ort_rrelu.graph.fuse(model, portable=False)
    assert model.SerializeToString() == before
    assert ops(made) == ["Mul", "Relu", "RRelu", "If", "Relu", "RRelu", "Neg"]
    leak = made.graph.node[2]
    assert (leak.name, leak.doc_string, leak.metadata_props[0].value) == ("leak", "of leak", "leak")
    for graph in (model.graph, made.graph):  # what is left without the pattern is the same
        kept = [node for node in graph.node if node.name in {"first", "spare"}]
        del graph.node[:]
        graph.node.extend(kept)
    del model.graph.value_info[1]  # of the draw
    model.opset_import.append(schema.opset_import())
    assert made == model


@pytest.mark.parametrize("portable", [True, False])
def test_weights_in_other_files_are_neither_read_nor_lost(portable: bool, tmp_path: Path) -> None:
    weights = {name: np.random.default_rng(1).normal(size=(6, 600)).astype(np.float32) for name in "uv"}
    nodes = f"r = {DRAW} (x) p = PRelu(x, r) a = MatMul(p, u) b = MatMul(p, v) y = Add(a, b)"
    inputs = "float[4, 6] x, float[6, 600] u, float[6, 600] v"
    model = parsed(f"net ({inputs}) => (float[4, 600] y) {{ {nodes} }}", opset=17)
    del model.graph.input[1:]
    model.graph.initializer.extend(onnx.numpy_helper.from_array(w, name) for name, w in weights.items())
    onnx.external_data_helper.set_external_data(model.graph.initializer[1], "v.data")
    onnx.save(model, tmp_path / "net.onnx")
    data = (tmp_path / "v.data").read_bytes()
    (tmp_path / "v.data").unlink()
    made = ort_rrelu.graph.fuse(tmp_path / "net.onnx", portable=portable)
    assert ops(made)[0] == "RRelu"
    saved = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    assert list(made.graph.initializer) == list(saved.graph.initializer)
    (tmp_path / "v.data").write_bytes(data)
    onnx.save(made, tmp_path / "made.onnx")
    run = ort_rrelu.InferenceSession(tmp_path / "made.onnx").run
    x = np.abs(np.random.default_rng(2).normal(size=(4, 6))).astype(np.float32)
    np.testing.assert_allclose(
        run(None, {"x": x})[0], x @ (weights["u"] + weights["v"]), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("opset", "portable"), list(itertools.product([7, 11, 13, 17, 18, 21], [True, False]))
)
def test_opset(opset: int, portable: bool) -> None:
    model = parsed(f"net (float[4] x) => (float[4] y) {{ r = {DRAW} (x) y = PRelu(x, r) }}", opset=opset)
    made, _ = fused(model, portable=portable)
    versions = {entry.domain: entry.version for entry in made.opset_import}
    assert versions[""] == (max(opset, 18) if portable else opset)
    assert versions["ort_rrelu"] == 1
    assert bool(made.functions) == portable


def test_portable_model_stays_portable() -> None:
    first = parsed(f"net (float[4] x) => (float[4] y) {{ r = {DRAW} (x) y = PRelu(x, r) }}")
    half = ort_rrelu.graph.portable(rrelu_model(outputs=["y", "noise"], shape=[4], training=1))
    joined = onnx.compose.merge_models(
        half, onnx.compose.add_prefix(_versions_of(half, first), "then/"), io_map=[("y", "then/x")]
    )
    made, _ = fused(joined, portable=False)
    (function,) = made.functions
    assert all(len(node.output) == len(function.output) for node in made.graph.node)
    assert [values["seed"] for values in values_of(made)] == [-1, -2]


def _versions_of(other: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    model.ir_version = other.ir_version
    del model.opset_import[:]
    model.opset_import.extend(other.opset_import)
    return model


# bad input


def test_what_cannot_be_portable_says_what_can() -> None:
    model = parsed(
        f"net (float[4] x) => (float[4] y) {{ r = {DRAW} (x) z = PRelu(x, r) y = own.Unused(z) }}",
        opset=17,
        functions='<domain: "own", opset_import: ["": 17]> Unused (x) => (z) { z = Neg(x) }',
    )
    said: list[Finding] = []
    with pytest.raises(InvalidValueError, match=r"opset 17.*functions.*portable=False"):
        ort_rrelu.graph.fuse(model, report=said.append)
    assert not said
    assert fused(model, portable=False)[1][0].fused


def test_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none\.onnx"):
        ort_rrelu.graph.fuse(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(InvalidValueError, match="not an ONNX model"):
        ort_rrelu.graph.fuse(tmp_path / "text.onnx")


def test_portable_of_another_type() -> None:
    with pytest.raises(InvalidTypeError, match="portable='no'"):
        ort_rrelu.graph.fuse(onnx.ModelProto(), portable="no")  # type: ignore[arg-type]


def test_rrelu_node_that_is_not_valid() -> None:
    model = parsed(f"net (float[4] x) => (float[4] y) {{ r = {DRAW} (x) y = PRelu(x, r) }}")
    model.graph.node.append(helper.make_node("RRelu", ["x"], ["z"], "odd", domain="ort_rrelu", trainning=1))
    with pytest.raises(InvalidValueError, match="'trainning'"):
        ort_rrelu.graph.fuse(model)


def test_model_that_onnx_cannot_read() -> None:
    model = parsed(f"net (float[4] x) => (float[4] y) {{ r = {DRAW} (x) y = PRelu(x, r) }}")
    del model.opset_import[:]
    with pytest.raises(InvalidValueError, match="cannot be read"):
        ort_rrelu.graph.fuse(model)


def test_node_without_outputs() -> None:
    """As operators are that print or store something."""
    model = parsed(f"{_X_TO_Y} {{ r = {DRAW} (x) y = PRelu(x, r) }}")
    model.graph.node.add(op_type="Print", domain="own", input=["x"])
    assert ops(fused(model)[0]) == ["RRelu", "Print"]


def test_onnxscript_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(
        MissingPackageError, match=r"onnxscript is not installed: pip install 'ort-rrelu\[fuse\]'"
    ):
        ort_rrelu.graph.fuse(onnx.ModelProto())


def test_import_does_not_import_onnxscript() -> None:
    code = "import sys, ort_rrelu; print({'onnxscript', 'onnx_ir', 'torch'}.intersection(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
