"""fuse where other nodes read a part of a form: what does not depend on the draw stays for them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.fusing import DRAW, fused, ops, parsed, values_of, without_library

_MASKS = "m = Less(zero, x) n = Not(m) pos = Cast <to = 1> (m) neg = Cast <to = 1> (n) a = Mul(pos, x)"
_SUM = f"{_MASKS} rx = Mul(r, x) b = Mul(rx, neg) y = Add(a, b)"
_X = np.random.default_rng(0).uniform(0.5, 3, (40, 8)) * np.random.default_rng(1).choice([-1, 1], (40, 8))

# Nodes that end in y, of slopes r, and what else is computed.
_SHARED = {
    "the mask of a sum, by a choice": (_SUM, "z = Where(m, x, zero)"),
    "the opposite mask": (_SUM, "z = Where(n, x, zero)"),
    "the mask as a number": (_SUM, "z = Add(neg, x)"),
    "the term without a slope": (_SUM, "z = Mul(a, x)"),
    "the mask of a sum, in a body": (
        _SUM,
        """k = ReduceMax <keepdims = 0> (x) c = Greater(k, zero)
        z = If (c) <then_branch = t () => (float[40, 8] p) { p = Where(m, x, zero) },
                    else_branch = e () => (float[40, 8] q) { q = Identity(x) }>""",
    ),
    "the mask of a choice of products": (
        "m = Less(x, zero) rx = Mul(r, x) y = Where(m, rx, x)",
        "z = Where(m, x, zero)",
    ),
    "the mask of a choice of factors": (
        "m = Less(x, zero) f = Where(m, r, one) y = Mul(x, f)",
        "z = Where(m, x, zero)",
    ),
}


def _model(nodes: str) -> onnx.ModelProto:
    return parsed(
        "net (float[40, 8] x) => (float[40, 8] y, float[40, 8] z) "
        f"<float zero = {{0}}, float one = {{1}}, float low = {{0.25}}, float high = {{0.5}}> {{ {nodes} }}"
    )


@pytest.mark.parametrize("case", _SHARED)
def test_train_mode(case: str) -> None:
    form, other = _SHARED[case]
    model = _model(f"r = {DRAW} (x) {form} {other}")
    made, (said,) = fused(model)
    assert said.fused, said
    assert ops(made).count("RRelu") == 1 and "RandomUniformLike" not in ops(made)
    x = _X.astype(np.float32)
    y, z = without_library(made, x)
    np.testing.assert_array_equal(z, without_library(model, x)[1])
    assert (y / x)[x < 0].min() >= 0.125 and (y / x)[x < 0].max() <= 0.5
    np.testing.assert_array_equal(y[x > 0], x[x > 0])


@pytest.mark.parametrize("other", ["z = Where(m, x, zero)", "z = Mul(a, x)", "z = Mul(rx, x)", "z = Neg(b)"])
def test_eval_mode(other: str) -> None:
    """There nothing depends on a draw."""
    model = _model(f"{_SUM.replace('Mul(r, x)', 'Mul(low, x)')} {other}")
    made, (said,) = fused(model, leaky=True)
    assert said.fused, said
    assert ops(made).count("LeakyRelu") == 1
    x = _X.astype(np.float32)
    for found, expected in zip(without_library(made, x), without_library(model, x), strict=True):
        np.testing.assert_array_equal(found, expected)


def _second(slope: str) -> str:
    return f"q = Mul({slope}, x) d = Mul(q, neg) z = Add(a, d)"


def test_two_forms_of_one_mask() -> None:
    model = _model(f"r = {DRAW} (x) s = RandomUniformLike <low = 0.7, high = 0.9> (x) {_SUM} {_second('s')}")
    made, said = fused(model)
    assert ops(made) == ["RRelu", "RRelu"]
    assert [finding.fused for finding in said] == [True, True]
    assert [values["seed"] for values in values_of(made)] == [-1, -2]
    ratios = [y / _X.astype(np.float32) for y in without_library(made, _X.astype(np.float32))]
    assert ratios[0][_X < 0].max() <= 0.5 and ratios[1][_X < 0].min() >= 0.7 - 1e-6


def test_two_slopes_of_one_mask_in_eval_mode() -> None:
    model = _model(f"{_SUM.replace('Mul(r, x)', 'Mul(low, x)')} {_second('high')}")
    made, _ = fused(model, leaky=True)
    assert ops(made) == ["LeakyRelu", "LeakyRelu"]
    x = np.full((40, 8), -np.inf, np.float32)
    for y in without_library(made, x):
        np.testing.assert_array_equal(y, x)


def test_mask_that_is_an_output() -> None:
    model = _model(f"r = {DRAW} (x) {_SUM} z = Identity(x)")
    model.graph.output.append(onnx.helper.make_tensor_value_info("m", onnx.TensorProto.BOOL, [40, 8]))
    made, (said,) = fused(model)
    assert said.fused and ops(made) == ["Less", "RRelu", "Identity"]
    np.testing.assert_array_equal(without_library(made, _X.astype(np.float32))[2], _X > 0)


@pytest.mark.parametrize(
    ("shape", "drawn", "fuses"), [("", 1, True), ("1", 1, False), ("8", 1, False), ("", 2, False)]
)
def test_scalars(shape: str, drawn: int, fuses: bool) -> None:
    """ONNX Runtime draws none: tf2onnx draws a vector of one, and takes that off."""
    shaped = f"r = RandomUniform <low = 0.25, high = 0.5, shape = [{drawn}]> ()"
    shaped += " s = Squeeze(r)" if drawn == 1 else " s = ReduceMax <keepdims = 0> (r)"
    model = parsed(
        f"net (float{f'[{shape}]' if shape else ''} x) => (float{f'[{shape}]' if shape else ''} y) "
        f"<float zero = {{0}}> {{ {shaped} {_SUM.replace('Mul(r, x)', 'Mul(s, x)')} }}"
    )
    made, (said,) = fused(model)
    assert said.fused is fuses, said
    if fuses:
        x = np.array(-2, np.float32)
        (y,) = without_library(made, x)
        assert y.shape == () and -1 <= y <= -0.5
