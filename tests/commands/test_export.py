"""`ort-rrelu export`: factories, modules, saved programs; what is exported, and what is refused."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import ort_rrelu
from tests.commands.command_line import call, call_json, refused

SOURCE = """
import sys
import torch
from torch import nn

def talks():
    print("a factory may print")
    return network()

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.RReLU())

class Sum(nn.Module):
    def forward(self, a, b):
        return torch.rrelu(a + b.to(a.dtype), training=self.training)

class Scaled(nn.Module):
    def forward(self, x, scale):
        return nn.functional.rrelu(x) * scale

class Attention(nn.Module):
    def forward(self, x):
        return torch.rrelu(x.squeeze(0).unsqueeze(0) if x.shape[0] == 1 else x)

class Pairs(nn.Module):
    def forward(self, x):
        return torch.rrelu(x + 1 if x.shape[0] == 2 else x)

class Sorted(nn.Module):
    def forward(self, x):
        return torch.linalg.eig(x)[0]

class Edges(nn.Module):
    def forward(self, x, edges):
        return torch.rrelu(x[edges[0]] + x[edges[1]])

class Tokens(nn.Module):
    def forward(self, x, mask):
        return torch.rrelu(x * mask)

instance = Sum().eval()
number = 3

def broken():
    raise RuntimeError("no weights\\nin this folder")

def leaves():
    sys.exit(3)

def gives_a_number():
    return 3
"""
NAMES = (f"cli_net_{number}" for number in itertools.count())


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, of a name that no other test has imported."""
    monkeypatch.chdir(tmp_path)
    name = next(NAMES)
    Path(f"{name}.py").write_text(SOURCE)
    np.save("a", np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3))
    np.save("b", np.arange(6).reshape(2, 3))
    np.save("words", np.array(["a"]))
    np.savez("both", a=np.zeros(3))
    return name


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("exporter", ["", "--torchscript"])
def test_all_options_at_once(net: str, exporter: str) -> None:
    facts = call_json(
        f"export {net}:talks --input-shape 1,4 --dynamic-batch --train --seed 1 --step-input "
        f"--opset 18 -o net.onnx {exporter}"
    )
    model = onnx.load("net.onnx")
    (node,) = facts["nodes"]
    assert (node["training"], node["seed"]) == (1, ort_rrelu.reference.derive_seed(1, 0))
    assert facts["portable"]
    assert facts["opsets"]["ai.onnx"] == 18
    x, step = model.graph.input
    assert (x.name, dims(x), step.name) == ("input", ["batch", 4], "step")
    session = ort_rrelu.InferenceSession("net.onnx")
    feed = {"input": np.ones((5, 4), np.float32), "step": np.array(2)}
    assert session.run(None, feed)[0].shape == (5, 3)


@pytest.mark.parametrize("exporter", ["", "--torchscript"])
def test_eval_is_for_the_whole_module(net: str, exporter: str) -> None:
    """Dropout, too, which leaves no node then: nobody wants half of a network in train mode."""
    call(f"export {net}:network --input-shape 2,4 --eval -o net.onnx {exporter}")
    assert [node.op_type for node in onnx.load("net.onnx").graph.node] == ["Gemm", "RRelu"]
    assert [node["training"] for node in call_json("info net.onnx")["nodes"]] == [0]


@pytest.mark.parametrize("exporter", ["", "--torchscript --opset 12"])
def test_lowered(net: str, exporter: str) -> None:
    """In the opset that was asked for, also one that is too old for a portable model."""
    facts = call_json(f"export {net}:network --input-shape 2,4 --eval --lower -o net.onnx {exporter}")
    assert facts["nodes"] == []
    model = onnx.load("net.onnx")
    assert [node.op_type for node in model.graph.node] == ["Gemm", "LeakyRelu"]
    assert ort_rrelu.schema.DOMAIN not in {entry.domain for entry in model.opset_import}
    assert not exporter or model.opset_import[0].version == 12
    call(f"export {net}:network --input-shape 2,4 --eval -o kept.onnx {exporter.replace('12', '18')}")
    assert "Tolerance 0: kept" in call("compare kept.onnx net.onnx --tolerance 0")


@pytest.mark.parametrize("step", ["--step-input", "--step-input-rows"])
def test_a_lowered_model_has_no_step(net: str, step: str) -> None:
    command = f"export {net}:network --input-shape 2,4 --train --seed 1 {step} --lower -o net.onnx"
    assert "error: --step-input: --lower leaves train nodes" in refused(command)


def test_instances_and_arrays_from_files(net: str) -> None:
    facts = call_json(f"export {net}:instance --input a.npy --input b.npy --no-portable -o net.onnx")
    assert facts["inputs"] == {"a": "float32 [2, 3]", "b": "int64 [2, 3]"}
    assert not facts["portable"]
    found = ort_rrelu.InferenceSession("net.onnx").run(None, {"a": np.load("a.npy"), "b": np.load("b.npy")})
    np.testing.assert_array_equal(found[0], ort_rrelu.rrelu(np.load("a.npy") + np.load("b.npy").astype("f4")))


@pytest.mark.parametrize("exporter", ["", "--torchscript"])
def test_scalars_and_other_dtypes(net: str, exporter: str) -> None:
    command = f"export {net}:Scaled --input-shape float64:1,3 --input-shape float64: --dynamic-batch"
    facts = call_json(f"{command} -o net.onnx {exporter}")
    assert facts["inputs"] == {"x": "float64 [batch, 3]", "scale": "float64 []"}


@pytest.mark.parametrize(("option", "training"), [("", 1), ("--eval", 0)])
def test_saved_programs(net: str, option: str, training: int) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.RReLU()).train()
    torch.export.save(torch.export.export(module, (torch.ones(2, 4),)), "net.pt2")
    (node,) = call_json(f"export net.pt2 {option} --seed 1 -o net.onnx")["nodes"]
    assert node["training"] == training


def test_a_batch_of_one_does_not_fix_the_size(net: str) -> None:
    facts = call_json(f"export {net}:Attention --input-shape 1,4 --dynamic-batch -o net.onnx")
    assert facts["inputs"] == {"x": "float32 [batch, 4]"}


@pytest.mark.parametrize("exporter", ["", "--torchscript"])
def test_axes_that_are_named(net: str, exporter: str) -> None:
    """The first axis of a list of edges is no batch, though the rows of x are one."""
    command = f"export {net}:Edges --input-shape 1,4 --input-shape int64:2,1 --dynamic-batch {exporter}"
    facts = call_json(f"{command} -o net.onnx")
    assert facts["inputs"] == {"x": "float32 [batch, 4]", "edges": "int64 [2, 1]"}
    facts = call_json(f"{command} --dynamic-axis edges:-1=E -o net.onnx --force")
    assert facts["inputs"] == {"x": "float32 [batch, 4]", "edges": "int64 [2, E]"}
    x, edges = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), np.array([[0, 1, 2, 0], [2, 1, 0, 0]])
    (found,) = ort_rrelu.InferenceSession("net.onnx").run(None, {"x": x, "edges": edges})
    np.testing.assert_array_equal(found, ort_rrelu.rrelu(x[edges[0]] + x[edges[1]]))


@pytest.mark.parametrize("exporter", ["", "--torchscript"])
def test_axes_of_one_name_have_one_size(net: str, exporter: str) -> None:
    named = ("x:0=rows", "mask:0=rows", "x:1=length", "mask:1=length")
    axes = " ".join(f"--dynamic-axis {axis}" for axis in named)
    command = f"export {net}:Tokens --input-shape 1,3 --input-shape 1,3 --dynamic-batch {exporter}"
    facts = call_json(f"{command} {axes} -o net.onnx")
    assert facts["inputs"] == {"x": "float32 [rows, length]", "mask": "float32 [rows, length]"}


def test_an_output_that_exists_needs_force(net: str) -> None:
    Path("net.onnx").write_text("mine")
    command = f"export {net}:network --input-shape 1,4 -o net.onnx"
    assert "net.onnx exists: --force replaces it" in refused(command)
    call(f"{command} --force")
    assert call_json("info net.onnx")["nodes"]


ERRORS = {
    "nope_nope:x --input-shape 1,4": "error: nope_nope:x: there is no module 'nope_nope', neither in",
    "{net}.x:y --input-shape 1,4": "there is no module '{net}.x'",
    "{net}:networks --input-shape 1,4": "{net} has no 'networks'; did you mean 'network'?",
    "{net}:broken --input-shape 1,4": "{net}:broken raised RuntimeError: no weights in this folder",
    "{net}:leaves --input-shape 1,4": "{net}:leaves raised SystemExit: 3",
    "{net}:number --input-shape 1,4": "{net}:number: a int is neither a module nor a function that makes one",
    "{net}:gives_a_number --input-shape 1,4": "gives an object of type int: it must be a torch.nn.Module",
    "{net}.py": "{net}.py: it must be package.module:factory, an exported program (.pt2)",
    "{net}:network": "example inputs are needed, one for each argument of forward",
    "{net}:network --input-shape 1,4 --input a.npy": "either --input-shape, as in 1,3,32,32, or --input",
    "{net}:network --input-shape 1x4": "--input-shape 1x4: write sizes with commas",
    "{net}:network --input-shape half:1,4": "unknown dtype 'half': it must be float32, float64",
    "{net}:network --input-shape 1,5": "torch cannot export {net}:network: RuntimeError: a and b must have",
    "{net}:network --input-shape 1,5 --torchscript": "torch cannot export {net}:network: RuntimeError: mat1",
    "{net}:instance --input-shape 1,5": "TypeError: missing a required argument: 'b'",
    "{net}:Sorted --input-shape 3,3": "No ONNX function found for <OpOverload(op='aten.linalg_eig'",
    "{net}:network --input nope.npy": "nope.npy: No such file or directory",
    "{net}:network --input both.npz": "both.npz: an .npz file has no order",
    "{net}:network --input words.npy": "words.npy has dtype <U1, which torch does not have",
    "{net}:network --input {net}.py": "{net}.py: not a .npy or .npz file",
    "{net}:network --input-shape 1,4 --opset 99 --no-portable": "--opset 99: the exporter cannot write it",
    "{net}:network --input-shape 1,4 --opset 15": "a portable model needs 18 or newer",
    "{net}:network --input-shape 1,4 --seed -1": "seed=-1",
    "{net}:Pairs --input-shape 2,4 --dynamic-batch": "{net}:Pairs works for one size of its input 'x' only",
    "nope.pt2": "there is no model file nope.pt2",
    "junk.pt2": "junk.pt2: torch.export.load cannot read it: not a zip archive",
    "junk.pt2 --dynamic-batch": "--dynamic-batch: junk.pt2 is a saved model",
    "junk.pt2 --dynamic-axis x:0=n": "--dynamic-axis: junk.pt2 is a saved model",
    "{net}:network --input-shape 1,4 --dynamic-axis input=n": "input=n: write INPUT:AXIS=NAME, as in input:",
    "{net}:network --input-shape 1,4 --dynamic-axis x:0=n": "the model has no input 'x', only input",
    "{net}:network --input-shape 1,4 --dynamic-axis input:2=n": "input has 2 axes, from -2 to 1",
    "{net}:Scaled --input-shape 2,4 --input-shape float32: --dynamic-axis scale:0=n": "scale is a scalar",
    "{net}:network --input-shape 1,4 --dynamic-axis input:0=a-b": "'a-b' must be a name, of letters",
    "{net}:network --input-shape 1,4 --dynamic-axis input:0=class": "'class' must be a name",
    "{net}:Tokens --input-shape 2,4 --input-shape 2,1 --dynamic-axis x:1=n --dynamic-axis mask:1=n": (
        "axis 1 of x and axis 1 of mask are both named n, and their example sizes differ, 4 and 1"
    ),
    "{net}:network --input-shape 2,4 --dynamic-axis input:0=n --dynamic-axis input:-2=m": (
        "input:0 has another name, n"
    ),
    "{net}:network --input-shape 2,4 --dynamic-axis input:1=n": "size of its input 'input' only, in axis 1",
    "junk.pt2 --input-shape 1,3": "--input-shape: junk.pt2 is a saved model",
}


@pytest.mark.parametrize(("command", "message"), ERRORS.items(), ids=ERRORS)
def test_errors_are_one_line(net: str, command: str, message: str) -> None:
    Path("junk.pt2").write_text("junk")
    assert message.format(net=net) in refused(f"export {command.format(net=net)} -o net.onnx")


def test_the_current_folder_is_searched_by_the_script_too(net: str) -> None:
    """Whose own folder Python puts first, where it is not told otherwise."""
    program = "import sys; sys.path.pop(0); from ort_rrelu.cli import main; main()"
    arguments = ["export", f"{net}:gives_a_number", "--input-shape", "1,4", "-o", "net.onnx"]
    done = run(program, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "gives an object of type int" in done.stderr


@pytest.mark.parametrize("missing", ["torch", "paddle"])
def test_missing_packages_are_named(net: str, missing: str) -> None:
    source = "net.json" if missing == "paddle" else f"{net}:network"
    program = f"import sys; sys.modules[{missing!r}] = None; from ort_rrelu.cli import main; main()"
    done = run(program, "export", source, "-o", "net.onnx")
    assert done.returncode == 2
    assert done.stderr == f"error: {missing} is not installed: pip install 'ort-rrelu[{missing}]'\n"


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command: list[Any] = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
