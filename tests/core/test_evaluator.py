"""onnx's ReferenceEvaluator with our ops gives what ONNX Runtime gives."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import ort_rrelu
from ort_rrelu import evaluator
from tests.bits import assert_same_bits
from tests.onnx_models import DTYPES, FLOAT, Array, grad_model, rrelu_model, run, session, step_of

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[str(d) for d in DTYPES.values()])


def _x(dtype: int) -> Array:
    return np.random.default_rng(7).normal(size=(5, 13)).astype(DTYPES[dtype])


class _Session:
    """ReferenceEvaluator with the part of a session's interface that `run` takes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._evaluator = ReferenceEvaluator(model, new_ops=evaluator.OPS)
        self.get_inputs = lambda: model.graph.input

    def run(self, names: list[str] | None, feeds: dict[str, Array]) -> list[Array]:
        return list(self._evaluator.run(names, feeds))


@every_dtype
@pytest.mark.parametrize("training", [0, 1])
@pytest.mark.parametrize("outputs", [["y"], ["y", "noise"], ["y", "", "reserve"]], ids=str)
def test_forward(dtype: int, training: int, outputs: list[str]) -> None:
    model = rrelu_model(dtype, outputs=outputs, with_step=True, training=training, seed=42, lower=0.1)
    arrays = _x(dtype), step_of(-5)
    for actual, expected in zip(run(_Session(model), *arrays), run(session(model), *arrays), strict=True):
        assert_same_bits(actual, expected)


@every_dtype
@pytest.mark.parametrize("training", [0, 1])
@pytest.mark.parametrize("saved", ["noise", "reserve"])
def test_backward(dtype: int, training: int, saved: str) -> None:
    forward = rrelu_model(dtype, outputs=["y", "noise", "reserve"], training=training, seed=42)
    y, noise, reserve = run(_Session(forward), _x(dtype))
    model, kept = grad_model(dtype, saved=saved), {"noise": noise, "reserve": reserve}[saved]
    assert_same_bits(run(_Session(model), y, kept)[0], run(session(model), y, kept)[0])


def test_runs_are_counted_as_in_a_session() -> None:
    model = rrelu_model(training=1, seed=42)
    ours, theirs = _Session(model), session(model)
    for _ in range(3):
        assert_same_bits(run(ours, _x(FLOAT))[1], run(theirs, _x(FLOAT))[1])


def test_every_evaluator_counts_from_0() -> None:
    model = rrelu_model(training=1, seed=42)
    first, second = (run(_Session(model), _x(FLOAT))[1] for _ in range(2))
    assert_same_bits(first, second)


def test_without_a_seed_every_evaluator_differs() -> None:
    model = rrelu_model(training=1)
    assert len({run(_Session(model), _x(FLOAT))[1].tobytes() for _ in range(4)}) == 4


def test_training_is_0_or_1() -> None:
    with pytest.raises(ValueError, match="training=2"):
        run(_Session(rrelu_model(training=2)), _x(FLOAT))


def test_eval_runs_do_not_need_a_seed() -> None:
    model = rrelu_model()
    assert_same_bits(run(_Session(model), _x(FLOAT))[0], ort_rrelu.rrelu(_x(FLOAT)))


@pytest.mark.parametrize("shape", [(0,), (2,)], ids=str)
def test_step_of_another_size(shape: tuple[int, ...]) -> None:
    model = rrelu_model(with_step=True, training=1)
    with pytest.raises(
        ort_rrelu.Error, match=r"step has shape \[.\]: for x of shape \[.*\] it must have one element"
    ):
        run(_Session(model), _x(FLOAT), np.zeros(shape, np.int64))
