"""Every way to write rrelu in torch, through both exporters, against torch and the reference."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import ort_rrelu.torch
from ort_rrelu.functions import OLDEST_OPSET
from tests.bits import assert_same_bits
from tests.onnx_models import Array, run, session
from tests.torch.arrays import ROUNDING, TORCH_DTYPES, array, normal
from tests.torch.constructs import CONSTRUCTS, Applied, Parallel
from tests.torch.exports import (
    BASE_SEED,
    X,
    both_exporters,
    drawn_by_torch,
    export_quietly,
    exported,
    outputs_of,
    train_seeds,
)

every_construct = pytest.mark.parametrize("construct", CONSTRUCTS)
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])

_RUNS = 3


def _assert_all_same_bits(actual: list[Array], expected: list[Array]) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert_same_bits(a, e)


@both_exporters
@every_construct
def test_eval_equals_torch(construct: str, dynamo: bool) -> None:
    model = exported(construct, dynamo=dynamo, training=False)
    expected = outputs_of(CONSTRUCTS[construct]().eval(), X)
    for actual, y in zip(run(session(model), array(X)), expected, strict=True):
        np.testing.assert_allclose(actual, y, rtol=ROUNDING[torch.float32])


@both_exporters
@every_construct
def test_train_runs_equal_torch_with_the_slopes_of_the_reference(construct: str, dynamo: bool) -> None:
    model = exported(construct, dynamo=dynamo, training=True)
    module = CONSTRUCTS[construct]().train()
    of = session(model)
    for step in range(_RUNS):
        _assert_all_same_bits(run(of, array(X)), drawn_by_torch(module, train_seeds(model), step, X))


@both_exporters
@pytest.mark.parametrize("construct", [c for c in CONSTRUCTS if c != "nn.RReLU equal bounds"])
def test_train_runs_differ_and_repeat_in_another_session(construct: str, dynamo: bool) -> None:
    model = exported(construct, dynamo=dynamo, training=True)
    first, second = ([run(of, array(X)) for _ in range(_RUNS)] for of in (session(model), session(model)))
    for one, other in itertools.combinations(first, 2):
        assert all((a != b).any() for a, b in zip(one, other, strict=True))
    for one, other in zip(first, second, strict=True):
        _assert_all_same_bits(one, other)


@both_exporters
def test_train_nodes_on_one_input_share_no_slopes(dynamo: bool) -> None:
    branches = 4
    model = export_quietly(Parallel(*(nn.RReLU() for _ in range(branches))).train(), dynamo=dynamo)
    x = np.full(X.shape, -1, np.float32)
    drawn = np.stack(run(session(model), x)).reshape(branches, -1)
    for one, other in itertools.combinations(drawn, 2):
        # 42 slopes out of 65,536: two that are equal by chance are rare, ten do not happen.
        assert (one == other).sum() < 10


@both_exporters
def test_unseeded_model_draws_anew_in_every_session(dynamo: bool) -> None:
    model = export_quietly(nn.RReLU().train(), dynamo=dynamo)
    first, second = (run(session(model), array(X))[0] for _ in range(2))
    assert (first != second).any()
    first, second = (run(session(model, seed=5), array(X))[0] for _ in range(2))
    assert_same_bits(first, second)


class _InDtype(nn.Module):
    """Takes and gives float64, which holds every value of the other types."""

    def __init__(self, inner: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = inner, dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.inner(x.to(self.dtype))
        return y.to(torch.float64)


@both_exporters
@both_modes
@pytest.mark.parametrize("dtype", TORCH_DTYPES.values(), ids=str)
def test_models_of_every_dtype(dtype: torch.dtype, training: bool, dynamo: bool) -> None:
    # torch has no train-mode rrelu of float16 on the CPU to trace, so there the exporter sets the mode.
    module = _InDtype(nn.RReLU(), dtype)
    model = export_quietly(
        module.eval(), (X.double(),), seed=BASE_SEED, training=True if training else None, dynamo=dynamo
    )
    x = normal(2, 3, 7, dtype=dtype).double()
    (actual,) = run(session(model), array(x))
    if training:
        assert_same_bits(actual, drawn_by_torch(module.train(), train_seeds(model), 0, x)[0])
    else:
        np.testing.assert_allclose(actual, outputs_of(module, x)[0], rtol=ROUNDING[dtype])


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.RReLU(), nn.Conv2d(4, 4, 3), nn.RReLU(0.1, 0.3, inplace=True), nn.Flatten(),
        nn.Linear(64, 8), ort_rrelu.torch.RReLU(), nn.Linear(8, 2),
    )  # fmt: skip


@both_exporters
@both_modes
def test_network(training: bool, dynamo: bool) -> None:
    network, x = _network().train(training), normal(5, 1, 8, 8)
    model = export_quietly(network, (x,), seed=BASE_SEED, dynamo=dynamo)
    of = session(model)
    for step in range(2):
        (actual,) = run(of, array(x))
        np.testing.assert_allclose(
            actual, drawn_by_torch(network, train_seeds(model), step, x)[0], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("training", [None, True], ids=["own mode", "train"])
def test_exported_program(training: bool | None) -> None:
    module = nn.Sequential(nn.RReLU(), nn.RReLU()).eval()
    program = torch.export.export(module, (X,))
    model = export_quietly(program, seed=BASE_SEED, training=training)
    module.train(bool(training))
    _assert_all_same_bits(run(session(model), array(X)), drawn_by_torch(module, train_seeds(model), 0, X))


def _dynamic(dynamo: bool) -> dict[str, Any]:
    if dynamo:
        return {"dynamic_shapes": ({0: torch.export.Dim("batch"), 2: torch.export.Dim("width")},)}
    axes = {0: "batch", 2: "width"}
    return {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": axes, "y": axes}}


@both_exporters
@both_modes
def test_dynamic_shapes_keep_their_names(training: bool, dynamo: bool) -> None:
    module = nn.Sequential(nn.RReLU(), nn.RReLU()).train(training)
    model = export_quietly(module, seed=BASE_SEED, dynamo=dynamo, **_dynamic(dynamo))
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        assert [d.dim_param or d.dim_value for d in dims] == ["batch", 3, "width"]
    of = session(model)
    for step, shape in enumerate([(1, 3, 1), (5, 3, 4), (0, 3, 2)]):
        expected = drawn_by_torch(module, train_seeds(model), step, normal(*shape))
        _assert_all_same_bits(run(of, array(normal(*shape))), expected)


@both_exporters
@pytest.mark.parametrize("shape", [(), (0,), (3, 0)], ids=str)
def test_scalar_and_empty_inputs(shape: tuple[int, ...], dynamo: bool) -> None:
    module, x = nn.RReLU().train(), -normal(*shape).abs()
    model = export_quietly(module, (x,), seed=BASE_SEED, dynamo=dynamo)
    _assert_all_same_bits(run(session(model), array(x)), drawn_by_torch(module, train_seeds(model), 0, x))


@both_exporters
@pytest.mark.parametrize("opset_version", [18, 20, 22])
def test_opset_version(opset_version: int, dynamo: bool) -> None:
    if not dynamo:
        opset_version -= 5  # the TorchScript exporter ends at 20, and begins long before
    module = nn.Sequential(nn.Flatten(), nn.RReLU()).train()
    portable = opset_version >= OLDEST_OPSET
    model = export_quietly(
        module, seed=BASE_SEED, dynamo=dynamo, opset_version=opset_version, portable=portable
    )
    versions = {entry.domain: entry.version for entry in model.opset_import}
    assert versions == {"": opset_version, "ort_rrelu": 1}
    onnx.checker.check_model(model, full_check=True)
    _assert_all_same_bits(run(session(model), array(X)), drawn_by_torch(module, train_seeds(model), 0, X))


@pytest.mark.parametrize("opset_version", [13, 20])
@pytest.mark.parametrize("written", [torch.float32, torch.float64], ids=str)
def test_torchscript_copies_into_the_input_of_the_model(written: torch.dtype, opset_version: int) -> None:
    if written == torch.float64 and opset_version == 13:
        opset_version = 15  # the first with CastLike
    module = Applied(lambda x, _: x.copy_((x[:1] * 2).to(written)))
    model = export_quietly(module, dynamo=False, opset_version=opset_version)
    (actual,) = run(session(model), array(X))
    assert_same_bits(actual, outputs_of(module, X)[0])


@both_exporters
def test_arguments_of_torch_pass_through(dynamo: bool) -> None:
    model = export_quietly(nn.RReLU(), dynamo=dynamo, input_names=["a"], output_names=["b"])
    assert [v.name for v in (*model.graph.input, *model.graph.output)] == ["a", "b"]


@both_exporters
@both_modes
def test_model_without_rrelu_exports_unchanged(training: bool, dynamo: bool, tmp_path: Any) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(7, 3), nn.LeakyReLU(), nn.Dropout()).train(training)
    ours = export_quietly(module, seed=1, step_input=True, dynamo=dynamo)
    mode = torch.onnx.TrainingMode.PRESERVE if training else torch.onnx.TrainingMode.EVAL
    kw: dict[str, Any] = {} if dynamo else {"training": mode, "do_constant_folding": not training}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (X,), tmp_path / "theirs.onnx", dynamo=dynamo, **kw)
    theirs = onnx.load(tmp_path / "theirs.onnx")
    assert "ort_rrelu" not in {entry.domain for entry in ours.opset_import}
    assert ours == theirs
