"""The four files: what is in them, and a network trained, evaluated and exported from them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.training import artifacts
from torch import nn

import ort_rrelu
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.training import load_artifacts
from tests.onnxruntime_training.networks import CLASSES, FEATURES, batch, linear, make_artifacts, rrelu

_FILES = {"checkpoint", "eval_model.onnx", "optimizer_model.onnx", "training_model.onnx"}


def _exported(*, portable: bool, dynamo: bool) -> onnx.ModelProto:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(FEATURES, 8), nn.RReLU(), nn.Linear(8, CLASSES)).train()
    options: dict[str, Any] = {"dynamo": dynamo, "input_names": ["x"], "output_names": ["logits"]}
    options |= {"verbose": False, "dynamic_shapes": ({0: torch.export.Dim("batch")},)} if dynamo else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ort_rrelu.torch.export(
            network, (torch.zeros(6, FEATURES),), seed=3, step_input=True, portable=portable, **options
        )


def _with_a_function() -> onnx.ModelProto:
    """The RRelu node of `linear` in a function of the user's."""
    model = linear(step=True)
    node = our_nodes(model)[0]
    imports = list(model.opset_import)
    body = onnx.NodeProto()
    body.CopyFrom(node)
    body.input[:], body.output[:] = ["a", "b"], ["c"]
    model.functions.append(onnx.helper.make_function("mine", "Act", ["a", "b"], ["c"], [body], imports))
    model.opset_import.append(onnx.helper.make_opsetid("mine", 1))
    node.domain, node.op_type = "mine", "Act"
    del node.attribute[:]
    return model


_MODELS = {
    "in a function": _with_a_function,
    "made by hand": lambda: linear(step=True),
    "portable, made by hand": lambda: ort_rrelu.graph.portable(linear(step=True)),
    "torch": lambda: _exported(portable=False, dynamo=True),
    "torch, portable": lambda: _exported(portable=True, dynamo=True),
    "torch's TorchScript, portable": lambda: _exported(portable=True, dynamo=False),
}


@pytest.mark.parametrize(("optimizer", "rate"), [("AdamW", 0.05), ("SGD", 0.5)])
@pytest.mark.parametrize("make", _MODELS.values(), ids=_MODELS)
def test_a_network_is_trained_evaluated_and_exported(
    make: Any, optimizer: str, rate: float, tmp_path: Path
) -> None:
    model = make()
    before = model.SerializeToString()
    folder = make_artifacts(
        model,
        tmp_path / "made",
        optimizer=artifacts.OptimType[optimizer],
        additional_output_names=["logits"],
    )
    assert model.SerializeToString() == before
    assert {path.name for path in folder.iterdir()} == _FILES
    module, update, _ = load_artifacts(folder)
    update.set_learning_rate(rate)
    assert module.input_names() == ["x", "step", "labels"]
    x, labels = batch()
    losses = []
    for step in range(40):
        module.lazy_reset_grad()
        losses.append(float(module(x, np.array(step), labels)[0]))
        update.step()
    assert losses[-1] < 0.5 * losses[0]

    module.eval()
    assert module.input_names() == ["x", "labels"]
    (loss, logits), (again, same) = module(x, labels), module(x, labels)
    assert loss == again
    assert np.array_equal(logits, same)
    module.export_model_for_inferencing(folder / "inference.onnx", ["logits"])
    session = onnxruntime.InferenceSession(folder / "inference.onnx")
    np.testing.assert_allclose(session.run(None, {"x": x})[0], logits, rtol=1e-6, atol=1e-6)


def test_the_eval_model_has_the_mean_slope(tmp_path: Path) -> None:
    """It gives what RRelu in eval mode gives with the trained weights."""
    model = linear(lower=0.1, upper=0.7)
    module, update, state = load_artifacts(
        make_artifacts(model, tmp_path, additional_output_names=["logits"])
    )
    x, labels = batch()
    module(x, labels)
    update.step()
    module.eval()
    _, logits = module(x, labels)
    w = {name: np.array(parameter.data) for name, parameter in state.parameters}
    active = ort_rrelu.rrelu(x @ w["w0"] + w["b0"], 0.1, 0.7)
    np.testing.assert_allclose(logits, active @ w["w1"] + w["b1"], rtol=1e-5, atol=1e-5)


def test_modes_and_seeds_stay_as_they_are(tmp_path: Path) -> None:
    model = linear(seed=123, lower=0.2)
    frozen = model.graph.node.add()
    frozen.CopyFrom(our_nodes(model)[0])
    frozen.input[0], frozen.output[0] = "a_cast", "a_frozen"
    next(a for a in frozen.attribute if a.name == "training").i = 0
    model.graph.node.insert(3, frozen)
    del model.graph.node[-1]
    next(node for node in model.graph.node if list(node.output) == ["a"]).input[0] = "a_frozen"
    make_artifacts(model, tmp_path)
    nodes = our_nodes(onnx.load(tmp_path / "training_model.onnx"))
    values = [{a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in nodes]
    assert [v["training"] for v in values] == [1, 0]
    assert {v["seed"] for v in values} == {123}
    assert {v["lower"] for v in values} == {np.float32(0.2)}
    assert not our_nodes(onnx.load(tmp_path / "eval_model.onnx"))


def test_two_nodes_of_one_input_are_not_made_one(tmp_path: Path) -> None:
    """They would share their slopes."""
    model = linear(seed=-1)
    model.graph.node.insert(3, rrelu("h_cast", "twin", seed=-1))
    model.graph.node[4].CopyFrom(onnx.helper.make_node("Add", ["a_cast", "twin"], ["a"]))
    make_artifacts(model, tmp_path)
    assert len(our_nodes(onnx.load(tmp_path / "training_model.onnx"))) == 2


def test_every_model_can_be_read_by_the_runtime_of_the_package(tmp_path: Path) -> None:
    """onnx writes newer IR versions than it reads."""
    make_artifacts(linear(), tmp_path)
    versions = {path.name: onnx.load(path).ir_version for path in tmp_path.glob("*.onnx")}
    assert len(versions) == 3
    assert max(versions.values()) <= 10


def test_model_in_a_file_with_weights_beside_it_prefix_and_nominal_checkpoint(tmp_path: Path) -> None:
    onnx.save_model(
        linear(), tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0
    )
    make_artifacts(
        linear(),  # for the names of its weights
        tmp_path / "made",
        model=str(tmp_path / "m.onnx"),
        prefix="my_",
        nominal_checkpoint=True,
    )
    made = {path.name for path in (tmp_path / "made").iterdir()}
    assert made == {f"my_{name}" for name in (*_FILES, "nominal_checkpoint")}
    module, _, state = load_artifacts(tmp_path / "made", "my_")
    assert float(module(*batch())) > 0
    weights = {name: np.array(parameter.data) for name, parameter in state.parameters}
    for tensor in linear().graph.initializer:
        assert np.array_equal(weights[tensor.name], onnx.numpy_helper.to_array(tensor))


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    make_artifacts(linear(), tmp_path, requires_grad=iter(["w1"]), frozen_params=iter(["w0"]))
    module, update, state = load_artifacts(tmp_path)
    before = {name: np.array(parameter.data) for name, parameter in state.parameters}
    module(*batch())
    update.step()
    changed = {name for name, parameter in state.parameters if (parameter.data != before[name]).any()}
    assert changed == {"w1"}
