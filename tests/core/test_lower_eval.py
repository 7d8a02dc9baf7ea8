"""lower_eval: which nodes ONNX Runtime gets as LeakyRelu, and that nothing else changes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf.message import EncodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

import ort_rrelu
from ort_rrelu import opening, reference
from ort_rrelu.functions import mean_slope
from ort_rrelu.graph.check import checked_nodes
from ort_rrelu.graph.eval_nodes import lower_eval_nodes
from ort_rrelu.graph.nodes import all_nodes, our_nodes
from ort_rrelu.runtime import model_of
from tests.bits import assert_same_bits
from tests.draws import normal, special_values
from tests.onnx_models import (
    BFLOAT16,
    DOUBLE,
    FLOAT,
    FLOAT16,
    Array,
    handed_over,
    parsed,
    rrelu_model,
    run,
)

_PROVIDERS = ["CPUExecutionProvider"]
_X = normal((2, 3, 8, 8), FLOAT)
_FOLDER = "session.model_external_initializers_file_folder_path"


def _options(**settings: Any) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    for name, value in settings.items():
        setattr(options, name, value)
    return options


def _opened(model: onnx.ModelProto | str | os.PathLike[str], **settings: Any) -> onnxruntime.InferenceSession:
    """lower_eval, seed and session options; the rest as a user has it."""
    keys = {name: settings.pop(name) for name in ("lower_eval", "seed") if name in settings}
    options = _options(**settings) if settings else None
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    return ort_rrelu.InferenceSession(source, options, _PROVIDERS, **keys)


def _kernels(tmp_path: Path, model: onnx.ModelProto, *inputs: Array, **settings: Any) -> list[str]:
    """The operators whose kernels a run calls."""
    of = _opened(model, enable_profiling=True, profile_file_prefix=str(tmp_path / "run"), **settings)
    run(of, *inputs)
    events = json.loads(Path(of.end_profiling()).read_text("utf-8"))
    return [e["args"]["op_name"] for e in events if e["cat"] == "Node" and e["name"].endswith("_kernel_time")]


def _lowered(model: onnx.ModelProto) -> list[str]:
    """The first outputs of the nodes that become LeakyRelu."""
    before = {node.output[0] for node in our_nodes(model)}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made = lower_eval_nodes(copy, checked_nodes(copy))
    names = [node.output[0] for node in all_nodes(copy) if node.op_type == "LeakyRelu"]
    assert made == bool(names)
    assert set(names) <= before
    return names


# Bits

_BOUNDS = [
    *((0.125, 1 / 3), (0.1, 0.2), (1.0, 1.0), (2.0, 3.0), (-1.0, 3.0), (1e38, 3e38)),
    *((0.0, 0.0), (-0.0, 0.0), (-0.5, -0.1), (-1.0, 0.5), (-1.0, 1.0)),
    *((1e-40, 3e-40), (1e-45, 1e-45), (0.0, 1e-45), (0.0, 3e-45)),  # subnormal slopes, one of which is 0
]


def _assert_bits_of_the_kernel(x: Array, lower: float, upper: float) -> None:
    model = rrelu_model(shape=["n"], outputs=["y"], lower=lower, upper=upper)
    assert _lowered(model) == (["y"] if mean_slope((lower, upper)) > 0 else [])
    (y,), (kernel,) = (run(_opened(model, lower_eval=lower_eval), x) for lower_eval in (True, False))
    assert_same_bits(y, kernel)
    assert_same_bits(y, reference.rrelu(x, lower, upper))


@pytest.mark.parametrize(("lower", "upper"), _BOUNDS)
def test_bits(lower: float, upper: float) -> None:
    patterns = np.random.default_rng(1).integers(0, 2**32, 2**14, dtype=np.uint32).view(np.float32)
    x = np.concatenate([special_values(FLOAT).ravel(), patterns])
    with np.errstate(all="ignore"):
        _assert_bits_of_the_kernel(x, lower, upper)


@settings(max_examples=40)
@given(st.tuples(*[st.floats(-(2.0**100), 2.0**100, width=32)] * 2), st.integers(0, 2**32 - 1))
def test_bits_of_any_bounds(bounds: tuple[float, float], seed: int) -> None:
    patterns = np.random.default_rng(seed).integers(0, 2**32, 1000, dtype=np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        _assert_bits_of_the_kernel(patterns, *sorted(bounds))


# Which nodes


def test_a_lone_node(tmp_path: Path) -> None:
    model = rrelu_model(shape=[2, 3, 8, 8], outputs=["y"])
    assert _kernels(tmp_path, model, _X) == ["LeakyRelu"]
    assert _kernels(tmp_path, model, _X, lower_eval=False) == ["RRelu"]


def _convolutions(more: str = "") -> onnx.ModelProto:
    model = parsed(f"""net (float[2,3,8,8] x) => (float[2,4,8,8] y) {{ c = Conv <pads = [1,1,1,1]> (x, w)
        y = ort_rrelu.RRelu (c) {more} }}""")
    model.graph.initializer.append(numpy_helper.from_array(normal((4, 3, 3, 3), FLOAT), "w"))
    return model


def test_a_convolution_is_fused(tmp_path: Path) -> None:
    fused = _kernels(tmp_path, _convolutions(), _X)
    assert not {"LeakyRelu", "RRelu"} & set(fused)
    assert "RRelu" in _kernels(tmp_path, _convolutions(), _X, lower_eval=False)
    expected, y = (run(_opened(_convolutions(), lower_eval=lower), _X)[0] for lower in (False, True))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_a_constant_part_is_folded(tmp_path: Path) -> None:
    model = parsed("""net (float[2,3,8,8] x) => (float[2,3,8,8] y) {
        a = Neg (w) b = ort_rrelu.RRelu (a) y = Add (x, b) }""")
    model.graph.initializer.append(numpy_helper.from_array(normal((2, 3, 8, 8), FLOAT, seed=3), "w"))
    assert _kernels(tmp_path, model, _X) == ["Add"]
    assert _kernels(tmp_path, model, _X, lower_eval=False) == ["RRelu", "Add"]
    (y,), (expected,) = (run(_opened(model, lower_eval=lower), _X) for lower in (True, False))
    assert_same_bits(y, expected)


@pytest.mark.parametrize("dtype", [DOUBLE, FLOAT16, BFLOAT16])
def test_other_types_stay(dtype: int) -> None:
    assert _lowered(rrelu_model(dtype, shape=["n"], outputs=["y"])) == []


@pytest.mark.parametrize(
    ("nodes", "lowered"),
    {
        "noise is an output": ("r, n = ort_rrelu.RRelu (x) y = Add (r, n)", []),
        "noise is not read": ("y, n = ort_rrelu.RRelu (x)", ["y"]),
        "noise has no name": ('y, "" = ort_rrelu.RRelu (x)', ["y"]),
        "reserve is read": (
            'r, "", s = ort_rrelu.RRelu (x) y = ort_rrelu.RReluGrad (r, s)',
            [],
        ),
        "reserve is not read": ('y, "", s = ort_rrelu.RRelu (x)', ["y"]),
        "train": ("r = ort_rrelu.RRelu <training = 1> (x) y = ort_rrelu.RRelu (r)", ["y"]),
        "negative mean slope": ("y = ort_rrelu.RRelu <lower = -1.0, upper = 0.5> (x)", []),
        "bounds as INT": ("y = ort_rrelu.RRelu <lower = 0, upper = 1> (x)", ["y"]),
        "cast": (
            "d = Cast <to = 11> (x) r = ort_rrelu.RRelu (d) f = Cast <to = 1> (r) y = ort_rrelu.RRelu (f)",
            ["y"],
        ),
        "cast like": ("d = Cast <to = 11> (x) f = CastLike (d, x) y = ort_rrelu.RRelu (f)", ["y"]),
        "of several inputs": ("c = Concat <axis = 0> (x, x) r = ort_rrelu.RRelu (c) y = Neg (r)", ["r"]),
        "of several outputs": (
            "a, b = Split <num_outputs = 2> (x) r = ort_rrelu.RRelu (b) y = Neg (r)",
            ["r"],
        ),
        "in a body": (
            """t = Constant <value = bool {1}> () y = If (t) <
                then_branch = a () => (float[2,3,8,8] u) { u = ort_rrelu.RRelu (x) },
                else_branch = b () => (float[2,3,8,8] v) { d = Cast <to = 11> (x) e = ort_rrelu.RRelu (d)
                    v = Cast <to = 1> (e) }>""",
            ["u"],
        ),
        "behind control flow": (
            """t = Constant <value = bool {1}> () r = If (t) <
                then_branch = a () => (float[2,3,8,8] u) { u = Neg (x) },
                else_branch = b () => (float[2,3,8,8] v) { v = Identity (x) }>
            y = ort_rrelu.RRelu (r)""",
            ["y"],  # for y is declared
        ),
        "behind what nobody knows": ("u = own.Unknown (x) r = ort_rrelu.RRelu (u) y = Neg (r)", []),
    }.values(),
)
def test_which_nodes(nodes: str, lowered: list[str]) -> None:
    model = parsed(f"net (float[2,3,8,8] x) => (float[2,3,8,8] y) {{ {nodes} }}")
    assert _lowered(model) == lowered


def test_a_name_in_a_body_hides_the_type_outside() -> None:
    """ONNX Runtime refuses such a model; its node must not be taken for one of float."""
    model = parsed("""net (float[n] x, bool t) => (float[n] y) { y = If (t) <
        then_branch = a () => (float[n] u) { x = own.Unknown () r = ort_rrelu.RRelu (x) u = Neg (r) },
        else_branch = b () => (float[n] v) { v = Identity (x) }> }""")
    assert _lowered(model) == []


_FUNCTION = """<domain: "own", opset_import: ["" : 18, "ort_rrelu" : 1]>
    act (a) => (b) { b = ort_rrelu.RRelu (a) }"""


def test_nodes_of_functions_stay(tmp_path: Path) -> None:
    model = parsed("net (float[2,3,8,8] x) => (float[2,3,8,8] y) { h = own.act (x) y = ort_rrelu.RRelu (h) }")
    model.functions.append(onnx.parser.parse_function(_FUNCTION))
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("h", FLOAT, [2, 3, 8, 8]))
    assert _lowered(model) == ["y"]
    assert _kernels(tmp_path, model, _X) == ["RRelu", "LeakyRelu"]


@pytest.mark.parametrize("opset", [6, None])
def test_opsets_that_have_no_leaky_relu_of_today(opset: int | None) -> None:
    model = rrelu_model(outputs=["y"])
    if opset is None:
        del model.opset_import[0]
    else:
        model.opset_import[0].version = opset
    assert _lowered(model) == []


def test_a_standard_operator_that_the_model_defines_itself() -> None:
    model = rrelu_model(outputs=["y"])
    body = '<domain: "", opset_import: ["" : 18]> LeakyRelu <alpha> (a) => (b) { b = Neg (a) }'
    model.functions.append(onnx.parser.parse_function(body))
    assert _lowered(model) == []


# What stays as it was


def test_a_step_that_nothing_reads(capfd: pytest.CaptureFixture[str]) -> None:
    """Inputs stay, so that the same feeds run; ONNX Runtime would warn of a constant."""
    model = parsed("""net (float[2,3,8,8] x, int64 step) => (float[2,3,8,8] y) {
        zero = Constant <value = int64 {0}> () a = ort_rrelu.RRelu (x, zero)
        more = Add (step, seven) y = ort_rrelu.RRelu (a, more) }""")
    model.graph.initializer.append(numpy_helper.from_array(np.array(7), "seven"))
    of = _opened(model, log_severity_level=0)
    assert [value.name for value in of.get_inputs()] == ["x", "step"]
    (y,) = run(of, _X, np.array(5))
    assert_same_bits(y, reference.rrelu(reference.rrelu(_X)))
    assert "Removing initializer" not in capfd.readouterr().err
    lower_eval_nodes(model, checked_nodes(model))
    assert [node.op_type for node in model.graph.node] == ["LeakyRelu", "LeakyRelu"]


def test_a_portable_model(tmp_path: Path) -> None:
    eval_only = ort_rrelu.graph.portable(_convolutions())
    lower_eval_nodes(eval_only, checked_nodes(eval_only))
    assert not eval_only.functions
    mixed = ort_rrelu.graph.portable(_convolutions("z = ort_rrelu.RRelu <training = 1, seed = 1> (c)"))
    mixed.graph.output.append(onnx.helper.make_tensor_value_info("z", FLOAT, [2, 4, 8, 8]))
    assert sorted(name for name in _kernels(tmp_path, mixed, _X) if "elu" in name) == ["LeakyRelu", "RRelu"]


_MIXED = """net (float[n,4] x, int64[n] step) => (float[n,4] y) {
    a = ort_rrelu.RRelu (x) b = ort_rrelu.RRelu <training = 1> (a, step)
    c = ort_rrelu.RRelu (b) y = ort_rrelu.RRelu <training = 1> (c, step) }"""


def test_train_nodes_draw_as_before() -> None:
    x, step = normal((8, 4), FLOAT), np.arange(8)
    (y,), (expected,) = (
        run(_opened(parsed(_MIXED), seed=5, lower_eval=lower), x, step) for lower in (True, False)
    )
    assert_same_bits(y, expected)


def test_monte_carlo_sees_the_model_that_was_given() -> None:
    model = parsed(_MIXED)
    of = _opened(model, seed=5)
    seen = model_of(of)
    assert seen is not None
    assert list(map(str, seen.graph.node)) == list(map(str, model.graph.node))
    x = normal((8, 4), FLOAT)
    drawn, expected = (
        ort_rrelu.monte_carlo(session, {"x": x}, 3)["y"]
        for session in (of, _opened(model, seed=5, lower_eval=False))
    )
    assert_same_bits(drawn, expected)


@pytest.mark.parametrize("form", ["path", "bytes"])
def test_a_model_without_such_nodes_is_handed_over_untouched(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = rrelu_model(outputs=["y"], training=1)
    onnx.save(model, tmp_path / "m.onnx")
    source: Any = str(tmp_path / "m.onnx") if form == "path" else model.SerializeToString()
    given = handed_over(monkeypatch)
    ort_rrelu.InferenceSession(source)
    assert given[0] is source


@pytest.mark.parametrize("form", ["path", "bytes"])
def test_the_session_keeps_no_second_copy(form: str, tmp_path: Path) -> None:
    """And makes itself again from the caller's."""
    model = rrelu_model(outputs=["y"])
    onnx.save(model, tmp_path / "m.onnx")
    source: Any = str(tmp_path / "m.onnx") if form == "path" else model.SerializeToString()
    of = ort_rrelu.InferenceSession(source)
    assert (of._model_path if form == "path" else of._model_bytes) is source
    of.set_providers(_PROVIDERS)
    assert_same_bits(run(of, _X)[0], reference.rrelu(_X))


def _sources(
    monkeypatch: pytest.MonkeyPatch, source: Any, *arguments: Any, **settings: Any
) -> tuple[Any, onnxruntime.InferenceSession]:
    given = handed_over(monkeypatch)
    # Named: without names a build for GPUs may use providers that have other bits.
    of = ort_rrelu.InferenceSession(source, *arguments, **{"providers": _PROVIDERS} | settings)
    return given[0], of


def test_a_model_with_two_opsets_of_standard_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime takes one of them, and it may be the one that has no LeakyRelu like ours."""
    model = rrelu_model(outputs=["y"])
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx", 5))
    source = model.SerializeToString()
    assert opening.Checked(source, model, checked_nodes(model)).lowered(_options(), _PROVIDERS) is source


def test_sessions_whose_optimizer_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    source = rrelu_model(outputs=["y"]).SerializeToString()
    off = _options(graph_optimization_level=onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    assert _sources(monkeypatch, source, off)[0] is source


def test_sessions_that_write_their_model(tmp_path: Path) -> None:
    path = tmp_path / "written.onnx"
    _opened(rrelu_model(outputs=["y"]), optimized_model_filepath=str(path))
    assert [node.op_type for node in onnx.load(path).graph.node] == ["RRelu"]


def test_sessions_that_flush_subnormals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without opening one: it would set the mode of this thread."""
    options = ort_rrelu.register()
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    model = rrelu_model(outputs=["y"])
    source = model.SerializeToString()
    assert opening.Checked(source, model, checked_nodes(model)).lowered(options, _PROVIDERS) is source


@pytest.mark.parametrize(
    ("providers", "lowers"),
    [
        (["CPUExecutionProvider"], True),
        (["AzureExecutionProvider", "CPUExecutionProvider"], True),
        ([("CUDAExecutionProvider", {"device_id": 0}), "CPUExecutionProvider"], True),
        (["CoreMLExecutionProvider", "CPUExecutionProvider"], False),
        ([("OpenVINOExecutionProvider", {}), "CPUExecutionProvider"], False),
    ],
)
def test_providers(providers: Any, lowers: bool) -> None:
    model = rrelu_model(outputs=["y"])
    source = model.SerializeToString()
    made = opening.Checked(source, model, checked_nodes(model)).lowered(ort_rrelu.register(), providers)
    assert (made is not source) == lowers


def test_a_model_that_is_too_large_for_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    class TooLarge:
        def SerializeToString(self) -> bytes:  # noqa: N802
            raise EncodeError("Failed to serialize proto")

    monkeypatch.setattr(opening, "lower_eval_nodes", lambda model, ours: True)
    large: Any = TooLarge()
    assert opening.Checked(b"source", large).lowered(ort_rrelu.register(), _PROVIDERS) == b"source"


@pytest.mark.parametrize("lower_eval", [0, 1, None, "yes", np.True_])
def test_lower_eval_that_is_no_bool(lower_eval: Any) -> None:
    source = rrelu_model().SerializeToString()
    with pytest.raises(TypeError, match=r"^lower_eval=.*: it must be True or False$") as caught:
        ort_rrelu.InferenceSession(source, lower_eval=lower_eval)
    assert isinstance(caught.value, ort_rrelu.Error)


def test_bounds_that_are_refused() -> None:
    for lower_eval in (True, False):
        with pytest.raises(ort_rrelu.Error, match=r'output "y": lower=0\.5'):
            _opened(rrelu_model(outputs=["y"], lower=0.5, upper=0.25), lower_eval=lower_eval)


# Weights in other files


def _with_weights(folder: Path) -> str:
    path = folder / "model.onnx"
    onnx.save(_convolutions(), path, save_as_external_data=True, location="weights", size_threshold=0)
    return str(path)


def _assert_same_run(of: onnxruntime.InferenceSession) -> None:
    (expected,) = run(_opened(_convolutions(), lower_eval=False), _X)
    np.testing.assert_allclose(run(of, _X)[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.onnxruntime("1.21")
def test_weights_stay_in_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handed, of = _sources(monkeypatch, _with_weights(tmp_path))
    assert onnx.load_model_from_string(handed).graph.initializer[0].external_data
    _assert_same_run(of)


def test_options_that_other_models_may_use_name_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime would look there for the weights of those, too."""
    path, options = _with_weights(tmp_path), _options()
    handed, of = _sources(monkeypatch, path, options)
    assert handed == path
    assert opening.entry(options, _FOLDER) is None
    _assert_same_run(of)


@pytest.mark.onnxruntime("1.21")
@pytest.mark.parametrize(
    "entry", [(_FOLDER, "{folder}"), ("ort_rrelu.one_model", "1")], ids=["folder", "one model"]
)
def test_options_of_this_model(
    entry: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, options = _with_weights(tmp_path), _options()
    options.add_session_config_entry(entry[0], entry[1].format(folder=tmp_path))
    handed, of = _sources(monkeypatch, path, options)
    assert isinstance(handed, bytes)
    _assert_same_run(of)


@pytest.mark.onnxruntime("1.21")
def test_options_that_name_another_folder(tmp_path: Path) -> None:
    model, options = onnx.load(_with_weights(tmp_path), load_external_data=False), ort_rrelu.register()
    for key, value in ((_FOLDER, str(tmp_path.parent)), ("ort_rrelu.one_model", "1")):
        options.add_session_config_entry(key, value)
    path = str(tmp_path / "model.onnx")
    assert opening.Checked(path, model, checked_nodes(model)).lowered(options, _PROVIDERS) == path
    assert opening.entry(options, _FOLDER) == str(tmp_path.parent)


def test_links_to_weights_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As caches of models have them."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "links").mkdir()
    _with_weights(tmp_path / "blobs")
    for name in ("model.onnx", "weights"):
        (tmp_path / "links" / name).symlink_to(tmp_path / "blobs" / name)
    path = str(tmp_path / "links" / "model.onnx")
    handed, of = _sources(monkeypatch, path)
    assert handed == path
    _assert_same_run(of)


def test_a_runtime_that_cannot_be_told_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_READS_FOLDER", False)
    path = _with_weights(tmp_path)
    handed, of = _sources(monkeypatch, path)
    assert handed == path
    _assert_same_run(of)


@pytest.mark.parametrize("lower_eval", [True, False])
def test_weights_that_are_missing(tmp_path: Path, lower_eval: bool) -> None:
    path = _with_weights(tmp_path)
    (tmp_path / "weights").unlink()
    with pytest.raises(Exception, match="weights"):
        ort_rrelu.InferenceSession(path, lower_eval=lower_eval)
