"""export_step: what it refuses, and how it says so; what it leaves as it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import ort_rrelu
from ort_rrelu import errors
from ort_rrelu.training import Trainer, export_step

_X, _Y = torch.zeros(4, 8), torch.zeros(4, dtype=torch.int64)


@torch.library.custom_op("ort_rrelu_tests::no_gradient", mutates_args=())
def _no_gradient(x: Tensor) -> Tensor:
    return x.clone()


@torch.library.custom_op("ort_rrelu_tests::no_translation", mutates_args=())
def _no_translation(x: Tensor) -> Tensor:
    return x.clone()


_no_gradient.register_fake(torch.empty_like)
_no_translation.register_fake(torch.empty_like)
_no_translation.register_autograd(lambda _ctx, dy: dy)


class _Then(nn.Module):
    """A linear layer and what is given."""

    def __init__(self, then: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.linear, self.then = nn.Linear(8, 3), then

    def forward(self, x: Tensor) -> Any:
        return self.then(self.linear(x))


def _mean(output: Any, _y: Tensor) -> Any:
    return output.mean()


_CASES: dict[str, tuple[nn.Module, Callable[[Any, Tensor], Any], type[errors.Error], str]] = {
    "no gradient": (_Then(_no_gradient), _mean, errors.ConversionError, "no_gradient"),
    "no translation": (_Then(_no_translation), _mean, errors.ConversionError, "no_translation"),
    "not differentiable": (
        _Then(lambda z: z.argmax(1).float()),
        _mean,
        errors.InvalidValueError,
        "no parameter",
    ),
    "no parameter in the loss": (
        nn.Linear(8, 3),
        lambda _output, y: torch.ones((), requires_grad=True) * y.sum(),
        errors.InvalidValueError,
        "no parameter of the model",
    ),
    "value in Python": (
        _Then(lambda z: z * float(z.sum())),
        _mean,
        errors.ConversionError,
        "value of a tensor",
    ),
    "momentum None": (
        nn.Sequential(nn.Linear(8, 3), nn.BatchNorm1d(3, momentum=None)),
        *(_mean, errors.ConversionError, "momentum=None"),
    ),
    "pooling divisor": (
        _Then(lambda z: functional.avg_pool2d(z[None], (2, 2), divisor_override=3)),
        *(_mean, errors.ConversionError, "divisor_override"),
    ),
    "other random numbers": (
        _Then(lambda z: z + torch.randn_like(z)),
        *(_mean, errors.ConversionError, "RandomNormal"),
    ),
    "two outputs": (
        _Then(lambda z: (z, z)),
        *(lambda output, _y: output[0].mean(), errors.InvalidTypeError, "returns a tuple"),
    ),
    "loss of many": (nn.Linear(8, 3), lambda z, _: z, errors.InvalidValueError, r"shape \['batch', 3\]"),
    "loss no tensor": (nn.Linear(8, 3), lambda z, _: 3.0, errors.InvalidTypeError, "returned a float"),
    "no parameter": (nn.ReLU(), _mean, errors.InvalidValueError, "no parameter that requires a gradient"),
    "frozen": (
        nn.Linear(8, 3).requires_grad_(False),
        *(_mean, errors.InvalidValueError, "no parameter that requires a gradient"),
    ),
    "eval mode": (nn.Linear(8, 3).eval(), _mean, errors.InvalidValueError, r"model.train\(\)"),
    "half": (nn.Linear(8, 3).half(), _mean, errors.InvalidTypeError, "'weight' has dtype torch.float16"),
}


class _InEvalOnly(nn.Linear):
    """Goes by the number of rows in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.training else x * len(x))


_BY_ROWS: dict[str, tuple[nn.Module, Callable[[Any, Tensor], Any], str]] = {
    "a branch": (_Then(lambda z: z * 2 if z.shape[0] > 3 else z), _mean, "rows > 3"),
    "a number": (_Then(lambda z: z * float(z.shape[0])), _mean, "rows == 4"),
    "a loop": (_Then(lambda z: sum(z[i] for i in range(len(z))) + z), _mean, "rows == 4"),
    "the loss": (nn.Linear(8, 3), lambda output, y: output.sum() / len(y), "rows == 4"),
    "eval mode": (_InEvalOnly(8, 3), _mean, "rows == 4"),
}


@pytest.mark.parametrize("name", _BY_ROWS)
def test_what_goes_by_the_number_of_rows_is_for_one_number(name: str) -> None:
    model, loss, asked = _BY_ROWS[name]
    with pytest.raises(errors.InvalidValueError, match=rf"{asked}, .*\.py:\d+.*dynamic_batch=False takes no"):
        export_step(model, loss, (_X, _Y))


def test_a_fixed_batch_may_go_by_its_rows() -> None:
    model, loss, _asked = _BY_ROWS["a branch"]
    step = export_step(model, loss, (_X, _Y), dynamic_batch=False)
    x = next(value for value in step.graph.input if value.name == "x")
    assert x.type.tensor_type.shape.dim[0].dim_value == len(_X)


def test_torch_may_ask_for_the_number_of_rows() -> None:
    """A convolution lays out its memory by it."""
    network = nn.Sequential(
        nn.Unflatten(1, (1, 8, 1)), nn.Conv2d(1, 16, 1), nn.BatchNorm2d(16), nn.Flatten(), nn.Linear(128, 3)
    )
    trainer = Trainer(export_step(network, functional.cross_entropy, (_X, _Y), lr=0.0))
    for rows in (2, 20):
        x, y = torch.randn(rows, 8), torch.zeros(rows, dtype=torch.int64)
        expected = functional.cross_entropy(network(x), y).item()
        assert trainer.step(x.numpy(), y.numpy()) == pytest.approx(expected, rel=1e-5)


def test_the_number_of_rows_may_be_computed_with() -> None:
    def loss(output: Tensor, y: Tensor) -> Tensor:
        return (output / output.shape[0]).sum() + y.shape[0]

    trainer = Trainer(export_step(_Then(lambda z: z.reshape(-1, 3)), loss, (_X, _Y), lr=0.0))
    for rows in (1, 3, 7):
        x, y = torch.randn(rows, 8), torch.zeros(rows, dtype=torch.int64)
        model = trainer.export_inference()
        output = ort_rrelu.InferenceSession(model.SerializeToString()).run(None, {"x": x.numpy()})[0]
        assert trainer.step(x.numpy(), y.numpy()) == pytest.approx(output.sum() / rows + rows, rel=1e-5)


@pytest.mark.parametrize(("module", "loss_fn", "error", "message"), _CASES.values(), ids=_CASES)
def test_a_model_that_cannot_be_trained_is_refused(
    module: nn.Module, loss_fn: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        export_step(module, loss_fn, (_X, _Y), tmp_path / "step.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"optimizer": "lion"}, ValueError, "optimizer='lion': it must be one of 'sgd', 'adam', 'adamw'"),
        ({"betas": (0.9, 0.9)}, TypeError, "betas: 'sgd' has no such option: it takes lr, momentum"),
        ({"lr": -1.0}, ValueError, "lr=-1.0: it must be 0 or more"),
        ({"lr": "1"}, TypeError, "lr='1': it must be a number"),
        ({"nesterov": True}, ValueError, "nesterov=True: it needs a momentum"),
        (
            {"optimizer": "adam", "betas": (0.9, 1.0)},
            ValueError,
            r"betas\[1\]=1.0: it must be from 0 to below 1",
        ),
        ({"optimizer": "adam", "betas": 0.9}, TypeError, "betas=0.9: it must be two numbers"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"example_batch": _X}, TypeError, "a pair"),
        ({"example_batch": (_X, [1, 2])}, TypeError, "y is a list"),
        ({"example_batch": (_X, _Y[:2])}, ValueError, "x has 4 rows and y 2"),
        ({"example_batch": (_X[:0], _Y[:0])}, ValueError, "x has shape"),
        (
            {"example_batch": (_X.double(), _Y)},
            TypeError,
            "x has dtype torch.float64, and the model torch.fl",
        ),
        ({"example_batch": (_X.half(), _Y)}, TypeError, "x has dtype torch.float16, and the model torch.fl"),
        ({"loss_fn": None}, TypeError, r"loss_fn is None: it must be a function of \(output, y\)"),
        ({"loss_fn": nn.CrossEntropyLoss}, TypeError, r"loss_fn is <class .*CrossEntropyLoss\(\)"),
        ({"f": "/nowhere/step.onnx"}, OSError, "/nowhere"),
        ({"model": 3}, TypeError, "model is a int"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"model": nn.Linear(8, 3), "loss_fn": _mean, "example_batch": (_X, _Y)}
    with pytest.raises(error, match=message):
        export_step(**given | arguments)


@pytest.mark.parametrize(("package", "name"), [("torch", "export_step"), ("onnxruntime", "Trainer")])
def test_a_missing_package_is_named(package: str, name: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from ort_rrelu.training import {name}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"MissingPackageError: {package} is not installed: pip install" in run.stderr


def test_the_module_is_left_as_it_was(tmp_path: Path) -> None:
    module = nn.Sequential(
        nn.Linear(8, 3), nn.BatchNorm1d(3), ort_rrelu.torch.RReLU(seed=1), nn.BatchNorm1d(3).eval()
    )
    before = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [each.training for each in module.modules()]
    step = export_step(module, functional.cross_entropy, (_X, _Y), tmp_path / "step.onnx")
    assert [each.training for each in module.modules()] == modes
    assert module.get_submodule("2").step == 0
    for name, value in module.state_dict().items():
        assert value.equal(before[name])
    assert onnx.load(tmp_path / "step.onnx") == step
    # The BatchNorm in eval mode keeps its statistics, the one in train mode does not.
    changed = {output.name for output in step.graph.output}
    assert "next/model/1.running_mean" in changed
    assert "next/model/3.running_mean" not in changed


def test_a_layer_at_several_places_keeps_its_tensors() -> None:
    """Its weight is another layer's, too, which stands at two places itself."""
    twice, other = nn.Linear(8, 8), nn.Linear(8, 8)
    other.weight = twice.weight
    net = nn.Sequential(nn.BatchNorm1d(8), twice, other, nn.RReLU(), other, twice, nn.Linear(8, 3))
    x = torch.randn(4, 8)
    before, y = dict(net.named_parameters(remove_duplicate=False)), net.eval()(x).detach()
    step = export_step(net.train(), functional.cross_entropy, (x, _Y), seed=1)
    after = dict(net.named_parameters(remove_duplicate=False))
    assert before.keys() == after.keys()
    assert all(after[name] is tensor for name, tensor in before.items())
    torch.testing.assert_close(torch.from_numpy(Trainer(step).predict(x)), y)


def test_one_row_is_enough_of_an_example() -> None:
    step = export_step(nn.Linear(8, 3), functional.cross_entropy, (_X[:1], _Y[:1]))
    trainer = Trainer(step)
    assert trainer.step(_X.numpy(), _Y.numpy()) > 0
    assert trainer.step(_X[:1].numpy(), _Y[:1].numpy()) > 0
