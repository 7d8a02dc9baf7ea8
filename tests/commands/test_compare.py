"""`ort-rrelu compare`: outputs of two models or runtimes, their differences, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

import ort_rrelu
from ort_rrelu.commands import app
from ort_rrelu.commands.runtimes import Difference, difference
from tests.commands.command_line import MODELS, RUNNER, call, call_json, parse, refused, write_models

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_models()
    onnx.save(ort_rrelu.graph.portable(MODELS["model"]), "portable.onnx")
    shapes = {"fixed": "4, 3", "wide": "batch, 5", "flat": "3"}
    for name, shape in shapes.items():
        text = f"net (float[{shape}] x) => (float[{shape}] y) {{ y = ort_rrelu.RRelu (x) }}"
        onnx.save(parse(text), f"{name}.onnx")
    onnx.save(parse("net (double[batch, 3] x) => (double[batch, 3] y) { y = Abs (x) }"), "double.onnx")
    onnx.save(parse("net (float[batch, 3] x) => (float[batch, 3] z) { z = Identity (x) }"), "named.onnx")
    onnx.save(
        parse("net (float[batch, 3] x) => (double[batch, 3] y) { y = Cast <to = 11> (x) }"), "cast.onnx"
    )
    onnx.save(
        parse("net (float[b, 3] x) => (float[b, 3] y, float[b, 3] z) { y = Abs (x) z = Abs (y) }"), "two.onnx"
    )
    onnx.save(parse("net (float[batch, 3] x) => (float[m] y) { y = Sum (x, x) }"), "sum.onnx")
    np.save("x", X)
    return tmp_path


@pytest.mark.parametrize("options", ["--without-library", "--reference"])
def test_a_portable_model_gives_the_same_bits_everywhere(options: str) -> None:
    facts = call_json(f"compare portable.onnx {options} --dim batch=50 --step 3 --tolerance 0")
    (output,) = facts["outputs"]
    assert output["shape"] == "[50, 3]"
    assert (output["largest_difference"], output["other_bits"], facts["exceeded"]) == (0, 0, False)


def test_other_steps_give_other_bits() -> None:
    """So that the zeros above are not those of a model that never draws."""
    onnx.save(
        parse(
            "net (float[batch, 3] x, int64 step) => (float[batch, 3] y) { one = Constant <value_int = 1> () "
            "next = Add (step, one) [first] h = ort_rrelu.RRelu <training = 1, seed = 7> (x, next) "
            "y = ort_rrelu.RRelu (h) }"
        ),
        "next.onnx",
    )
    (output,) = call_json("compare model.onnx next.onnx --dim batch=50")["outputs"]
    assert output["other_bits"] > 50


def test_the_largest_difference_is_numpys() -> None:
    (output,) = call_json("compare eval.onnx plain.onnx --input x.npy")["outputs"]
    a, b = ort_rrelu.rrelu(X), np.where(X < 0, X * np.float32(0.1), X)
    assert output["largest_difference"] == np.abs(a.astype(np.float64) - b).max()
    assert output["other_bits"] == np.count_nonzero(a != b)


@pytest.mark.parametrize(
    ("models", "tolerance", "code"),
    [
        ("eval.onnx plain.onnx", "0.26", 0),
        ("eval.onnx plain.onnx", "0.25", 1),
        ("eval.onnx plain.onnx", None, 0),
        ("eval.onnx eval.onnx", "0", 0),
        ("named.onnx cast.onnx", "0", 0),  # other dtypes, equal values
    ],
)
def test_exit_code_tells_whether_the_tolerance_is_kept(models: str, tolerance: str | None, code: int) -> None:
    options = f"--tolerance {tolerance}" if tolerance else ""
    result = RUNNER.invoke(app, f"compare {models} --input x.npy {options}".split())
    assert result.exit_code == code, result.output
    verdict = {0: "kept", 1: "exceeded"}[code]
    assert (f"Tolerance {tolerance}: {verdict}" in result.stdout) == (tolerance is not None)


@pytest.mark.parametrize(("seed", "same"), [("", False), ("--seed 1", True)])
def test_a_seed_makes_unseeded_nodes_draw_alike(seed: str, same: bool) -> None:
    (output,) = call_json(f"compare train.onnx train.onnx --dim batch=50 {seed}")["outputs"]
    assert (output["other_bits"] == 0) == same


@pytest.mark.parametrize(
    ("command", "fresh"),
    [
        ("train.onnx plain.onnx", [1, 0]),
        ("train.onnx train.onnx --seed 1", [0, 0]),
        ("train.onnx --reference", [1, 1]),
        ("unstepped.onnx --without-library", [0, 1]),
        ("model.onnx --reference", [0, 0]),
    ],
)
def test_nodes_that_never_draw_alike_are_counted(command: str, fresh: list[int]) -> None:
    seeded = parse("net (float[n] x) => (float[n] y) { y = ort_rrelu.RRelu <training = 1, seed = 3> (x) }")
    onnx.save(ort_rrelu.graph.portable(seeded), "unstepped.onnx")
    assert call_json(f"compare {command}")["fresh_nodes"] == fresh
    assert ("draw other slopes in every session" in call(f"compare {command}")) == any(fresh)


def test_a_fixed_size_of_either_model_is_fed() -> None:
    for pair in ("eval.onnx fixed.onnx", "fixed.onnx eval.onnx"):
        (output,) = call_json(f"compare {pair} --tolerance 0")["outputs"]
        assert output["shape"] == "[4, 3]"


def test_outputs_of_other_names_are_compared_by_place() -> None:
    (output,) = call_json("compare eval.onnx named.onnx")["outputs"]
    assert output["name"] == "y, z"


def test_text_names_both() -> None:
    text = call("compare portable.onnx --without-library")
    assert text.startswith("portable.onnx\nportable.onnx without the library\n")
    assert "0 of 3" in text


ERRORS = {
    "eval.onnx": "there is one model only: name another, or a second runtime for it",
    "eval.onnx --reference --without-library": "the second runs in one of them only",
    "eval.onnx nope.onnx": "there is no model file nope.onnx",
    "eval.onnx bodies.onnx": "of eval.onnx its inputs are: x; of bodies.onnx its inputs are: c, x",
    "eval.onnx plain.onnx --step 3": '--step 3: the model has no int64 input named "step"',
    "eval.onnx wide.onnx": 'input "x" of eval.onnx is float32 [batch, 3], of wide.onnx float32 [batch, 5]',
    "eval.onnx flat.onnx": 'input "x" of eval.onnx is float32 [batch, 3], of flat.onnx float32 [3]',
    "eval.onnx double.onnx": "of double.onnx float64 [batch, 3]: the models cannot be fed alike",
    "eval.onnx two.onnx": "the outputs cannot be compared: eval.onnx has y, two.onnx has y, z",
    "eval.onnx --without-library": "eval.onnx: it cannot run without the library, because it is not portable",
    "eval.onnx x.npy": "x.npy: not an ONNX model",
    "eval.onnx plain.onnx --input q=x.npy": 'no input named "q"',
}


@pytest.mark.parametrize(("command", "message"), ERRORS.items(), ids=ERRORS)
def test_errors_are_one_line(command: str, message: str) -> None:
    assert message in refused(f"compare {command}")


FLOATS = [np.float16, np.float32, np.float64, ml_dtypes.bfloat16]


@given(data=st.data(), dtype=st.sampled_from([*FLOATS, np.int8, np.int64, np.uint64, np.bool_]))
def test_difference_is_that_of_exact_arithmetic(data: st.DataObject, dtype: type) -> None:
    stored = np.float32 if dtype is ml_dtypes.bfloat16 else dtype
    kinds = arrays(stored, st.shared(st.sampled_from([(), (0,), (5,), (2, 3)]), key="shape"))
    a: NDArray[Any] = data.draw(kinds).astype(dtype)
    b: NDArray[Any] = data.draw(kinds).astype(dtype)
    found = difference(a, b)
    pairs = list(zip(a.reshape(-1).tolist(), b.reshape(-1).tolist(), strict=True))
    nan = [(x != x, y != y) for x, y in pairs]
    assert found.elements == sum(
        _bits(x, dtype) != _bits(y, dtype) and not all(nans) for (x, y), nans in zip(pairs, nan, strict=True)
    )
    if any(x is not y for x, y in nan):
        assert found.largest != found.largest
        assert found.exceeds(1e300)
    else:
        assert found.largest == float(max((_apart(x, y) for x, y in pairs), default=0))


@pytest.mark.parametrize("dtype", FLOATS)
def test_nans_of_other_bits_are_equal(dtype: type) -> None:
    a: NDArray[Any] = np.array([np.nan]).astype(dtype)
    b: NDArray[Any] = np.array([-np.nan]).astype(dtype)
    assert a.tobytes() != b.tobytes()
    assert difference(a, b) == Difference(0, 0)


def _bits(value: float, dtype: type) -> bytes:
    return np.array(value, dtype).tobytes()


def _apart(x: float, y: float) -> float:
    return 0 if x == y or x != x else abs(x - y)


@pytest.mark.parametrize(
    ("a", "b"),
    [(np.zeros(3), np.zeros(4)), (np.array(["a"], object), np.array(["b"], object))],
    ids=["shapes", "strings"],
)
def test_what_has_no_difference_exceeds_every_tolerance(
    a: NDArray[np.generic], b: NDArray[np.generic]
) -> None:
    assert difference(a, b).largest is None
    assert difference(a, b).exceeds(float("inf"))
    assert not difference(a, a).exceeds(0)


def test_json_is_json_when_a_difference_is_not_finite() -> None:
    np.save("x", np.array([[np.inf, -np.inf, np.nan]], np.float32))
    onnx.save(parse("net (float[batch, 3] x) => (float[batch, 3] y) { y = Relu (x) }"), "relu.onnx")
    result = RUNNER.invoke(app, ["compare", "eval.onnx", "relu.onnx", "--input", "x.npy", "--json"])
    assert json.loads(result.stdout)["outputs"][0]["largest_difference"] == "Infinity"
