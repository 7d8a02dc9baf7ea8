"""Which models may share a run between requests."""

from __future__ import annotations

import onnx
import pytest

import ort_rrelu
from ort_rrelu.serving import can_batch, obstacles
from tests.serving_models import MODELS, parse

_RANDOM = "y = RandomUniformLike (x)"
_SHARED = "(float[batch,8] x) => (float[batch,8] y)"

_ALONG_THE_BATCH = [
    ("m = ReduceMean <axes = [0]> (x) \n y = Sub (x, m)", 17),
    ("r = ort_rrelu.RRelu (x) \n m = ReduceMax <axes = [-2]> (r) \n y = Sub (r, m)", 17),
    ("m = ReduceMean (x) \n y = Sub (x, m)", 18),
    ("a = Constant <value_ints = [0]> () \n m = ReduceMean (x, a) \n y = Sub (x, m)", 18),
    ("y = Softmax <axis = 0> (x)", 18),
    ("y = Softmax <axis = 0> (x)", 11),
    ("a = Constant <value_int = 0> () \n y = CumSum (x, a)", 18),
    ("t = Transpose (x) \n s = Softmax (t) \n y = Transpose (s)", 18),
    ("i = Constant <value_ints = [0]> () \n first = Gather (x, i) \n y = Add (x, first)", 18),
    ("t = Transpose (x) \n c = MatMul (t, x) \n y = MatMul (x, c)", 18),
    ("c = Gemm <transA = 1> (x, x) \n y = MatMul (x, c)", 18),
]

_BESIDE_THE_BATCH = [
    ("m = ReduceMean <axes = [1]> (x) \n y = Sub (x, m)", 17),
    ("a = Constant <value_ints = [-1]> () \n m = ReduceMean (x, a) \n y = Sub (x, m)", 18),
    ("y = Softmax (x)", 18),
    ("y = Softmax (x)", 11),
    ("y = ReduceMean <noop_with_empty_axes = 1> (x)", 18),
    ("n = Shape (x) \n i = Constant <value_int = 0> () \n one = Gather (n, i) \n y = Identity (x)", 18),
    ("t = Transpose (x) \n u = Transpose (t) \n y = Add (u, x)", 18),
]

_BATCHES = {
    **{
        f"beside the batch: {body}, opset {opset}": parse(f"g {_SHARED} {{ {body} }}", opset=opset)
        for body, opset in _BESIDE_THE_BATCH
    },
    **{name: MODELS[name] for name in ("eval", "numbers", "bfloat16", "strings", "lookup")},
    "portable eval": ort_rrelu.graph.portable(MODELS["eval"]),
    "lowered eval": ort_rrelu.graph.lower(MODELS["eval"]),
    "eval node with a step": parse(f"g {_SHARED} <int64 step = {{3}}> {{ y = ort_rrelu.RRelu (x, step) }}"),
    "dropout in eval mode": parse(f"g {_SHARED} {{ y = Dropout (x) }}"),
}

_REFUSES = {
    "step": (MODELS["train"], "is in train mode"),
    "no step": (MODELS["seeded"], "is in train mode"),
    "lowered train": (ort_rrelu.graph.lower(MODELS["seeded"]), "draws random numbers"),
    "lowered exactly": (ort_rrelu.graph.lower(MODELS["train"], exact=True), "shifts bits"),
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
    "stock exporter's decomposition": (parse(f"g {_SHARED} {{ {_RANDOM} }}"), "draws random numbers"),
    "random stream in standard operators": (
        parse('g (uint64[batch,8] x) => (uint64[batch,8] y) { y = BitShift <direction = "RIGHT"> (x, x) }'),
        "shifts bits",
    ),
    "dropout": (
        parse(f"g {_SHARED} <float ratio = {{0.5}}, bool on = {{1}}> {{ y = Dropout (x, ratio, on) }}"),
        "Dropout",
    ),
    "batch normalization in train mode": (
        parse(
            "g (float[batch,8] x, float[8] s) => (float[batch,8] y) "
            "{ y, m, v = BatchNormalization <training_mode = 1> (x, s, s, s, s) }"
        ),
        "mixes the requests",
    ),
    **{
        f"along the batch: {body}, opset {opset}": (
            parse(f"g {_SHARED} {{ {body} }}", opset=opset),
            "works along the batch",
        )
        for body, opset in _ALONG_THE_BATCH
    },
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
