"""What all graph tools share: models in and out, files, weights in other files, models without RRelu."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import ort_rrelu
from tests.bits import assert_same_bits
from tests.onnx_models import Array, parsed, run, session

Tool = Callable[[Any], onnx.ModelProto]

_TOOLS: dict[str, Tool] = {
    "portable": ort_rrelu.graph.portable,
    "lower": ort_rrelu.graph.lower,
    "lower exactly": partial(ort_rrelu.graph.lower, exact=True),
    "set_training to True": partial(ort_rrelu.graph.set_training, training=True),
    "set_training to False": partial(ort_rrelu.graph.set_training, training=False),
    "seed": partial(ort_rrelu.graph.seed, seed=3),
    "add_step_input": ort_rrelu.graph.add_step_input,
}
every_tool = pytest.mark.parametrize("tool", _TOOLS.values(), ids=_TOOLS)

_X = np.random.default_rng(7).normal(size=(4, 6)).astype(np.float32)
_EVAL = "ort_rrelu.RRelu <training = 0, lower = 0.1, upper = 0.5, seed = 3>"


def _rich_model() -> onnx.ModelProto:
    model = parsed(
        f"""net (float[4,6] x) => (float[4,6] y) <float[6] w = {{1, 2, 3, 4, 5, 6}}, float[4,6] a> {{
            [first] a = {_EVAL} (x)
            [scaled] q = Mul(a, w)
            [own] y = own.Twice(q) }}""",
        functions='<domain: "own", opset_import: ["": 18]> Twice (x) => (y) { [sum] y = Add(x, x) }',
    )
    model.producer_name, model.doc_string, model.graph.doc_string = "me", "a model", "a graph"
    model.metadata_props.add(key="a", value="b")
    model.graph.node[0].metadata_props.add(key="c", value="d")
    model.graph.value_info.append(helper.make_tensor_value_info("q", TensorProto.FLOAT, [4, 6]))
    return model


@every_tool
def test_model_is_not_changed(tool: Tool) -> None:
    model = _rich_model()
    before = model.SerializeToString()
    tool(model)
    assert model.SerializeToString() == before


@every_tool
def test_everything_else_stays(tool: Tool) -> None:
    model = _rich_model()
    made = tool(model)
    functions = [function for function in made.functions if function.domain == "own"]
    nodes = [*made.graph.node, *(node for function in functions for node in function.node)]
    assert [node.name for node in nodes] == ["first", "scaled", "own", "sum"]
    assert [function.name for function in functions] == ["Twice"]
    assert made.graph.value_info == model.graph.value_info
    assert made.graph.initializer == model.graph.initializer
    assert made.metadata_props == model.metadata_props
    (first,) = (node for node in made.graph.node if node.name == "first")
    assert [(p.key, p.value) for p in first.metadata_props] == [("c", "d")]
    assert (made.producer_name, made.doc_string, made.graph.doc_string) == ("me", "a model", "a graph")
    assert {"own", ""} <= {entry.domain for entry in made.opset_import}


# models without RRelu


@st.composite
def _models_without_rrelu(draw: st.DrawFn) -> onnx.ModelProto:
    body = draw(st.sampled_from([
        "y = Relu(x)",
        "y = own.Unknown <a = 1.5> (x)",
        "y = own.F(x)",
        "c = Cast <to = 9> (x) y = If (c) <then_branch = t () => (float[n] u) { u = Neg(x) },"
        "else_branch = e () => (float[n] v) { v = Abs(x) }>",
        "s = RandomUniformLike <low = 0.1, high = 0.3> (x) y = PRelu(x, s)",
        "y = LeakyRelu <alpha = 0.2> (x)",
    ]))  # fmt: skip
    model = parsed(
        f"net (float[n] x) => (float[n] y) {{ {body} }}",
        opset=draw(st.integers(1, 24)),
        ir_version=draw(st.integers(3, 13)),
        functions='<domain: "own", opset_import: ["": 15]> F (x) => (y) { y = Relu(x) }',
    )
    if draw(st.booleans()):
        del model.opset_import[1:]
    if draw(st.booleans()):
        del model.functions[:]
    for text in draw(st.lists(st.text(max_size=5), max_size=3)):
        model.metadata_props.add(key=text, value=text[::-1])
    model.graph.doc_string = draw(st.text(max_size=5))
    return model


@every_tool
@settings(max_examples=40)
@given(model=_models_without_rrelu())
def test_model_without_rrelu_is_returned_to_the_byte(tool: Tool, model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    made = tool(model)
    assert made is not model
    assert made.SerializeToString() == before


# files


@every_tool
def test_path(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(_rich_model(), path)
    assert tool(path) == tool(str(path)) == tool(_rich_model())
    assert path.read_bytes() == _rich_model().SerializeToString()


_NO_MODELS: dict[str, tuple[Any, type[Exception], str]] = {
    "no file": ("missing.onnx", FileNotFoundError, "no model file missing.onnx"),
    "text": ("text.onnx", ValueError, r"text\.onnx: not an ONNX model"),
    "number": (3, TypeError, "model is a int"),
    "nothing": (None, TypeError, "model is a NoneType"),
    "misspelt attribute": (
        parsed("net (float[n] x) => (float[n] y) { y = ort_rrelu.RRelu <trainning = 1> (x) }"),
        ValueError,
        "did you mean 'training'",
    ),
    "attribute of a wrong type": (
        parsed('net (float[n] x) => (float[n] y) { [a] y = ort_rrelu.RRelu <lower = "1"> (x) }'),
        ValueError,
        'node "a": attribute lower is of type STRING',
    ),
    "bounds": (
        parsed("net (float[n] x) => (float[n] y) { [a] y = ort_rrelu.RRelu <lower = 2.0> (x) }"),
        ValueError,
        'node "a": lower',
    ),
}


@every_tool
@pytest.mark.parametrize(("given_", "kind", "message"), _NO_MODELS.values(), ids=_NO_MODELS)
def test_refused(
    tool: Tool,
    given_: Any,
    kind: type[Exception],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.onnx").write_text("not a model")
    with pytest.raises(kind, match=message) as caught:
        tool(given_)
    assert isinstance(caught.value, ort_rrelu.Error)


@pytest.mark.parametrize("tool", [_TOOLS["portable"], _TOOLS["lower exactly"]], ids=["portable", "lower"])
def test_opset_that_is_too_old_is_named(tool: Tool) -> None:
    model = parsed(
        "net (float[n] x, int64 s) => (float[n] y) {"
        "h = ort_rrelu.RRelu <training = 1, seed = 1> (x, s) y = own.F (h) }",
        opset=12,
        functions='<domain: "own", opset_import: ["": 12]> F (x) => (y) { y = Relu(x) }',
    )
    with pytest.raises(ort_rrelu.Error, match="the model has opset 12, and 18 or newer is needed"):
        tool(model)


# weights in other files

_SIZE = 3 * 2**30


def _external(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> onnx.TensorProto:
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _save_with_external_weights(folder: Path, location: str = "weights/net.data") -> tuple[Path, Array]:
    """A model whose weights are 3 GiB of nothing with six numbers near the end."""
    scales = np.arange(1, 7, dtype=np.float32)
    offset = _SIZE - 2**20
    model = parsed(
        f"net (float[4,6] x) => (float[4,6] y) {{ a = {_EVAL} (x) b = {_EVAL} (a) y = Mul(b, w) }}"
    )
    big = onnx.TensorProto(name="big", data_type=TensorProto.FLOAT, dims=[offset // 4])
    small = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[6])
    model.graph.initializer.extend([
        _external(big, location, 0, offset), _external(small, location, offset, scales.nbytes),
    ])  # fmt: skip
    data = folder / location
    data.parent.mkdir(parents=True, exist_ok=True)
    with data.open("wb") as file:
        file.seek(offset)
        file.write(scales.tobytes())
        file.truncate(_SIZE)
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx", scales


_CHILD = """
import json, re, sys
from pathlib import Path
from ort_rrelu import graph
from ort_rrelu.graph.file import write_model
source, target, calls = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
model = source
for name, arguments in calls:
    model = getattr(graph, name)(model, **arguments)
write_model(model, target, weights_from=source.parent)
# Not ru_maxrss, which begins with the parent's.
print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""
_CALLS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "portable": [("portable", {})],
    "lower": [("lower", {})],
    "others": [("set_training", {"training": True}), ("seed", {"seed": 3}), ("add_step_input", {})],
    "exactly": [
        ("set_training", {"training": True}),
        ("seed", {"seed": 3}),
        ("add_step_input", {}),
        ("lower", {"exact": True}),
    ],
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("calls", _CALLS.values(), ids=_CALLS)
def test_weights_are_neither_loaded_nor_lost(calls: list[Any], tmp_path: Path) -> None:
    source, scales = _save_with_external_weights(tmp_path)
    target = tmp_path / "elsewhere" / "made.onnx"
    target.parent.mkdir()
    child = [sys.executable, "-c", _CHILD, str(source), str(target), json.dumps(calls)]
    done = subprocess.run(child, check=True, capture_output=True, text=True, timeout=120)
    assert int(done.stdout) * 1024 < 2**30
    data = target.parent / "weights" / "net.data"
    assert data.stat().st_size == _SIZE
    assert data.stat().st_blocks * 512 < 2**22  # holes are still holes
    made = onnx.load(target, load_external_data=False)
    steps = [np.array(5)] * (len(made.graph.input) - 1)
    del made.graph.initializer[0]  # which nothing reads, and ONNX Runtime would
    onnx.save(made, target)
    options = onnxruntime.SessionOptions()
    (y,) = run(onnxruntime.InferenceSession(target, ort_rrelu.register(options)), _X, *steps)
    expected = onnx.ModelProto()
    expected.CopyFrom(made)
    del expected.graph.initializer[:]
    expected.graph.initializer.append(onnx.numpy_helper.from_array(scales, "w"))
    assert_same_bits(y, run(session(expected), _X, *steps)[0])
