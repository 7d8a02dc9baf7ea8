"""The command line: info, run, and how errors leave it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu.commands import app
from tests.commands.command_line import RUNNER, call, call_json, refused

LONG_NAME = "/model/layers.0/activation/RRelu"


def node(inputs: list[str], outputs: list[str], op: str = "RRelu", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, outputs, domain="ort_rrelu", **attributes)


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[int | str]]],
    outputs: dict[str, int],
    functions: tuple[onnx.FunctionProto, ...] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
    )
    opsets = [helper.make_opsetid(domain, 1 if domain else 17) for domain in ("", "ort_rrelu", "local")]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)


def one_node(element: int = TensorProto.FLOAT, **attributes: Any) -> onnx.ModelProto:
    return model([node(["x"], ["y"], **attributes)], {"x": (element, ["batch", 3])}, {"y": element})


def stepped() -> onnx.ModelProto:
    return model(
        [node(["x", "step"], ["y", "noise"], name=LONG_NAME, training=1, seed=2**62 + 1)],
        {"x": (TensorProto.FLOAT, ["batch", 3]), "step": (TensorProto.INT64, [])},
        {"y": TensorProto.FLOAT, "noise": TensorProto.FLOAT},
    )


def nested() -> onnx.ModelProto:
    """Nodes in a body and in a function, whose bound refers to the function's."""
    bodies = {
        f"{branch}_branch": helper.make_graph(
            [node(["x"], ["b"], name=branch)],
            branch,
            [],
            [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
        )
        for branch in ("then", "else")
    }
    inner = node(["X"], ["Y"], name="inner")
    inner.attribute.append(onnx.AttributeProto(name="lower", ref_attr_name="low", type="FLOAT"))
    function = helper.make_function(
        "local", "F", ["X"], ["Y"], [inner], [helper.make_opsetid("ort_rrelu", 1)], attributes=["low"]
    )
    return model(
        [
            helper.make_node("If", ["c"], ["i"], **bodies),
            helper.make_node("F", ["i"], ["f"], domain="local", low=0.25),
            node(["f", "x"], ["y"], "RReluGrad", name="grad"),
        ],
        {"c": (TensorProto.BOOL, []), "x": (TensorProto.FLOAT, [3])},
        {"y": TensorProto.FLOAT},
        (function,),
    )


def failing() -> onnx.ModelProto:
    """What only ONNX Runtime finds out, in a run."""
    return model(
        [helper.make_node("Gather", ["x", "i"], ["g"]), node(["g"], ["y"])],
        {"x": (TensorProto.FLOAT, [1]), "i": (TensorProto.INT64, [1])},
        {"y": TensorProto.FLOAT},
    )


def sequences() -> onnx.ModelProto:
    """A sequence as output: no file can hold it."""
    result = model(
        [node(["x"], ["y"]), helper.make_node("SequenceConstruct", ["y"], ["s"])],
        {"x": (TensorProto.FLOAT, [3])},
        {"y": TensorProto.FLOAT},
    )
    result.graph.output.append(helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None))
    return result


def sequence_input() -> onnx.ModelProto:
    result = one_node()
    result.graph.input.append(helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None))
    return result


def strings() -> onnx.ModelProto:
    return model(
        [helper.make_node("Identity", ["s"], ["t"])],
        {"s": (TensorProto.STRING, ["n"])},
        {"t": TensorProto.STRING},
    )


def string_output() -> onnx.ModelProto:
    return model(
        [helper.make_node("Cast", ["i"], ["y"], to=TensorProto.STRING)],
        {"i": (TensorProto.INT64, [1])},
        {"y": TensorProto.STRING},
    )


def two_inputs() -> onnx.ModelProto:
    return model(
        [helper.make_node("Add", ["a", "b"], ["s"]), node(["s"], ["y"])],
        {"a": (TensorProto.FLOAT, ["batch", 3]), "b": (TensorProto.FLOAT, ["batch", 3])},
        {"y": TensorProto.FLOAT},
    )


MODELS = {
    "eval": one_node(),
    "train": one_node(training=1),
    "misspelt": one_node(trainning=1),
    "bounds": one_node(lower=2.0),
    "bf16": one_node(TensorProto.BFLOAT16, training=1, seed=3),
    "fp16": one_node(TensorProto.FLOAT16),
    "stepped": stepped(),
    "portable": ort_rrelu.graph.portable(stepped()),
    "nested": nested(),
    "failing": failing(),
    "sequences": sequences(),
    "sequence_input": sequence_input(),
    "strings": strings(),
    "words": string_output(),
    "two": two_inputs(),
    "unknown_op": model(
        [helper.make_node("Nope", ["x"], ["y"])], {"x": (TensorProto.FLOAT, [3])}, {"y": TensorProto.FLOAT}
    ),
}
ARRAYS: dict[str, Any] = {
    "x": np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3),
    "double": np.zeros((4, 3)),
    "wide": np.zeros((4, 5), np.float32),
    "flat": np.zeros(3, np.float32),
    "big_endian": np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3).astype(">f4"),
    "fortran": np.asfortranarray(np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)),
    "bf16": np.linspace(-2, 2, 12).reshape(4, 3).astype(ml_dtypes.bfloat16),
    "special": np.array([[np.nan, np.inf, -np.inf]], np.float32),
    "index": np.array([7]),
    "words": np.array(["a"], dtype=object),
    "step7": np.array(7),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, proto in MODELS.items():
        Path(f"{name}.onnx").write_bytes(proto.SerializeToString())
    for name, array in ARRAYS.items():
        np.save(name, array)
    np.savez("batch", x=ARRAYS["x"])
    np.savez("wrong", q=ARRAYS["x"])
    Path("junk.npy").write_text("junk")
    Path("cut.npy").write_bytes(Path("x.npy").read_bytes()[:-3])
    Path("cut.npz").write_bytes(Path("batch.npz").read_bytes()[:60])
    Path("folder.npz").mkdir()
    return tmp_path


def test_info_shows_the_installation() -> None:
    facts = call_json("info")
    assert facts["version"] == ort_rrelu.__version__
    assert facts["library"] == ort_rrelu.get_library_path()
    assert "CPUExecutionProvider" in facts["providers"]
    text = call("info")
    for part in ("Compiler", "Instruction set", "ABI", "CUDA", "RReluGrad", "bfloat16", facts["onnxruntime"]):
        assert part in text


def test_info_shows_the_nodes_of_a_model() -> None:
    facts = call_json("info stepped.onnx")
    assert facts["opsets"] == {"ai.onnx": 17, "ort_rrelu": 1, "local": 1}
    assert facts["inputs"] == {"x": "float32 [batch, 3]", "step": "int64 []"}
    (found,) = facts["nodes"]
    assert found["node"] == f'ort_rrelu:RRelu node "{LONG_NAME}"'
    expected = {
        "lower": 0.125,
        "training": 1,
        "seed": 2**62 + 1,
        "step": True,
        "noise": True,
        "reserve": False,
    }
    assert {key: found[key] for key in expected} == expected


def test_info_of_a_portable_model_shows_the_same_nodes() -> None:
    assert call_json("info portable.onnx")["nodes"] == call_json("info stepped.onnx")["nodes"]


@pytest.mark.parametrize(
    ("name", "portable"), [("stepped", False), ("portable", True), ("nested", False), ("strings", True)]
)
def test_info_tells_whether_a_model_is_portable(name: str, portable: bool) -> None:
    assert call_json(f"info {name}.onnx")["portable"] is portable
    text = " ".join(call(f"info {name}.onnx").split())
    assert ("Portable yes" in text, "Portable no" in text) == (name == "portable", not portable)


def test_info_finds_nodes_in_bodies_and_functions() -> None:
    nodes = {n["name"]: n for n in call_json("info nested.onnx")["nodes"]}
    assert set(nodes) == {"then", "else", "inner", "grad"}
    assert nodes["inner"]["lower"] == "@low"
    text = call("info nested.onnx")
    assert "RRelu: 3 nodes, 0 in train mode" in text
    assert "RReluGrad: 1 node" in text


@pytest.mark.parametrize("name", [*MODELS, None])
@pytest.mark.parametrize("verb", ["info", "run"])
def test_text_fits_80_columns(verb: str, name: str | None) -> None:
    result = RUNNER.invoke(app, [verb, f"{name}.onnx"] if name else [verb])
    lines = result.stdout.splitlines()
    assert [line for line in lines if len(line) > 80 and "/" not in line] == []


def test_info_of_a_model_with_little_in_it() -> None:
    bare = one_node()
    bare.graph.output[0].ClearField("type")
    bare.graph.input[0].type.tensor_type.elem_type = TensorProto.UNDEFINED
    Path("bare.onnx").write_bytes(bare.SerializeToString())
    facts = call_json("info bare.onnx")
    assert (facts["inputs"], facts["outputs"]) == ({"x": "any"}, {"y": "any"})
    call("info bare.onnx")


def test_info_without_nodes_of_ours() -> None:
    assert "no nodes of the domain ort_rrelu" in call("info strings.onnx")


def test_control_characters_of_names_do_not_reach_the_terminal() -> None:
    named = one_node()
    named.graph.node[0].name = "a\x1b[31mb\x07é"
    onnx.save(named, "control.onnx")
    shown = call("info control.onnx")
    assert "a\\x1b[31mb\\x07é" in shown
    named.graph.node[0].attribute.add(name="sed", type=onnx.AttributeProto.INT, i=1)
    onnx.save(named, "control.onnx")
    message = refused("run control.onnx")
    assert "a\\x1b[31mb\\x07é" in message and "\x1b" not in shown + message


def test_seeds_of_exporters_stay_on_one_line() -> None:
    assert str(2**62 + 1) in call("info stepped.onnx")


@pytest.mark.parametrize(
    "given", ["x.npy", "x=x.npy", "batch.npz", "big_endian.npy", "fortran.npy", "./x.npy"]
)
def test_run_reads_inputs(given: str) -> None:
    call(f"run eval.onnx --input {given} --output out.npz")
    np.testing.assert_array_equal(np.load("out.npz")["y"], ort_rrelu.rrelu(ARRAYS["x"]))


def test_run_with_a_file_whose_name_has_an_equals_sign() -> None:
    np.save("x=1.npy", ARRAYS["x"])
    assert call_json("run eval.onnx --input x=1.npy")["inputs"][0]["shape"] == [4, 3]


def test_random_inputs_repeat_and_take_their_sizes() -> None:
    first, again = (call_json("run two.onnx --dim batch=5") for _ in range(2))
    assert first["inputs"] == again["inputs"]
    a, b = first["inputs"]
    assert a["shape"] == b["shape"] == [5, 3]
    assert a["mean"] != b["mean"]
    assert call_json("run two.onnx")["inputs"][0]["shape"] == [1, 3]
    assert call_json("run two.onnx --input b=x.npy")["inputs"][0]["shape"] == [4, 3]
    assert call_json("run two.onnx --dim batch=0")["outputs"][0]["min"] is None


def test_seed_makes_runs_repeat() -> None:
    def draw(options: str) -> float:
        mean: float = call_json(f"run train.onnx --dim batch=50 {options}")["outputs"][0]["mean"]
        return mean

    assert draw("--seed 1") == draw("--seed 1")
    assert draw("--seed 1") != draw("--seed 2")
    assert draw("") != draw("")


@pytest.mark.parametrize(
    ("options", "last_step"),
    [
        ("", 0),
        ("--step 5", 5),
        ("--step 5 --repeat 3", 7),
        ("--step -1", -1),
        (f"--step {2**63 - 1} --repeat 2", -(2**63)),
        ("--input step=step7.npy --repeat 3", 7),
    ],
)
def test_step_counts_runs(options: str, last_step: int) -> None:
    facts = call_json(f"run stepped.onnx --input x.npy --output out.npz {options}")
    assert facts["inputs"][1]["max"] == last_step
    expected = ort_rrelu.rrelu(ARRAYS["x"], training=True, seed=2**62 + 1, step=last_step)
    np.testing.assert_array_equal(np.load("out.npz")["y"], expected)


def test_run_reports_median_of_repeats() -> None:
    assert "median of 3 runs" in call("run eval.onnx --repeat 3")
    facts = call_json("run eval.onnx --repeat 3")
    assert facts["runs"] == 3
    assert facts["median_ms"] > 0


@pytest.mark.parametrize("given", ["bf16.npy", "x.npy"])
def test_bfloat16_is_fed_and_written(given: str) -> None:
    x = ARRAYS["x"].astype(ml_dtypes.bfloat16)
    text = call(f"run bf16.onnx --input {given} --output out.npz")
    assert "y as float32" in text
    expected = ort_rrelu.rrelu(x, training=True, seed=3)
    np.testing.assert_array_equal(np.load("out.npz")["y"], expected.astype(np.float32))


def test_float16_random_input() -> None:
    call("run fp16.onnx --output out.npz")
    assert np.load("out.npz")["y"].dtype == np.float16


def test_string_outputs_are_shown_and_written() -> None:
    facts = call_json("run words.onnx --output out.npz")
    assert (facts["outputs"][0]["dtype"], facts["outputs"][0]["max"]) == ("string", None)
    assert np.load("out.npz")["y"].tolist() == ["1"]


def test_what_is_no_tensor_is_named_by_its_type() -> None:
    assert call_json("run sequences.onnx")["outputs"][1]["dtype"] == "seq(tensor(float))"


def test_json_has_no_bare_nan() -> None:
    (tensor,) = call_json("run eval.onnx --input special.npy")["inputs"]
    assert tensor["min"] == tensor["mean"] == "NaN"
    assert "NaN" not in call("run eval.onnx --input special.npy")
    assert "nan" in call("run eval.onnx --input special.npy")


ERRORS = {
    "info nope.onnx": "there is no model file nope.onnx",
    "info x.npy": "x.npy: not an ONNX model",
    "info misspelt.onnx": "unknown attribute 'trainning'",
    "info bounds.onnx": "lower=2 is greater than upper",
    "run nope.onnx": "there is no model file nope.onnx",
    "run misspelt.onnx": "did you mean 'training'",
    "run bounds.onnx": "lower=2 is greater than upper",
    "run unknown_op.onnx": "ONNX Runtime: ",
    "run failing.onnx --input i=index.npy": "ONNX Runtime: Non-zero status code returned",
    "run sequence_input.onnx": 'input "s" is seq(tensor(float)): the command line cannot feed that type',
    "run strings.onnx": 'input "s" is tensor(string): the command line cannot feed that type',
    "run eval.onnx --seed -1": "seed=-1",
    "run eval.onnx --step 1": '--step 1: the model has no int64 input named "step"; its inputs are: x',
    f"run stepped.onnx --step {2**63}": "step=9223372036854775808",
    "run stepped.onnx --step 1 --input step=step7.npy": "step7.npy gives the step already",
    "run eval.onnx --input nope.npy": "nope.npy: No such file or directory",
    "run eval.onnx --input folder.npz": "folder.npz: Is a directory",
    "run eval.onnx --input q=x.npy": 'no input named "q"; its inputs are: x',
    "run two.onnx --input wrong.npz": 'wrong.npz: the model has no input named "q"; its inputs are: a, b',
    "run two.onnx --input x.npy": "x.npy: say for which input, as in NAME=x.npy; its inputs are: a, b",
    "run eval.onnx --input x=batch.npz": "batch.npz names its arrays itself",
    "run eval.onnx --input x.npy --input batch.npz": 'input "x" is given twice: x.npy, batch.npz',
    "run eval.onnx --input junk.npy": "junk.npy: not a .npy or .npz file",
    "run eval.onnx --input words.npy": "words.npy: not a .npy or .npz file",
    "run eval.onnx --input cut.npy": "cut.npy: not a .npy or .npz file",
    "run eval.onnx --input cut.npz": "cut.npz: not a .npy or .npz file",
    "run eval.onnx --input double.npy": 'input "x": double.npy has dtype float64, the model wants float32',
    "run bf16.onnx --input double.npy": "the model wants bfloat16 (as float32 in the file)",
    "run eval.onnx --input wide.npy": 'input "x": wide.npy has shape [4, 5], the model wants [batch, 3]',
    "run eval.onnx --input flat.npy": "flat.npy has shape [3], the model wants [batch, 3]",
    "run eval.onnx --input x.npy --dim batch=2": "the model wants [batch, 3] with batch=2",
    "run eval.onnx --dim batch": "--dim batch: write NAME=SIZE",
    "run eval.onnx --dim batch=-1": "--dim batch=-1: write NAME=SIZE",
    "run eval.onnx --dim n=2": 'no input has a dimension named "n"; named dimensions: batch',
    "run eval.onnx --output y.npy": "name it y.npz",
    "run eval.onnx --output batch.npz": "batch.npz exists: --force replaces it",
    "run eval.onnx --output folder.npz": "folder.npz is a folder",
    "run eval.onnx --output nope/y.npz": "there is no folder",
    "run sequences.onnx --output y.npz": 'output "s" is seq(tensor(float)), which .npz files cannot hold',
}


@pytest.mark.parametrize(("command", "message"), ERRORS.items(), ids=ERRORS)
def test_errors_are_one_line(command: str, message: str) -> None:
    assert message in refused(command)


def test_a_failed_write_keeps_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("out.npz").write_text("old")
    before = sorted(folder.iterdir())

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    result = RUNNER.invoke(app, ["run", "eval.onnx", "--output", "out.npz", "--force"])
    assert (result.exit_code, result.stderr) == (2, "error: No space left on device\n")
    assert Path("out.npz").read_text() == "old"
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("command", ["--debug info nope.onnx", "info nope.onnx --debug"])
def test_debug_shows_the_traceback(command: str) -> None:
    result = RUNNER.invoke(app, command.split())
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("error: there is no model file nope.onnx\n")


def test_version() -> None:
    assert call("--version") == f"ort-rrelu {ort_rrelu.__version__}\n"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_module_runs_as_a_process() -> None:
    done = python("-m", "ort_rrelu", "run", "eval.onnx", "--input", "x.npy", "--output", "out.npz")
    assert done.returncode == 0, done.stderr
    assert "Wrote out.npz" in done.stdout
    assert Path("out.npz").stat().st_mode & 0o777 == Path("x.npy").stat().st_mode & 0o777


@pytest.mark.parametrize("command", ["run unknown_op.onnx", "run failing.onnx --input i=index.npy"])
def test_errors_of_onnxruntime_are_told_once(command: str) -> None:
    done = python("-m", "ort_rrelu", *command.split())
    assert done.returncode == 2
    assert done.stderr.startswith("error: ONNX Runtime: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("package", "command", "code", "message"),
    [
        ("typer", "info", 2, "error: typer, which the command line needs, is not installed: pip install"),
        ("rich", "info", 2, "error: rich, which the command line needs, is not installed: pip install"),
        (
            "onnxruntime",
            "run eval.onnx",
            2,
            "error: onnxruntime is not installed: pip install 'ort-rrelu[cpu]'",
        ),
        (
            "onnxruntime",
            "compare portable.onnx --without-library",
            2,
            "error: onnxruntime is not installed: pip install 'ort-rrelu[cpu]'",
        ),
        ("onnxruntime", "info", 0, "not installed: pip install 'ort-rrelu[cpu]'"),
    ],
)
def test_missing_packages_are_named(package: str, command: str, code: int, message: str) -> None:
    done = python(
        "-c",
        f"import sys; sys.modules[{package!r}] = None; sys.argv[1:] = {command.split()!r}; "
        "from ort_rrelu.cli import main; main()",
    )
    assert done.returncode == code
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
