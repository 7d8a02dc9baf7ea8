"""Our functions under the names that tools give them when they merge models: nodes get their kernels back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import compose, helper, numpy_helper, version_converter

import ort_rrelu
from ort_rrelu import functions, graph, schema
from ort_rrelu.graph.embedding import is_portable
from ort_rrelu.graph.nodes import function_nodes, subgraphs
from ort_rrelu.graph.recognition import KNOWN_BODIES, digest
from tests.bits import assert_same_bits
from tests.golden.cases import SEED_OF_SESSIONS, Case, cases, entries, file
from tests.onnx_models import Array, stock_session

_X = np.random.default_rng(5).normal(size=(3, 40)).astype(np.float32)
_STEP = np.array(2**35 + 1)
_CASES = [case for case in cases("portable") if case.name.startswith("float32")]


def _session(model: onnx.ModelProto) -> Any:
    return ort_rrelu.InferenceSession(
        model.SerializeToString(), seed=SEED_OF_SESSIONS, providers=["CPUExecutionProvider"], lower_eval=False
    )


def _prefixed(model: onnx.ModelProto, prefix: str = "a/") -> onnx.ModelProto:
    """With new names of functions alone."""
    kinds = ("nodes", "edges", "inputs", "outputs", "initializers", "value_infos")
    switches = {f"rename_{kind}": False for kind in kinds}
    return compose.add_prefix(model, prefix, **switches)


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_the_kernels_run(case: Case) -> None:
    """Only they count the runs of a node and know the seed of a session."""
    session = _session(_prefixed(onnx.load_model_from_string(case.model)))
    for expected in case.runs:
        for actual, output in zip(session.run(None, case.feeds), expected, strict=True):
            assert_same_bits(actual, output)


_TOOLS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "portable": graph.portable,
    "lower": graph.lower,
    "seed": lambda model: graph.seed(model, 3),
    "set_training": lambda model: graph.set_training(model, True),
    "add_step_input": graph.add_step_input,
}


@pytest.mark.parametrize("tool", _TOOLS)
def test_a_tool_makes_of_a_model_what_it_makes_without_the_prefix(tool: str) -> None:
    for case in _CASES:
        model = onnx.load_model_from_string(case.model)
        wanted = _TOOLS[tool](model).SerializeToString(deterministic=True)
        renamed = _prefixed(_prefixed(model, "a/"), "b.")
        before = renamed.SerializeToString()
        assert _TOOLS[tool](renamed).SerializeToString(deterministic=True) == wanted, case.name
        assert renamed.SerializeToString() == before


def _parse(body: str, inputs: str = "float[3,40] x, int64 step") -> onnx.ModelProto:
    text = f'<ir_version: 8, opset_import: ["": 18, "ort_rrelu": 1]> net ({inputs}) => (float[3,40] y) '
    return onnx.parser.parse_model(f"{text} {{ {body} }}")


_EVAL = "y = ort_rrelu.RRelu <lower = 0.1, upper = 0.5> (x)"
_TRAIN = "y = ort_rrelu.RRelu <training = 1, seed = 4> (x, step)"
_NOISE = "r, n = ort_rrelu.RRelu <training = 1, seed = 5> (x, step) y = Add (r, n)"
_GRADIENT = "r, n = ort_rrelu.RRelu <training = 1, seed = 6> (x, step) y = ort_rrelu.RReluGrad (r, n)"
_COUNTING = "y = ort_rrelu.RRelu <training = 1, seed = 7> (x)"


def _merged(first: str, second: str, prefix1: str = "a/", prefix2: str = "b/") -> onnx.ModelProto:
    """One portable model after the other."""
    models = [
        graph.portable(_parse(body, "float[3,40] x, int64 step" if "step" in body else "float[3,40] x"))
        for body in (first, second)
    ]
    one, two = models
    return compose.merge_models(one, two, [("y", "x")], prefix1=prefix1 or None, prefix2=prefix2 or None)


def _feeds(session: Any) -> dict[str, Array]:
    return {value.name: _STEP if value.name.endswith("step") else _X for value in session.get_inputs()}


def _run(session: Any) -> Array:
    output: Array = session.run(None, _feeds(session))[0]
    return output


@pytest.mark.parametrize(
    ("first", "second"),
    [*itertools.combinations_with_replacement([_EVAL, _TRAIN, _NOISE, _GRADIENT], 2), (_NOISE, _EVAL)],
)
def test_merged_models_share_one_function_that_fits_them(first: str, second: str) -> None:
    merged = _merged(first, second)
    seeded = graph.seed(merged, 8)
    names = [function.name for function in seeded.functions]
    assert names == [schema.RRELU, schema.RRELU_GRAD][: len(names)]
    assert_same_bits(_run(_session(merged)), _run(stock_session(merged)))
    assert_same_bits(_run(_session(seeded)), _run(stock_session(seeded)))


@pytest.mark.parametrize("prefixes", [("", "b/"), ("a/", "")])
@pytest.mark.parametrize(("first", "second"), [(_EVAL, _EVAL), (_EVAL, _NOISE), (_NOISE, _EVAL)])
def test_a_function_may_have_its_name_already(first: str, second: str, prefixes: tuple[str, str]) -> None:
    merged = _merged(first, second, *prefixes)
    read = graph.set_training(merged, False)
    assert [function.name for function in read.functions] == [schema.RRELU]
    assert {node.op_type for node in read.graph.node} - {"Add"} == {schema.RRELU}
    assert_same_bits(_run(_session(merged)), _run(stock_session(merged)))


def test_merged_models_that_count_their_runs() -> None:
    merged = _merged(_COUNTING, _COUNTING.replace("7", "8"))
    assert is_portable(graph.seed(merged, 8))
    session, other = _session(merged), _session(merged)
    first, second = _run(session), _run(session)
    assert (first != second).any()
    assert_same_bits(_run(other), first)


def test_train_nodes_with_and_without_a_step_leave_only_the_kernels() -> None:
    merged = _merged(_COUNTING, _TRAIN)
    with pytest.warns(UserWarning, match="trains without a step.*graph.add_step_input"):
        session = _session(merged)
    first, second = _run(session), _run(session)
    assert (first != second).any()  # the first node counts its runs, ...
    with pytest.warns(UserWarning, match="are dropped"):
        again = _session(merged)
    assert_same_bits(_run(again), first)  # ... from 0 in every session
    with pytest.warns(UserWarning, match="are dropped"):
        wired = graph.add_step_input(merged, "b/step")
    assert is_portable(graph.portable(wired))


def test_nodes_in_bodies_and_in_functions_of_the_model() -> None:
    """add_prefix renames the functions, and of the nodes only those that are in no body."""
    body = """
        c = Constant <value_int = 1> () d = Cast <to = 9> (c)
        a = If (d) <then_branch = t () => (u) { u = ort_rrelu.RRelu <training = 1, seed = 1> (x, step) },
                    else_branch = e () => (v) { v = Identity (x) }>
        y = ort_rrelu.RRelu <training = 1, seed = 2> (a, step) """
    model = _parse(body)
    expected = _run(_session(model))
    renamed = compose.add_prefix(graph.portable(model), "a/")
    assert_same_bits(_run(_session(renamed)), expected)
    assert_same_bits(_run(stock_session(graph.portable(renamed))), expected)
    ours = helper.make_node("RRelu", ["p", "q"], ["r"], domain=schema.DOMAIN, training=1, seed=2)
    imports = [helper.make_opsetid("", 18), schema.opset_import()]
    outer = helper.make_function("mine", "outer", ["p", "q"], ["r"], [ours], imports)
    called = _parse("y = mine.outer (x, step)")
    called.opset_import.append(helper.make_opsetid("mine", 1))
    called.functions.append(outer)
    renamed = compose.add_prefix(graph.portable(called), "a/")
    assert {function.name for function in renamed.functions} == {"a/outer", "a/RRelu"}
    assert_same_bits(_run(_session(renamed)), _run(_session(_parse(_TRAIN.replace("4", "2")))))


def _bodies() -> Iterator[tuple[str, onnx.FunctionProto]]:
    """Of 0.1.0, those that came with steps of rows, and today's."""
    for archive in ("functions.zip", "functions_rows.zip"):
        for entry in entries(archive):
            if "21" not in entry and "24" not in entry:
                yield f"{archive}: {entry}", onnx.FunctionProto.FromString(file(archive, entry))
    for step, noise, opset in itertools.product((False, True), (False, True), (18, 25)):
        shape = functions.Shape(step=step, noise=noise)
        for usual in (None, (0.0, 0.02)):
            yield f"today: {shape} {opset} {usual}", functions.rrelu(shape, opset, usual)
    yield "today: gradient", functions.rrelu_grad(18)


def test_every_body_is_known_for_good() -> None:
    """A body that was changed needs its digests in graph/recognition.py, beside the old ones."""
    digests = {name: (digest(body), body.name) for name, body in _bodies()}
    unknown = {each for each, name in digests.values() if KNOWN_BODIES.get(each) != name}
    assert not unknown, f"add to graph/recognition.py: {sorted(unknown)}"
    for archive, count in {"functions.zip": 17, "functions_rows.zip": 8}.items():
        assert len({each for name, each in digests.items() if name.startswith(f"{archive}:")}) == count


def _rename_values(nodes: Any) -> None:
    for node in nodes:
        node.name = f"node of {node.output[0]}"
        for names in (node.input, node.output):
            names[:] = [name and f"q.{name}" for name in names]
        for body in subgraphs(node):
            _rename_values(body.node)
            for value in body.output:
                value.name = f"q.{value.name}"


def test_names_of_values_and_nodes_mean_nothing() -> None:
    for name, body in _bodies():
        before = digest(body)
        _rename_values(body.node)
        for names in (body.input, body.output):
            names[:] = [f"q.{each}" for each in names]
        body.doc_string, body.name = "", "other"
        assert digest(body) == before, name


def _is_tensor(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant" and node.attribute[0].HasField("t")


def test_constants_that_became_initializers_and_defaults_that_were_written() -> None:
    """As onnxslim and onnx_ir's passes write them."""
    for name, body in _bodies():
        before = digest(body)
        for node in list(function_nodes(body)):
            if node.op_type == "Cast" and not any(a.name == "saturate" for a in node.attribute):
                node.attribute.append(helper.make_attribute("saturate", 1))
            for branch in subgraphs(node):
                constants = [
                    n for n in branch.node if n.op_type == "Constant" and n.attribute[0].HasField("t")
                ]
                for constant in constants:
                    tensor = branch.initializer.add()
                    tensor.CopyFrom(constant.attribute[0].t)
                    tensor.name = constant.output[0]
                    branch.node.remove(constant)
        assert digest(body) == before, name


_OTHER_OPS = {
    "Add": "Sub",
    "Mul": "Div",
    "LessOrEqual": "Less",
    "Greater": "Less",
    "Abs": "Neg",
    "Xor": "And",
}


_PLACES = 12


def _change(node: onnx.NodeProto) -> None:
    """Let it compute something else, in place."""
    if node.op_type in _OTHER_OPS:
        node.op_type = _OTHER_OPS[node.op_type]
    elif _is_tensor(node):
        value = numpy_helper.to_array(node.attribute[0].t)
        changed = (
            np.append(value, 1) if not value.size else value ^ True if value.dtype == bool else value * 3 + 1
        )
        node.attribute[0].t.CopyFrom(numpy_helper.from_array(changed.astype(value.dtype)))
    elif node.op_type == "LeakyRelu":
        node.attribute[0].f += 0.125
    elif node.op_type == "If":
        node.attribute[0].name, node.attribute[1].name = node.attribute[1].name, node.attribute[0].name
    elif node.op_type == "Cast":
        node.attribute[0].i = 2 if node.attribute[0].i != 2 else 3
    else:
        node.domain = "other"


@pytest.mark.parametrize("first", range(_PLACES))
def test_a_body_with_any_other_node_is_not_ours(first: int) -> None:
    """Each body has another part of the nodes changed, one after the other."""
    every = [name for name in entries("functions.zip") if "RRelu opset 18" in name]
    assert len(every) == _PLACES
    data = file("functions.zip", every[first])
    count = len(list(function_nodes(onnx.FunctionProto.FromString(data))))
    for place in range(first, count, _PLACES):
        body = onnx.FunctionProto.FromString(data)
        node = list(function_nodes(body))[place]
        _change(node)
        assert digest(body) not in KNOWN_BODIES, node


def test_a_function_of_our_domain_that_is_not_ours_stays_an_error() -> None:
    renamed = _prefixed(graph.portable(_parse(_TRAIN)), "RRelu_of_")
    renamed.functions[0].node[0].attribute[0].ref_attr_name = "seed"  # for training
    for call in (_session, *_TOOLS.values()):
        with pytest.raises(ort_rrelu.errors.InvalidValueError, match="unknown op 'RRelu_of_RRelu'"):
            call(renamed)


def test_weights_in_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _parse("w = Identity (b) a = Add (x, w) y = ort_rrelu.RRelu <training = 1, seed = 2> (a, step)")
    model.graph.initializer.append(numpy_helper.from_array(np.ones((3, 40), np.float32), "b"))
    expected = _run(_session(model))
    path = tmp_path / "net.onnx"
    onnx.save(_prefixed(graph.portable(model)), path, save_as_external_data=True, size_threshold=256)
    monkeypatch.chdir(tmp_path.parent)
    assert_same_bits(_run(ort_rrelu.InferenceSession(path, providers=["CPUExecutionProvider"])), expected)


def test_after_onnx_s_version_converter_portable_gives_the_functions_back() -> None:
    """It drops them without a word."""
    model = graph.portable(_parse(_GRADIENT))
    converted = version_converter.convert_version(model, 20)
    assert not converted.functions
    again = graph.portable(converted)
    assert_same_bits(_run(stock_session(again)), _run(_session(model)))
