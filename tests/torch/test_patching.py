"""patch_onnx_export: other people's calls of torch.onnx.export, and torch as it was afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.onnx._internal.exporter import _compat, _core, _dispatching
from torch.onnx._internal.torchscript_exporter import registration, utils

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.torch import RReLU, export, patch_onnx_export, torchscript_symbolics
from tests.bits import assert_same_bits
from tests.onnx_models import run, stock_session
from tests.torch.arrays import array
from tests.torch.exports import X, drawn_by_torch, export_quietly, train_seeds
from tests.torch.foreign_exports import CALLS

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's advice

# Of each exporter one call here, for the default one takes a second.
by_both = pytest.mark.parametrize("name", ["program", "torchscript, file"])


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 4), nn.RReLU(), RReLU(0.2, 0.4)).train()


def _state() -> Any:
    """Everything in torch that an export by us changes while it runs."""
    assert callable(_core.onnxscript_apis.convert_version)  # type: ignore[attr-defined]  # imports it
    utils._trigger_symbolic_function_registration()
    groups = {
        name: (group, dict(group._functions._merged), dict(group._functions._overrides))
        for name, group in registration.registry._registry.items()
    }
    lazy = dict(vars(_core.onnxscript_apis))  # type: ignore[attr-defined]
    functions = (
        _compat.export_compat,
        _dispatching.dispatch,
        utils._export,
        torch.onnx.export,
        torch.rrelu,
        torch.rrelu_,
        nn.functional.rrelu_,
        RReLU.forward,
    )
    return groups, list(groups), lazy, functions


@pytest.fixture(autouse=True)
def torch_is_as_it_was() -> Any:
    """After each of these tests, whatever it does."""
    before = _state()
    yield
    assert _state() == before


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_calls_in_a_block_write_portable_models(call: Callable[..., onnx.ModelProto], tmp_path: Path) -> None:
    net = _network()
    with patch_onnx_export(seed=7, step_input=True):
        model = call(net, X, tmp_path)
    assert train_seeds(model) == [reference.derive_seed(7, i) for i in range(2)]
    assert [value.name for value in model.graph.input][1:] == ["step"]
    (expected,) = drawn_by_torch(net, train_seeds(model), 5, X)
    for session in (stock_session(model), ort_rrelu.InferenceSession(model.SerializeToString())):
        (actual,) = run(session, array(X), np.array(5))
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@by_both
def test_training_sets_rrelus_alone(name: str, tmp_path: Path) -> None:
    net = _network().eval()
    with patch_onnx_export(training=True):
        assert len(train_seeds(CALLS[name](net, X, tmp_path))) == 2
    assert not any(module.training for module in net.modules())


@pytest.mark.parametrize("asked", [{"seed": 1}, {"step_input": True}], ids=str)
def test_eval_mode_that_torch_sets_is_told(asked: dict[str, Any], tmp_path: Path) -> None:
    net = _network().train()
    with patch_onnx_export(**asked), pytest.warns(UserWarning, match="no effect: .*training=True"):
        torch.onnx.export(net, (X,), tmp_path / "net.onnx", dynamo=False)
    assert not train_seeds(onnx.load(tmp_path / "net.onnx"))
    with patch_onnx_export(training=True, **asked), warnings.catch_warnings():
        warnings.filterwarnings("error", message="seed and step_input")
        torch.onnx.export(net, (X,), tmp_path / "net.onnx", dynamo=False)
    assert len(train_seeds(onnx.load(tmp_path / "net.onnx"))) == 2


@pytest.mark.parametrize("name", ["file", "torchscript, stream"])
def test_models_without_rrelu_are_torchs(name: str, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(7, 4), nn.LeakyReLU()).eval()
    stock = CALLS[name](net, X, tmp_path)
    with patch_onnx_export(seed=7, step_input=True):
        assert CALLS[name](net, X, tmp_path) == stock


def _fails(*_: Any) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("name", ["file", "torchscript, file"])
def test_after_a_block_exports_are_torchs(name: str, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(7, 4), nn.RReLU()).eval()
    with contextlib.suppress(ZeroDivisionError), patch_onnx_export():
        assert our_nodes(CALLS[name](net, X, tmp_path))
        _fails()
    if name == "file":
        with pytest.raises(torch.onnx.errors.OnnxExporterError, match=r"aten\.rrelu"):
            CALLS[name](net, X, tmp_path)
    else:
        assert not our_nodes(CALLS[name](net, X, tmp_path))


class _Unsupported(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.ops.ort_rrelu.rrelu(x, 0.1, 0.3, False, None, None)[0]
        return y


def test_torchs_error_for_an_unsupported_operator_is_its_own(tmp_path: Path) -> None:
    call = CALLS["torchscript, file"]
    with pytest.raises(torch.onnx.errors.UnsupportedOperatorError) as before:
        call(_Unsupported(), X, tmp_path)
    with torchscript_symbolics():
        assert our_nodes(call(_Unsupported(), X, tmp_path))
    with pytest.raises(torch.onnx.errors.UnsupportedOperatorError) as after:
        call(_Unsupported(), X, tmp_path)
    assert str(after.value) == str(before.value)


def test_symbolics_of_the_user_come_back(tmp_path: Path) -> None:
    def symbolic(g: Any, x: Any, *_: Any) -> Any:
        return g.op("Tanh", x).setType(x.type())

    torch.onnx.register_custom_op_symbolic("aten::rrelu", symbolic, 9)  # type: ignore[attr-defined]
    try:
        with patch_onnx_export():
            assert our_nodes(CALLS["torchscript, file"](nn.RReLU().eval(), X, tmp_path))
        model = CALLS["torchscript, file"](nn.RReLU().eval(), X, tmp_path)
        assert [node.op_type for node in model.graph.node] == ["Tanh"]
    finally:
        torch.onnx.unregister_custom_op_symbolic("aten::rrelu", 9)  # type: ignore[attr-defined]


@by_both
def test_blocks_nest_and_each_call_numbers_its_own_nodes(name: str, tmp_path: Path) -> None:
    def seeds() -> list[int]:
        return train_seeds(CALLS[name](nn.RReLU().train(), X, tmp_path))

    with patch_onnx_export(seed=1):
        with patch_onnx_export(seed=2):
            assert seeds() == [reference.derive_seed(2, 0)]
        assert seeds() == seeds() == [reference.derive_seed(1, 0)]


@pytest.mark.parametrize("dynamo", [True, False])
def test_export_in_a_block_goes_by_its_own_arguments(dynamo: bool) -> None:
    with patch_onnx_export(seed=9, step_input=True, training=False):
        model = export_quietly(_network(), seed=4, portable=False, dynamo=dynamo)
    assert train_seeds(model) == [reference.derive_seed(4, i) for i in range(2)]
    assert (len(model.graph.input), len(model.functions)) == (1, 0)


def test_threads_have_settings_of_their_own(tmp_path: Path) -> None:
    """One without a block exports as ever, while others, each with its own, overlap in every order."""
    inside = threading.Barrier(3, timeout=300)

    def seeded(seed: int) -> list[list[int]]:
        folder = tmp_path / str(seed)
        folder.mkdir()
        with patch_onnx_export(seed=seed):
            inside.wait()
            calls = (CALLS[name] for name in ("program", "torchscript, file"))
            return [train_seeds(call(_network(), X, folder)) for call in calls]

    def stock() -> bool:
        folder = tmp_path / "stock"
        folder.mkdir()
        inside.wait()
        return bool(our_nodes(CALLS["torchscript, file"](nn.RReLU().eval(), X, folder)))

    with ThreadPoolExecutor(3) as pool:
        first, second, other = (pool.submit(f, *a) for f, a in ((seeded, (1,)), (seeded, (2,)), (stock, ())))
        assert first.result() == [[reference.derive_seed(1, i) for i in range(2)]] * 2
        assert second.result() == [[reference.derive_seed(2, i) for i in range(2)]] * 2
        assert not other.result()


def test_blocks_of_two_threads_may_end_in_the_order_in_which_they_began() -> None:
    before = _state()
    first, second = patch_onnx_export(), patch_onnx_export()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        # A context variable is reset where it was set, so each thread opens and closes its own.
        for pool, step in ((one, first.__enter__), (other, second.__enter__)):
            pool.submit(step).result()
        one.submit(first.__exit__, None, None, None).result()
        assert _compat.export_compat is not before[3][0]
        other.submit(second.__exit__, None, None, None).result()
    assert _state() == before


def test_tasks_have_settings_of_their_own(tmp_path: Path) -> None:
    async def seeded(seed: int) -> list[int]:
        with patch_onnx_export(seed=seed):
            await asyncio.sleep(0)
            return train_seeds(CALLS["torchscript, file"](nn.RReLU().train(), X, tmp_path))

    async def both() -> list[list[int]]:
        return list(await asyncio.gather(seeded(1), seeded(2)))

    assert asyncio.run(both()) == [[reference.derive_seed(1, 0)], [reference.derive_seed(2, 0)]]


def test_weights_of_a_program_are_torchs_own() -> None:
    """Not copied: a program may be larger than a protobuf file, or get its weights later."""
    linear = nn.Linear(7, 4)
    with patch_onnx_export():
        program = torch.onnx.export(nn.Sequential(linear, nn.RReLU()), (X,), dynamo=True, verbose=False)
    assert program is not None
    bias: Any = program.model.graph.initializers["0.bias"].const_value
    assert bias.raw.data_ptr() == linear.bias.data_ptr()
    program.apply_weights({"0.bias": torch.ones(4)})
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in program.model_proto.graph.initializer}
    assert_same_bits(stored["0.bias"], np.ones(4, np.float32))


def test_names_of_dimensions_reach_a_model_with_a_step(tmp_path: Path) -> None:
    with patch_onnx_export(step_input=True):
        program = torch.onnx.export(
            nn.RReLU().train(), (X,), tmp_path / "net.onnx", dynamo=True, verbose=False,
            dynamic_shapes=({0: "rows"},),
        )  # fmt: skip
    assert program is not None
    for model in (program.model_proto, onnx.load(tmp_path / "net.onnx")):
        (x, step), (y,) = model.graph.input, model.graph.output
        assert step.name == "step"
        assert [value.type.tensor_type.shape.dim[0].dim_param for value in (x, y)] == ["rows", "rows"]


_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": -1}, "seed=-1"),
    "training": ({"training": "train"}, "training='train': it must be None, True or False"),
    "step_input": ({"step_input": 1}, "step_input=1: it must be True, False or 'rows'"),
    "portable": ({"portable": None}, "portable=None: it must be True or False"),
}


@pytest.mark.parametrize(("arguments", "message"), _REFUSED.values(), ids=_REFUSED)
def test_arguments_that_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ort_rrelu.Error, match=message), patch_onnx_export(**arguments):
        pytest.fail("the block was entered")


@pytest.mark.parametrize("dynamo", [True, False])
def test_calls_that_are_refused_leave_no_file(dynamo: bool, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"opset_version": 17, "dynamo": dynamo}
    with (
        patch_onnx_export(),
        pytest.raises(ort_rrelu.Error, match=r"^opset_version=17: a portable model needs 18 or newer"),
    ):
        torch.onnx.export(nn.RReLU(), (X,), str(tmp_path / "net.onnx"), **arguments)
    assert not list(tmp_path.iterdir())


def test_verify_is_refused() -> None:
    with patch_onnx_export(), pytest.raises(ort_rrelu.Error, match="verify=True"):
        torch.onnx.export(nn.RReLU(), (X,), dynamo=True, verify=True)


def test_the_older_name_is_the_same_function() -> None:
    assert torchscript_symbolics is patch_onnx_export
    assert export is ort_rrelu.torch.export
