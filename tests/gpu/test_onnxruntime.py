"""RRelu and RReluGrad on ONNX Runtime's CUDA execution provider."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu import reference, schema
from tests.bits import assert_same_bits
from tests.draws import Draw, by_reference, normal, special_values
from tests.gpu import device
from tests.onnx_models import DTYPES, FLOAT, Array, grad_model, make_model, rrelu_model, run, step_of

_HAS_PROVIDER = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
pytestmark = [
    *device.needs_gpu(),
    pytest.mark.skipif(
        not _HAS_PROVIDER, reason="this onnxruntime has no CUDA provider: onnxruntime-gpu has"
    ),
]

if _HAS_PROVIDER:
    onnxruntime.preload_dlls()  # those of CUDA that torch's packages brought

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[str(d) for d in DTYPES.values()])
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
_OUTPUTS = ("y", "noise", "reserve")


def _session(
    model: onnx.ModelProto, options: onnxruntime.SessionOptions | None = None, **provider: str
) -> onnxruntime.InferenceSession:
    options = options or onnxruntime.SessionOptions()
    options.log_severity_level = 3
    ort_rrelu.register(options)
    providers = [("CUDAExecutionProvider", provider), "CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers)
    assert session.get_providers()[0] == "CUDAExecutionProvider"  # it falls back without a word otherwise
    return session


def _outputs(session: onnxruntime.InferenceSession, *arrays: Array) -> list[Array]:
    return run(session, *arrays)


@every_dtype
@both_modes
def test_forward_equals_the_reference(dtype: int, training: bool) -> None:
    draw = Draw(training=training)
    model = rrelu_model(dtype, outputs=_OUTPUTS, with_step=True, training=int(training), seed=draw.seed)
    session = _session(model)
    for x in (normal((3, 5, 7), dtype), normal((70_001,), dtype), special_values(dtype), normal((0,), dtype)):
        for name, actual in zip(_OUTPUTS, _outputs(session, x, step_of(draw.step)), strict=True):
            expected = getattr(by_reference(x, draw), name)
            assert_same_bits(actual.astype(expected.dtype), expected)


@every_dtype
@pytest.mark.parametrize("saved", ["noise", "reserve"])
def test_backward_equals_the_reference(dtype: int, saved: str) -> None:
    session = _session(grad_model(dtype, saved=saved))
    x, dy = normal((70_001,), dtype), normal((70_001,), dtype, seed=8)
    kept = getattr(by_reference(x, Draw()), saved)
    assert_same_bits(_outputs(session, dy, kept)[0], reference.rrelu_grad(dy, kept))


def test_a_wrong_reserve_gives_nan_and_fails_the_next_run() -> None:
    session = _session(grad_model(FLOAT, saved="reserve", name="back"))
    x = normal((1003,), FLOAT)
    good = by_reference(x, Draw()).reserve
    wrong = good.copy()
    wrong[0] = 0
    assert np.isnan(_outputs(session, x, wrong)[0]).all()
    with pytest.raises(Exception, match=r'RReluGrad node "back": in an earlier run, .*reserve begins with'):
        _outputs(session, x, good)
    assert_same_bits(_outputs(session, x, good)[0], reference.rrelu_grad(x, good))


@pytest.mark.parametrize("size", [16, 300_000], ids=["one block", "many blocks"])
def test_runs_count_on_the_device(size: int) -> None:
    x = -np.ones(size, np.float32)
    session = _session(rrelu_model(training=1, seed=42, outputs=["y"]))
    for step in range(4):
        assert_same_bits(_outputs(session, x)[0], -reference.slopes(size, seed=42, step=step))


@pytest.mark.parametrize("size", [16, 300_000], ids=["one block", "many blocks"])
@pytest.mark.parametrize("one_stream", [False, True], ids=["a stream each", "one stream"])
def test_concurrent_runs_take_every_step_once(size: int, one_stream: bool) -> None:
    x, runs, stream = -np.ones(size, np.float32), 40, device.new_stream()
    provider = {"user_compute_stream": str(stream.cuda_stream)} if one_stream else {}
    session = _session(rrelu_model(training=1, seed=42, outputs=["y"]), **provider)
    with ThreadPoolExecutor(4) as pool:
        draws = sorted(y.tobytes() for (y,) in pool.map(lambda _: session.run(None, {"x": x}), range(runs)))
    assert draws == sorted((-reference.slopes(size, seed=42, step=s)).tobytes() for s in range(runs))


def _bound(
    session: onnxruntime.InferenceSession, feeds: Mapping[str, Array], outputs: Mapping[str, Array]
) -> Any:
    """An IO binding on the device, and the OrtValues of the outputs, whose addresses stay."""
    binding = session.io_binding()
    kept = {
        name: onnxruntime.OrtValue.ortvalue_from_numpy(a, "cuda", 0)
        for name, a in {**feeds, **outputs}.items()
    }
    for name in feeds:
        binding.bind_ortvalue_input(name, kept[name])
    for name in outputs:
        binding.bind_ortvalue_output(name, kept[name])
    return binding, kept


def test_io_binding_keeps_everything_on_the_device() -> None:
    x = normal((5000,), FLOAT)
    session = _session(rrelu_model(FLOAT, with_step=True, training=1, seed=42, shape=[5000]))
    binding, kept = _bound(
        session, {"x": x, "step": step_of(3)}, {"y": np.empty_like(x), "noise": np.empty_like(x)}
    )
    session.run_with_iobinding(binding)
    expected = by_reference(x, Draw())
    assert_same_bits(kept["y"].numpy(), expected.y)
    assert_same_bits(kept["noise"].numpy(), expected.noise)


@pytest.mark.parametrize("size", [16, 300_000], ids=["one block", "many blocks"])
def test_every_replay_of_a_captured_graph_draws_anew(size: int) -> None:
    x = -np.ones(size, np.float32)
    model = rrelu_model(FLOAT, training=1, seed=42, shape=[size], outputs=["y"])
    session = _session(model, enable_cuda_graph="1")
    binding, kept = _bound(session, {"x": x}, {"y": np.empty_like(x)})
    steps = {(-reference.slopes(size, seed=42, step=step)).tobytes(): step for step in range(16)}
    taken = []
    for _ in range(5):
        session.run_with_iobinding(binding)
        taken.append(steps[kept["y"].numpy().tobytes()])
    # Warm-up runs and the capture count too, so that the first may be above 0.
    assert taken == list(range(taken[0], taken[0] + 5))


def test_a_wrong_reserve_in_a_replay_is_told_by_the_next_run_without_the_graph() -> None:
    x = normal((1003,), FLOAT)
    good = by_reference(x, Draw()).reserve
    wrong = good.copy()
    wrong[0] = 0
    model = grad_model(FLOAT, saved="reserve", shape=[x.size], name="back")
    session = _session(model, enable_cuda_graph="1")
    binding, kept = _bound(session, {"dy": x, "reserve": good}, {"dx": np.empty_like(x)})
    session.run_with_iobinding(binding)
    assert_same_bits(kept["dx"].numpy(), reference.rrelu_grad(x, good))
    kept["reserve"].update_inplace(wrong)
    for _ in range(3):
        session.run_with_iobinding(binding)
        assert np.isnan(kept["dx"].numpy()).all()
    without_graph = onnxruntime.RunOptions()
    without_graph.add_run_config_entry("gpu_graph_id", "-1")
    with pytest.raises(Exception, match=r'RReluGrad node "back": in an earlier run, .*reserve begins with'):
        session.run_with_iobinding(binding, without_graph)


def _nodes(model: onnx.ModelProto, path: Path) -> list[str]:
    """What ONNX Runtime makes of a model, copies between devices included."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    _session(model, options)
    return [node.op_type for node in onnx.load(path).graph.node]


def _chain(ops: Sequence[str]) -> onnx.ModelProto:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [64]) for name in ("v0", f"v{len(ops)}")]
    nodes = [
        helper.make_node(op, [f"v{i}"], [f"v{i + 1}"], domain=schema.DOMAIN if op == schema.RRELU else "")
        for i, op in enumerate(ops)
    ]
    return make_model(nodes, info[:1], info[1:])


@pytest.mark.parametrize(
    ("ops", "copies"),
    [(["Exp", "RRelu", "Neg"], 0), (["RRelu", "Unique", "RRelu"], 2)],
    ids=["all on CUDA", "one on the CPU"],
)
def test_copies_between_devices_are_those_needed(ops: list[str], copies: int, tmp_path: Path) -> None:
    nodes = _nodes(_chain(ops), tmp_path / "optimized.onnx")
    assert sum(node.startswith("Memcpy") for node in nodes) == copies


def test_the_node_runs_on_cuda(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    session = _session(rrelu_model(training=1), options)
    _outputs(session, np.zeros(8, np.float32))
    events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    providers = {
        e["args"]["provider"]
        for e in events
        if e.get("args", {}).get("op_name") == schema.RRELU and "provider" in e["args"]
    }
    assert providers == {"CUDAExecutionProvider"}
