"""The verbs that change a model: what they write, and what they say has changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import ort_rrelu
from tests.commands.command_line import MODELS, call, call_json, parse, refused, write_models


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_models()
    return tmp_path


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("portable model.onnx", ort_rrelu.graph.portable(MODELS["model"])),
        ("set-training eval.onnx --train", ort_rrelu.graph.set_training(MODELS["eval"], True)),
        ("set-training model.onnx --seed 5", ort_rrelu.graph.seed(MODELS["model"], 5)),
        ("set-training train.onnx --step-input", ort_rrelu.graph.add_step_input(MODELS["train"])),
        ("lower train.onnx", ort_rrelu.graph.lower(MODELS["train"])),
        ("lower plain.onnx", MODELS["plain"]),
        ("fuse stock.onnx", ort_rrelu.graph.fuse(MODELS["stock"])),
        ("fuse stock.onnx --no-portable", ort_rrelu.graph.fuse(MODELS["stock"], portable=False)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_written_is_what_the_function_gives(command: str, expected: onnx.ModelProto) -> None:
    source = Path(command.split()[1])
    before = source.read_bytes()
    call(f"{command} -o out.onnx")
    assert onnx.load("out.onnx") == expected
    assert source.read_bytes() == before


def test_functions_that_a_merging_tool_renamed_are_ours() -> None:
    """Every verb shows and runs the nodes as what they are."""
    renamed = onnx.compose.add_prefix(ort_rrelu.graph.portable(MODELS["model"]), "a/")
    onnx.save(renamed, "renamed.onnx")
    facts = call_json("info renamed.onnx")
    assert [node["op"] for node in facts["nodes"]] == ["RRelu", "RRelu"]
    assert facts["portable"] is True
    call("lower renamed.onnx --exact -o lowered.onnx")
    call("portable renamed.onnx -o named.onnx")
    assert {function.name for function in onnx.load("named.onnx").functions} == {"RRelu"}
    for other in ("lowered.onnx", "named.onnx"):
        assert call_json(f"compare renamed.onnx {other} --dim batch=50")["outputs"][0]["other_bits"] == 0
    call("run renamed.onnx --dim batch=5")


def test_exactly_lowered_models_draw_the_same_slopes() -> None:
    call("lower model.onnx --exact -o lowered.onnx")
    assert call_json("info lowered.onnx")["nodes"] == []
    assert call_json("compare model.onnx lowered.onnx --dim batch=50")["outputs"][0]["other_bits"] == 0


def test_portable_shows_the_model_that_changed() -> None:
    changes = call_json("portable model.onnx -o out.onnx")["changes"]
    assert changes == {
        "nodes": [],
        "unchanged": 2,
        "model": {"opset": {"before": 17, "after": 18}, "portable": {"before": False, "after": True}},
    }


def test_lower_shows_each_node_before_and_after() -> None:
    changes = call_json("lower bodies.onnx -o out.onnx")["changes"]
    assert changes["unchanged"] == 0
    found = [(node["before"]["training"], node["after"]["op"]) for node in changes["nodes"]]
    assert found == [(1, "PRelu"), (0, "LeakyRelu")]
    assert [node["name"] for node in changes["nodes"]] == ["(output b)", "(output b)"]


def test_set_training_does_all_of_it_at_once() -> None:
    facts = call_json("set-training eval.onnx --train --seed 5 --step-input -o out.onnx")
    (node,) = facts["changes"]["nodes"]
    before, after = node["before"], node["after"]
    assert (before["training"], before["seed"], before["step"]) == (0, -1, False)
    expected = (1, ort_rrelu.reference.derive_seed(5, 0), True)
    assert (after["training"], after["seed"], after["step"]) == expected
    assert facts["changes"]["model"]["inputs"] == {"before": ["x"], "after": ["x", "step"]}


def test_a_step_for_each_row_and_what_it_is_fed() -> None:
    call("set-training train.onnx --step-input-rows -o rows.onnx")
    np.save("x", np.ones((4, 3), np.float32))
    for size in (3, 4):
        np.save(f"step{size}", np.arange(size))
    call("run rows.onnx -i x=x.npy -i step=step4.npy")
    assert "step3.npy has shape [3], the model wants [batch] with batch=4" in refused(
        "run rows.onnx -i x=x.npy -i step=step3.npy"
    )
    call("set-training train.onnx --step-input -o one.onnx")
    for command in ("run one.onnx", "compare one.onnx --reference"):
        message = refused(f"{command} -i x=x.npy -i step=step4.npy")
        assert 'input "step": step4.npy has shape [4], the model takes one step for all rows' in message
    assert "cannot be fed alike" in refused("compare one.onnx rows.onnx -i x=x.npy")


@pytest.mark.parametrize(
    ("options", "training"),
    [
        ("--train --nodes first", [1, 0]),
        ("--train --nodes la*", [1, 1]),
        ("--eval --nodes la*", [1, 0]),
        ("--eval --nodes f*t", [0, 0]),
        ("--eval", [0, 0]),
    ],
)
def test_set_training_takes_names(options: str, training: list[int]) -> None:
    call(f"set-training model.onnx {options} -o out.onnx")
    assert [node["training"] for node in call_json("info out.onnx")["nodes"]] == training


def test_fuse_shows_what_it_left_and_why() -> None:
    facts = call_json("fuse stock.onnx -o out.onnx")
    (node,) = facts["changes"]["nodes"]
    assert (node["name"], node["before"], node["after"]["upper"]) == ("act", {"op": "PRelu"}, 0.25)
    assert [(each["node"], each["fused"]) for each in facts["findings"]] == [("act", True), ("leaky", False)]
    text = call("fuse stock.onnx -o out.onnx --force")
    assert text.index("Fused") < text.index("Left as they are") < text.index("leaky ")


def test_fuse_names_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    expected = "error: onnxscript is not installed: pip install 'ort-rrelu[fuse]'\n"
    assert refused("fuse stock.onnx -o out.onnx") == expected


def test_text_fits_80_columns() -> None:
    lines = call("lower model.onnx -o out.onnx").splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert lines[0] == "model.onnx"
    assert "Nodes: 2 changed, 0 as before" in lines
    assert lines[-1] == "Wrote out.onnx"


def test_nothing_to_change_is_said() -> None:
    assert "Nodes: 0 changed, 0 as before" in call("lower plain.onnx -o out.onnx")


def test_an_output_that_exists_needs_force() -> None:
    Path("out.onnx").write_text("mine")
    assert "out.onnx exists: --force replaces it" in refused("lower eval.onnx -o out.onnx")
    call("lower eval.onnx -o out.onnx --force")
    assert onnx.load("out.onnx") == ort_rrelu.graph.lower(MODELS["eval"])


@pytest.mark.parametrize("output", ["eval.onnx", "./eval.onnx", "link.onnx"])
def test_the_input_may_be_the_output(output: str) -> None:
    Path("link.onnx").symlink_to("eval.onnx")
    call(f"lower eval.onnx -o {output}")
    assert onnx.load("eval.onnx") == ort_rrelu.graph.lower(MODELS["eval"])
    assert Path("link.onnx").is_symlink()


def test_a_second_name_of_the_input_is_another_file() -> None:
    Path("second.onnx").hardlink_to("eval.onnx")
    assert "second.onnx exists" in refused("lower eval.onnx -o second.onnx")


def test_json_is_all_that_is_printed() -> None:
    """In a process of its own, with stderr and stdout in one pipe."""
    command = [sys.executable, "-m", "ort_rrelu", "portable", "model.onnx", "-o", "out.onnx", "--json"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout)["output"] == "out.onnx"


def with_weights(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Save a model whose weights are in a file beside it."""
    weights = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    model = parse("net (float[1000, 3] x) => (float[1000, 3] y) { s = Add (x, w) y = ort_rrelu.RRelu (s) }")
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin")
    return weights


@pytest.mark.parametrize("verb", ["portable", "lower", "fuse", "set-training --train"])
@pytest.mark.parametrize("output", ["folder/out.onnx", "out.onnx", "net.onnx"])
def test_weights_in_another_file_come_along(verb: str, output: str) -> None:
    Path("folder").mkdir()
    weights = with_weights(Path("net.onnx"))
    call(f"{verb} net.onnx -o {output}")
    for model in {"net.onnx", output}:
        (found,) = onnx.load(model).graph.initializer
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(found), weights)


def test_weights_of_another_model_are_not_replaced() -> None:
    with_weights(Path("net.onnx"))
    Path("folder").mkdir()
    Path("folder/weights.bin").write_text("mine")
    assert "weights.bin exists" in refused("lower net.onnx -o folder/out.onnx")
