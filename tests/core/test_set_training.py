"""set_training and seed: attributes of RRelu nodes, and steps where a portable model needs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.graph import add_step_input, lower, portable, set_training
from ort_rrelu.graph import seed as seed_model
from ort_rrelu.graph.nodes import our_nodes, step_of
from tests.bits import assert_same_bits
from tests.onnx_models import Array, parsed, run, session

_X = np.random.default_rng(7).normal(size=(4, 6)).astype(np.float32)


def _rrelu(training: int, seed: int = 5) -> str:
    return f"ort_rrelu.RRelu <training = {training}, lower = 0.1, upper = 0.5, seed = {seed}>"


def _modes(model: onnx.ModelProto) -> list[int]:
    return [next(a.i for a in node.attribute if a.name == "training") for node in our_nodes(model)]


def _seeds(model: onnx.ModelProto) -> list[int]:
    return [next(a.i for a in node.attribute if a.name == "seed") for node in our_nodes(model)]


def _stock(model: onnx.ModelProto, *inputs: Array) -> list[Array]:
    """Without the library."""
    onnx.checker.check_model(model, full_check=True)
    return run(onnxruntime.InferenceSession(model.SerializeToString()), *inputs)


def _reference(x: Array, *, seed: int = 5, step: int | None = None) -> Array:
    train = step is not None
    return np.asarray(reference.rrelu(x, 0.1, 0.5, train, seed=seed, step=step or 0))


_CHAIN = (
    "net (float[4,6] x) => (float[4,6] y) {{"
    "[encoder_a] a = {0} (x) [encoder_b] b = {1} (a) c = Dropout(b) [Head] d = {2} (c) y = {3} (d) }}"
)


def _chain(*modes: int) -> onnx.ModelProto:
    model = parsed(_CHAIN.format(*map(_rrelu, modes)))
    for node in model.graph.node:
        node.name = node.name.replace("_", "/")
    return model


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, [1, 1, 1, 1]),
        ("*", [1, 1, 1, 1]),
        ("encoder/*", [1, 1, 0, 0]),
        ("*/b", [0, 1, 0, 0]),
        ("Head", [0, 0, 1, 0]),
        ("y", [0, 0, 0, 1]),
        ("[Hy]*", [0, 0, 1, 1]),
    ],
)
def test_names(names: str | None, expected: list[int]) -> None:
    model = set_training(_chain(0, 0, 0, 0), True, names=names)
    assert _modes(model) == expected
    back = set_training(_chain(1, 1, 1, 1), False, names=names)
    assert _modes(back) == [1 - mode for mode in expected]


@given(modes=st.lists(st.integers(0, 1), min_size=4, max_size=4), training=st.booleans())
def test_only_the_mode_changes(modes: list[int], training: bool) -> None:
    assert set_training(_chain(*modes), training) == _chain(*[int(training)] * 4)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("decoder*", r"names='decoder\*': no RRelu node .*: 'encoder/a', 'encoder/b', 'Head', 'y'"),
        ("head", "names='head'"),
        ("c", "names='c'"),
        ("", "names=''"),
    ],
)
def test_no_such_name(names: str, message: str) -> None:
    with pytest.raises(ort_rrelu.Error, match=message):
        set_training(_chain(0, 0, 0, 0), True, names=names)


def test_pattern_for_a_model_without_rrelu() -> None:
    with pytest.raises(ort_rrelu.Error, match="there are: none"):
        set_training(parsed("net (float[4,6] x) => (float[4,6] y) { y = Neg(x) }"), True, names="y")


@pytest.mark.parametrize(
    ("arguments", "message"), [({"training": 1}, "training=1"), ({"training": True, "names": 3}, "names=3")]
)
def test_wrong_types(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        set_training(_chain(0, 0, 0, 0), **arguments)
    assert isinstance(caught.value, ort_rrelu.Error)


_BLOCK = """
    <domain: "own", opset_import: ["": 18, "ort_rrelu": 1]> Block <mode, number> (x) => (y) {
        y = ort_rrelu.RRelu <training: int = @mode, lower = 0.1, upper = 0.5, seed: int = @number> (x) }"""


def test_mode_that_a_function_decides() -> None:
    model = parsed(
        "net (float[4,6] x) => (float[4,6] y) { y = own.Block <mode = 1, number = 3> (x) }", functions=_BLOCK
    )
    evaluated = set_training(model, False)
    onnx.checker.check_model(evaluated, full_check=True)
    assert_same_bits(_stock(lower(evaluated), _X)[0], _reference(_X))


# portable models


def test_portable_model_without_steps() -> None:
    model = portable(_chain(0, 0, 0, 0))
    trained = set_training(model, True)
    assert trained == portable(set_training(_chain(0, 0, 0, 0), True))
    of = onnxruntime.InferenceSession(trained.SerializeToString())
    first, second = (run(of, _X)[0] for _ in range(2))
    assert (first != second).any()
    assert set_training(trained, False) == model


def test_eval_nodes_of_a_portable_model_read_its_step() -> None:
    model = portable(parsed(
        "net (float[4,6] x, int64 step) => (float[4,6] y)"
        f"{{ a = {_rrelu(0, 3)} (x) y = {_rrelu(1)} (a, step) }}"
    ))  # fmt: skip
    trained = set_training(model, True)
    for step in (3, 4):
        expected = _reference(_reference(_X, seed=3, step=step), step=step)
        assert_same_bits(_stock(trained, _X, np.array(step))[0], expected)


_LOOP = (
    "net (float[4,6] x{inputs}) => (float[4,6] y) <int64 n = {{3}}, bool go = {{1}}> {{"
    "{before} z = Loop (n, go, x) <body = b (int64 i, bool c, float[4,6] p) => (bool d, float[4,6] r) {{"
    "d = Identity(c) {body} }}> y = {last} }}"
)


@pytest.mark.parametrize("in_loop", [False, True])
def test_eval_node_in_a_loop_of_a_portable_model(in_loop: bool) -> None:
    """Its spare step, if it were kept, would draw the same slopes in each iteration."""
    first = f"q = {_rrelu(1, 3)} (p)" if in_loop else "q = Identity(p)"
    body = f"{first} r = {_rrelu(0, 4)} (q)"
    model = parsed(_LOOP.format(inputs="", before="", body=body, last=f"{_rrelu(1)} (z)"))
    trained = set_training(portable(add_step_input(model)), True)
    expected = _X
    for iteration in range(3):
        step = 9 + (iteration << 32)
        expected = _reference(expected, seed=3, step=step) if in_loop else expected
        expected = _reference(expected, seed=4, step=step)
    expected = _reference(expected, step=9)
    assert_same_bits(_stock(trained, _X, np.array(9))[0], expected)
    assert_same_bits(run(session(trained), _X, np.array(9))[0], expected)


def test_only_loops_read_the_step() -> None:
    """Eval nodes outside have a constant, which would draw the same slopes in each run."""
    model = parsed(
        _LOOP.format(inputs="", before="", body=f"r = {_rrelu(1, 3)} (p)", last=f"{_rrelu(0)} (z)")
    )
    embedded = portable(add_step_input(model))
    trained = set_training(embedded, True)
    assert len(trained.graph.initializer) == len(embedded.graph.initializer) - 1
    expected = _X
    for iteration in range(3):
        expected = _reference(expected, seed=3, step=9 + (iteration << 32))
    assert_same_bits(_stock(trained, _X, np.array(9))[0], _reference(expected, step=9))


def test_steps_that_no_input_reaches_are_refused() -> None:
    model = portable(parsed(
        "net (float[4,6] x) => (float[4,6] y) <int64 k = {7}>"
        f"{{ s = Identity(k) [a] h = {_rrelu(0)} (x) [b] y = {_rrelu(1)} (h, s) }}"
    ))  # fmt: skip
    before = model.SerializeToString()
    with pytest.raises(ort_rrelu.Error, match=r'RRelu node "a" trains without a step'):
        set_training(model, True)
    assert model.SerializeToString() == before


def test_step_survives_a_switch_to_eval_and_back() -> None:
    for make in (portable, lambda model: model):
        model = make(add_step_input(_chain(1, 1, 1, 1)))
        assert set_training(set_training(model, False), True) == model


def test_step_input_serves_nodes_that_train_later() -> None:
    model = set_training(add_step_input(_chain(1, 0, 0, 1)), True)
    assert list(map(step_of, our_nodes(model))) == ["step", "", "", "step"]
    wired = add_step_input(model)
    assert list(map(step_of, our_nodes(wired))) == ["step"] * 4
    assert [value.name for value in wired.graph.input] == ["x", "step"]


# seed


@given(modes=st.lists(st.integers(0, 1), min_size=4, max_size=4), seed=st.integers(0, 2**63 - 1))
def test_seeds_are_derived_by_position_among_train_nodes(modes: list[int], seed: int) -> None:
    model = seed_model(_chain(*modes), seed)
    positions = np.cumsum(modes) - 1
    expected = [
        reference.derive_seed(seed, int(p)) if m else 5 for m, p in zip(modes, positions, strict=True)
    ]
    assert _seeds(model) == expected
    assert _modes(model) == modes


def test_seed_of_a_portable_model() -> None:
    model = add_step_input(portable(_chain(1, 0, 0, 1)))
    seeded = seed_model(model, 11)
    first, last = (reference.derive_seed(11, i) for i in range(2))
    expected = _reference(_reference(_reference(_reference(_X, seed=first, step=2))), seed=last, step=2)
    for y in (_stock(seeded, _X, np.array(2))[0], run(session(seeded), _X, np.array(2))[0]):
        assert_same_bits(y, expected)


def test_seed_in_functions() -> None:
    outer = '<domain: "own", opset_import: ["": 18, "own": 1]> Outer (x) => (y) { %s }'
    once = "y = own.Block <mode = 1, number = 3> (x)"
    text = "net (float[4,6] x) => (float[4,6] y) { %s }"
    called_once = parsed(text % "y = own.Outer(x)", functions=outer % once + _BLOCK)
    assert _seeds(seed_model(called_once, 3)) == [reference.derive_seed(3, 0)]
    shared = {
        "in the graph": parsed(text % "h = own.Outer(x) y = own.Outer(h)", functions=outer % once + _BLOCK),
        "in a function": parsed(
            text % "y = own.Outer(x)",
            functions=outer % f"h = own.Block <mode = 0, number = 1> (x) {once.replace('(x)', '(h)')}"
            + _BLOCK,
        ),
    }
    for model in shared.values():
        with pytest.raises(ort_rrelu.Error, match="is in function Block, which is called several times"):
            seed_model(model, 3)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, None, "1"])
def test_wrong_seeds(seed: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="seed") as caught:
        seed_model(_chain(1, 1, 1, 1), seed)
    assert isinstance(caught.value, ort_rrelu.Error)


# together


@settings(max_examples=12)
@given(
    modes=st.lists(st.booleans(), min_size=4, max_size=4),
    seed=st.integers(0, 2**63 - 1),
    step=st.integers(-(2**63), 2**63 - 1),
    embedded=st.booleans(),
)
def test_exactly_lowered_model_gives_the_kernels_bits(
    modes: list[bool], seed: int, step: int, embedded: bool
) -> None:
    model = _chain(0, 0, 0, 0)
    for name, mode in zip(("encoder/a", "encoder/b", "Head", "y"), modes, strict=True):
        model = set_training(model, mode, names=name)
    model = add_step_input(seed_model(model, seed))
    steps = [np.array(step)] * any(modes)
    lowered = lower(portable(model) if embedded else model, exact=True)
    assert_same_bits(_stock(lowered, _X, *steps)[0], run(session(model), _X, *steps)[0])
