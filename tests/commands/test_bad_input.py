"""Every verb on every kind of bad model and of bad output: one line, exit code 2, and no file touched."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer

import ort_rrelu
from ort_rrelu.commands import app
from ort_rrelu.commands.app import integer
from ort_rrelu.commands.export_inputs import example_inputs
from tests.commands.command_line import MODELS, RUNNER, parse, refused, write_models

_NODE = "net (float[n] x) => (float[n] y) {{ [act] y = ort_rrelu.RRelu <{}> (x) }}"


def _without_output() -> onnx.ModelProto:
    model = parse(_NODE.format("lower = 0.1"))
    model.graph.output[0].name = "nobody"
    return model


def _unknown_op() -> onnx.ModelProto:
    model = parse(_NODE.format("lower = 0.1"))
    model.graph.node[0].op_type = "RReluu"
    return model


def _bytes(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString())


# Kind -> the file, and what is said of it.
BAD_MODELS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "there is no model file bad.onnx"),
    "empty": (b"", "bad.onnx: not an ONNX model"),
    "text": (b"not a model at all\n", "bad.onnx: not an ONNX model"),
    "cut": (_bytes(MODELS["model"])[:-9], "bad.onnx: not an ONNX model"),
    "misspelt": (_bytes(parse(_NODE.format("trainning = 1"))), "'trainning': allowed are lower"),
    "wrong type": (_bytes(parse(_NODE.format('lower = "0.1"'))), "attribute lower is of type STRING"),
    "bounds": (_bytes(parse(_NODE.format("lower = 0.5"))), "lower=0.5 is greater than upper"),
    "training": (_bytes(parse(_NODE.format("training = 2"))), '"act": training=2: it must be 0 or 1'),
    "unknown op": (_bytes(_unknown_op()), "unknown op 'RReluu'"),
    "checker": (_bytes(_without_output()), "bad.onnx: onnx's checker refuses the model: "),
}
TOOLS = ["portable", "lower", "lower --exact", "fuse", "set-training --eval", "set-training --seed 1"]
# These leave it to the runtime to check what is not ours.
READERS = ["info", "run", "bench", "compare --reference", "compare --without-library"]

BAD_OUTPUTS = {
    "there.onnx": "there.onnx exists: --force replaces it",
    "nowhere/out.onnx": "there is no folder",
    "folder": "folder is a folder: name a file",
    "pipe": "pipe is a device or a pipe",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_models()
    Path("there.onnx").write_text("mine")
    Path("net.py").write_text("import torch\nnetwork = torch.nn.RReLU()\n")
    Path("folder").mkdir()
    os.mkfifo("pipe")
    return tmp_path


@pytest.mark.parametrize("kind", BAD_MODELS)
@pytest.mark.parametrize("verb", TOOLS)
def test_tools_refuse_bad_models(verb: str, kind: str) -> None:
    content, message = BAD_MODELS[kind]
    if content is not None:
        Path("bad.onnx").write_bytes(content)
    for output in ("out.onnx", "bad.onnx"):  # in place, it stays as it was
        assert message in refused(f"{verb} bad.onnx -o {output}")


@pytest.mark.parametrize("kind", [kind for kind in BAD_MODELS if kind != "checker"])
@pytest.mark.parametrize("verb", READERS)
def test_readers_refuse_bad_models(verb: str, kind: str) -> None:
    content, message = BAD_MODELS[kind]
    if content is not None:
        Path("bad.onnx").write_bytes(content)
    assert message in refused(f"{verb} bad.onnx")


@pytest.mark.parametrize(
    "command",
    [f"{tool} net.onnx -o out.onnx" for tool in TOOLS]
    + [f"{reader} net.onnx" for reader in READERS if reader != "info"],
)
def test_weights_that_are_missing_are_named(command: str) -> None:
    model = parse("net (float[1000] x) => (float[1000] y) { s = Add (x, w) y = ort_rrelu.RRelu (s) }")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1000, np.float32), "w"))
    onnx.save(ort_rrelu.graph.portable(model), "net.onnx", save_as_external_data=True, location="w.bin")
    Path("w.bin").unlink()
    assert "w.bin" in refused(command)


@pytest.mark.parametrize("verb", [reader for reader in READERS if reader != "info"])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        (str(2**62), ""),
        (f"n, {2**62}", ""),
        (", ".join(["1"] * 70), ""),
        ("n", "--dim n=268435457"),
    ],
    ids=["elements", "one of two", "dimensions", "named"],
)
def test_inputs_that_no_array_can_be_are_named(verb: str, shape: str, options: str) -> None:
    model = parse(f"net (float[{shape}] x) => (float[{shape}] y) {{ y = ort_rrelu.RRelu (x) }}")
    onnx.save(ort_rrelu.graph.portable(model), "net.onnx")
    assert 'input "x": no array of shape [' in refused(f"{verb} net.onnx {options}")


@pytest.mark.parametrize(("output", "message"), BAD_OUTPUTS.items(), ids=BAD_OUTPUTS)
@pytest.mark.parametrize("verb", [f"{tool} model.onnx" for tool in TOOLS] + ["export net:network"])
def test_bad_outputs_are_refused(verb: str, output: str, message: str) -> None:
    assert message in refused(f"{verb} -o {output}")


@pytest.mark.parametrize("verb", [f"{tool} model.onnx" for tool in TOOLS] + ["export net:network"])
def test_a_read_only_folder_is_refused(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to us by the system: root, as which tests may run, can write into any folder."""
    access = os.access

    def read_only(path: Any, mode: int) -> bool:
        return access(path, mode) and not (mode & os.W_OK and Path(path).name == "folder")

    monkeypatch.setattr(os, "access", read_only)
    assert "no permission to write into" in refused(f"{verb} -o folder/out.onnx")


@pytest.mark.parametrize("verb", TOOLS)
def test_a_disk_that_is_full_leaves_the_input(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert "No space left on device" in refused(f"{verb} model.onnx -o model.onnx")


@pytest.mark.parametrize(
    ("attributes", "inputs", "message"),
    [
        ("training = 1", "x, step", 'RRelu node "act": seed=-1'),
        ("training = 1, seed = 3", "x", 'RRelu node "act"'),
    ],
    ids=["no seed", "no step"],
)
def test_exact_lowering_needs_a_seed_and_a_step(attributes: str, inputs: str, message: str) -> None:
    body = f"{{ [act] y = ort_rrelu.RRelu <{attributes}> ({inputs}) }}"
    onnx.save(parse(f"net (float[n] x, int64 step) => (float[n] y) {body}"), "unseeded.onnx")
    assert message in refused("lower unseeded.onnx --exact -o out.onnx")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("set-training model.onnx", "name --train or --eval, --seed, --step-input or --step-input-rows"),
        ("set-training model.onnx --step-input --step-input-rows", "exclude each other: give one of them"),
        ("export net:network --step-input-rows --step-input", "exclude each other: give one of them"),
        ("set-training model.onnx --seed 1 --nodes x*", "--nodes x*: it needs --train or --eval"),
        ("set-training model.onnx --seed -1", "seed=-1"),
        ("set-training model.onnx --eval --nodes nope*", "nope*"),
    ],
)
def test_bad_options_are_refused(command: str, message: str) -> None:
    assert message in refused(f"{command} -o out.onnx")


_NO_INTEGERS = ["5_0", " 5", "5 ", "+5", "1e3", "5.0", "0x5", "\uff15", "\u0665", "", "9" * 5000]
_INTEGER_OPTIONS = [
    "run model.onnx --seed",
    "run model.onnx --step",
    "run model.onnx --repeat",
    "bench model.onnx --threads",
    "bench model.onnx --repeat",
    "set-training model.onnx -o out.onnx --train --seed",
    "export net:network -o out.onnx --seed",
    "export net:network -o out.onnx --opset",
    "serve model.onnx --seed",
]


@pytest.mark.parametrize("text", _NO_INTEGERS, ids=lambda text: repr(text[:9]))
def test_what_python_takes_for_an_integer_and_people_do_not(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not an integer in decimal digits"):
        integer()(text)


@pytest.mark.parametrize("option", _INTEGER_OPTIONS)
def test_options_that_take_integers(option: str) -> None:
    result = RUNNER.invoke(app, [*option.split(), "5_0"])
    assert result.exit_code == 2
    assert "'5_0' is not an integer in decimal" in result.stderr


@pytest.mark.parametrize(
    ("option", "lowest"), [("run --repeat", 1), ("bench --repeat", 1), ("bench --threads", 0)]
)
def test_integers_below_the_lowest(option: str, lowest: int) -> None:
    result = RUNNER.invoke(app, [*option.split(), str(lowest - 1), "model.onnx"])
    assert result.exit_code == 2
    assert f"{lowest - 1}: it must be at least {lowest}" in result.stderr


@pytest.mark.parametrize("size", ["4_0", " 4", "+4", "-4", "4.0", "\uff14", "\u00b2", "", "9" * 5000])
def test_sizes_of_dimensions(size: str) -> None:
    write_models("eval")
    result = RUNNER.invoke(app, ["run", "eval.onnx", "--dim", f"batch={size}"])
    assert result.exit_code == 2
    assert f"error: --dim batch={size}: write NAME=SIZE" in result.stderr


@pytest.mark.parametrize("sizes", ["1 3,4", "1,3 4", "1_0,3", "+1,3", "1,\uff13", "1,,3", " ", "9" * 5000])
def test_sizes_of_example_inputs(sizes: str) -> None:
    with pytest.raises(ort_rrelu.Error, match=r"^--input-shape .*: write sizes with commas, as in 1,3,32,32"):
        example_inputs([sizes], [])


@pytest.mark.parametrize("sizes", ["1,3", " 1 , 3 ", "float32 : 1, 3"])
def test_blanks_beside_commas(sizes: str) -> None:
    (x,) = example_inputs([sizes], [])
    assert x.shape == (1, 3)
