"""Which models may share a run between requests."""

from __future__ import annotations

import onnx
import pytest

import ort_rrelu
from ort_rrelu.graph.rows.rules import RULES
from ort_rrelu.serving import can_batch, obstacles
from tests.rows.apart import APART
from tests.rows.cases import Case
from tests.rows.mixing import MIXING
from tests.rows.runs import check_rows
from tests.serving_models import MODELS, parse

_SHARED = "(float[batch,8] x) => (float[batch,8] y)"


def _with_function(body: str, attributes: str = "", overload: str = "") -> onnx.ModelProto:
    """A model that calls a function of its own, whose attribute `along` is 1 where it is not given."""
    return onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18, "ort_rrelu": 1, "local": 1]> '
        f"g {_SHARED} {{ y = local.f {attributes} (x) }} "
        '<opset_import: ["": 18, "ort_rrelu": 1, "local": 1], domain: "local"> '
        f"f <along: int = 1> (a) => (b) {{ {body} }}"
    )


def _declared(model: onnx.ModelProto, name: str, *dims: int | str) -> onnx.ModelProto:
    """With a shape for one of its values, right or wrong."""
    info = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims)
    model.graph.value_info.append(info)
    return model


_BATCHES = {
    **{f"{case.body}, opset {case.opset}": case.model() for case in APART},
    **{name: MODELS[name] for name in ("eval", "numbers", "bfloat16", "strings", "lookup")},
    "portable eval": ort_rrelu.graph.portable(MODELS["eval"]),
    "lowered eval": ort_rrelu.graph.lower(MODELS["eval"]),
    "eval node with a step": parse(f"g {_SHARED} <int64 step = {{3}}> {{ y = ort_rrelu.RRelu (x, step) }}"),
    "number of rows that nothing reads": parse(
        f"g {_SHARED} <int64 i = {{0}}> {{ n = Shape (x) \n one = Gather (n, i) \n y = Identity (x) }}"
    ),
    "function that is looked into": _with_function("b = Softmax (a)"),
    "attribute of a function": _with_function("b = Softmax <axis: int = @along> (a)", "<along = 1>"),
    "default of a function's attribute": _with_function("b = Softmax <axis: int = @along> (a)"),
    "eval mode of a function": _with_function(
        "b = ort_rrelu.RRelu <training: int = @along> (a)", "<along = 0>"
    ),
}

_REFUSES = {
    "step": (MODELS["train"], "is in train mode"),
    "no step": (MODELS["seeded"], "is in train mode"),
    "lowered train": (ort_rrelu.graph.lower(MODELS["seeded"]), "draws random numbers"),
    "lowered exactly": (
        ort_rrelu.graph.lower(MODELS["train"], exact=True),
        "computes with the number of rows",
    ),
    "portable train": (ort_rrelu.graph.portable(MODELS["train"]), "is in train mode"),
    "step input alone": (
        parse("g (float[batch,8] x, int64 step) => (float[batch,8] y) { y = ort_rrelu.RRelu (x, step) }"),
        'input "step"',
    ),
    "in a branch": (
        parse(
            f"g {_SHARED} <bool yes = {{1}}> {{ y = If (yes) <"
            "then_branch = t () => (float[batch,8] a) { a = ort_rrelu.RRelu <training = 1> (x) },"
            "else_branch = e () => (float[batch,8] b) { b = Identity (x) }> }"
        ),
        "is in train mode",
    ),
    "in a function": (
        onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["": 18, "ort_rrelu": 1, "local": 1]> '
            f"g {_SHARED} {{ y = local.noisy (x) }} "
            '<opset_import: ["ort_rrelu": 1], domain: "local"> '
            "noisy (a) => (b) { b = ort_rrelu.RRelu <training = 1> (a) }"
        ),
        "is in train mode",
    ),
    "attribute of a function": (
        _with_function("b = Softmax <axis: int = @along> (a)", "<along = 0>"),
        "Softmax",
    ),
    "train mode of a function": (
        _with_function("b = ort_rrelu.RRelu <training: int = @along> (a)"),
        "is in train mode",
    ),
    "foreign domain": (
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["": 18, "com.microsoft": 1]> g {_SHARED} '
            "{ y = com.microsoft.Gelu (x) }"
        ),
        "is not known to keep the rows",
    ),
    "function of a runtime's domain": (
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["": 18, "com.microsoft": 1]> g {_SHARED} '
            '{ y = com.microsoft.Gelu (x) } <opset_import: ["": 18], domain: "com.microsoft"> '
            "Gelu (a) => (b) { b = Relu (a) }"
        ),
        "is not looked into",
    ),
    "function in place of a standard operator": (
        onnx.parser.parse_model(
            f'<ir_version: 8, opset_import: ["": 18]> g {_SHARED} '
            '{ y = Relu (x) } <opset_import: ["": 18], domain: "ai.onnx"> Relu (a) => (b) { b = Neg (a) }'
        ),
        "is not looked into",
    ),
    "wrong shapes in the file": (
        _declared(
            parse(
                f"g {_SHARED} <int64[1] i = {{0}}> {{ t = Transpose (x) \n u = Softmax <axis = 1> (t) "
                "\n y = Transpose (u) }"
            ),
            *("t", "batch", 8),
        ),
        "works along the batch",
    ),
    "rows that an output lacks": (
        parse("g (float[batch,2] x) => (float[batch] y) { y = Constant <value_floats = [1.0, 2.0]> () }"),
        "the same for every batch",
    ),
    "batch on another axis": (
        parse("g (float[batch,8] x) => (float[batch,n] y) { y = Transpose (x) }"),
        "elsewhere than one by one on its first axis",
    ),
    "several elements of a row": (
        parse("g (float[batch,8] x) => (float[batch,4] y) <int64[2] s = {-1, 4}> { y = Reshape (x, s) }"),
        "elsewhere than one by one on its first axis",
    ),
    "number of rows as an answer": (
        parse("g (float[batch,8] x) => (int64[batch] y) { y = Shape <start = 0, end = 1> (x) }"),
        "depends on the number of rows",
    ),
    **{f"{case.body}, opset {case.opset}": (case.model(), reason) for case, reason in MIXING},
    "fixed batch": (parse("g (float[1,8] x) => (float[1,8] y) { y = Identity (x) }"), 'input "x"'),
    "answer without batch": (
        parse("g (float[batch,8] x) => (float y) { y = ReduceMean <keepdims = 0> (x) }"),
        'output "y"',
    ),
    "other open dimension": (
        parse("g (float[batch,n] x) => (float[batch,n] y) { y = Identity (x) }"),
        "other open dimensions",
    ),
    "two batches": (
        parse("g (float[a,8] x, float[b,8] z) => (float[a,8] y) { y = Identity (x) }"),
        'input "z"',
    ),
    "no input": (parse("g () => (float[2] y) { y = Constant <value_floats = [1.0, 2.0]> () }"), "no input"),
}


@pytest.mark.parametrize("name", _BATCHES)
def test_may_batch(name: str) -> None:
    assert list(obstacles(_BATCHES[name])) == []
    assert can_batch(_BATCHES[name])


@pytest.mark.parametrize("name", _REFUSES)
def test_must_not_batch(name: str) -> None:
    model, reason = _REFUSES[name]
    assert any(reason in text for text in obstacles(model)), list(obstacles(model))
    assert not can_batch(model)


def test_every_rule_has_a_case() -> None:
    """Of an operator that keeps rows apart, at least in some place."""
    assert set(RULES) <= {node.op_type for case in APART for node in case.model().graph.node}


@pytest.mark.parametrize("case", APART, ids=lambda case: case.body)
def test_rows_are_the_same_alone(case: Case) -> None:
    """What the rule says of an operator, in a runtime."""
    check_rows(case.model(), seed=0)


@pytest.mark.parametrize("name", ["train", "eval"])
def test_mode_alone_decides(name: str) -> None:
    """The same graph, but for the attribute."""
    model = onnx.ModelProto()
    model.CopyFrom(MODELS["seeded"])
    training = next(a for a in model.graph.node[0].attribute if a.name == "training")
    training.i = int(name == "train")
    assert can_batch(model) == (name == "eval")


@pytest.mark.parametrize("name", ["eval", "train"])
def test_functions_that_a_merging_tool_renamed_are_ours(name: str) -> None:
    """Their bodies, which draw in another branch, are not what runs."""
    portable = ort_rrelu.graph.portable(MODELS[name])
    renamed = onnx.compose.add_prefix(portable, "a/", rename_inputs=False, rename_outputs=False)
    assert can_batch(renamed) is (name == "eval")
    (reason, *_) = [*obstacles(renamed), "none"]
    assert name == "eval" or reason.startswith('ort_rrelu:RRelu node with output "y" is in train mode')


@pytest.mark.parametrize("model", ["net.onnx", None], ids=str)
def test_what_is_no_model_is_refused(model: object) -> None:
    with pytest.raises(
        ort_rrelu.errors.InvalidTypeError, match=r"model is a .*: it must be an onnx\.ModelProto"
    ):
        can_batch(model)  # type: ignore[arg-type]
