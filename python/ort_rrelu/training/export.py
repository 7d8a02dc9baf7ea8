"""export_step: a torch module, its loss and an optimizer -> one ONNX graph of a training step."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx

from ort_rrelu.errors import InvalidTypeError, InvalidValueError, MissingPackageError

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise MissingPackageError("torch is not installed: pip install 'ort-rrelu[torch,training]'") from error

from ort_rrelu.arguments import as_seed
from ort_rrelu.exporting import quiet
from ort_rrelu.files import check_target
from ort_rrelu.graph.file import write_model
from ort_rrelu.training.assembly import assemble
from ort_rrelu.training.onnx_graphs import to_onnx
from ort_rrelu.training.optimizers import make_optimizer
from ort_rrelu.training.tracing import Loss, Module, trace_evaluation, trace_step

_DTYPES = {torch.float32, torch.float64}


def export_step(
    model: nn.Module,
    loss_fn: Loss,
    example_batch: tuple[Tensor, Tensor],
    f: str | os.PathLike[str] | None = None,
    *,
    optimizer: str = "sgd",
    dynamic_batch: bool = True,
    seed: int | None = None,
    **hyperparameters: Any,
) -> onnx.ModelProto:
    """Write one ONNX graph with forward, backward and the optimizer's update of a torch module.

    `ort_rrelu.training.Trainer` runs it, without torch; ort_rrelu.training.step_model has its layout. Each
    module keeps its own mode: BatchNorm in train mode updates its running statistics. Every RReLU draws the
    slopes of the step's number, with the seed of its module or, where that has none, one derived from
    `seed`; so does every dropout, whose masks are therefore not torch's.

    Args:
        model: on the CPU, in train mode, parameters in float32 or float64; it takes one tensor and gives one.
        loss_fn: (output, y) -> scalar tensor, such as torch.nn.functional.cross_entropy.
        example_batch: (x, y), which give dtypes and shapes.
        f: where the model goes, written all or nothing; None only returns it.
        optimizer: "sgd", "adam" or "adamw".
        dynamic_batch: x and y may have any number of rows; False fixes those of the example.
        seed: 0 .. 2^63 - 1, for the RReLUs and dropouts without a seed of their own; None takes one from the
            operating system, which is then written into the model.
        **hyperparameters: in torch.optim's names: lr (all); momentum, weight_decay, nesterov ("sgd"); betas,
            eps, weight_decay ("adam", "adamw"). lr and eps are defaults, which each step may replace.

    Returns:
        The step model, with the initial weights.

    Raises:
        InvalidValueError, InvalidTypeError: an argument is not allowed, or the loss depends on no parameter.
        ConversionError: an operator has no gradient, or no translation to ONNX.
        OSError: f cannot be written.
    """
    if f is not None:
        check_target(f)
    _check_loss(loss_fn)
    chosen = make_optimizer(optimizer, hyperparameters)
    x, y = _check_batch(example_batch, dynamic_batch)
    module = _check_model(model)
    _check_precision(x, module)
    seed = as_seed(seed)
    with _without_advice():
        gradients = trace_step(module, loss_fn, x, y, dynamic_batch=dynamic_batch)
        evaluation = trace_evaluation(module, loss_fn, x, y, dynamic_batch=dynamic_batch)
        dynamic = len(module.tensors) if dynamic_batch else None
        graphs = to_onnx(gradients, seed, dynamic), to_onnx(evaluation, seed, dynamic)
    exported = assemble(module, *graphs, optimizer, chosen)
    if f is not None:
        write_model(exported, f)
    return exported


def _check_batch(example_batch: Any, dynamic_batch: bool) -> tuple[Tensor, Tensor]:
    if not isinstance(example_batch, tuple | list) or len(example_batch) != 2:
        raise InvalidTypeError("example_batch: it must be a pair (x, y) of tensors")
    for name, tensor in zip("xy", example_batch, strict=True):
        if not isinstance(tensor, Tensor):
            raise InvalidTypeError(f"example_batch: {name} is a {type(tensor).__name__}: it must be a tensor")
        if tensor.dim() == 0 or not len(tensor):
            raise InvalidValueError(f"example_batch: {name} has shape {list(tensor.shape)}: it needs rows")
    x, y = example_batch
    if dynamic_batch and len(x) != len(y):
        raise InvalidValueError(
            f"example_batch: x has {len(x)} rows and y {len(y)}: they must be as many (dynamic_batch=False "
            "allows others)"
        )
    if dynamic_batch and len(x) == 1:  # torch would take a size of 1 for one that never changes
        x, y = torch.cat([x, x]), torch.cat([y, y])
    return x.detach(), y.detach()


def _check_loss(loss_fn: Any) -> None:
    if isinstance(loss_fn, type) or not callable(loss_fn):
        raise InvalidTypeError(
            f"loss_fn is {loss_fn!r}: it must be a function of (output, y), such as "
            "torch.nn.functional.cross_entropy or torch.nn.CrossEntropyLoss()"
        )


def _check_precision(x: Tensor, module: Module) -> None:
    """Tracing does not notice a layer in another precision than its input; the runtime refuses it."""
    known = {tensor.dtype for tensor in module.tensors.values() if tensor.is_floating_point()}
    if x.is_floating_point() and x.dtype not in known:
        kinds = ", ".join(sorted(map(str, known)))
        raise InvalidTypeError(f"example_batch: x has dtype {x.dtype}, and the model {kinds}: convert one")


def _check_model(model: Any) -> Module:
    if not isinstance(model, nn.Module):
        raise InvalidTypeError(f"model is a {type(model).__name__}: it must be a torch.nn.Module")
    if not any(p.requires_grad for p in model.parameters()):
        raise InvalidValueError("the model has no parameter that requires a gradient: nothing can be trained")
    if not any(module.training for module in model.modules()):
        raise InvalidValueError("the model is in eval mode: call model.train() first")
    for name, parameter in model.named_parameters():
        if parameter.dtype not in _DTYPES:
            raise InvalidTypeError(
                f"parameter {name!r} has dtype {parameter.dtype}: training takes float32 and float64"
            )
        if parameter.device.type != "cpu":
            raise InvalidValueError(f"parameter {name!r} is on {parameter.device}: move the model to the CPU")
    return Module(model)


@contextmanager
def _without_advice() -> Iterator[None]:
    """torch's advice is for models that are exported to inference."""
    with quiet(logging.getLogger("torch.onnx"), logging.ERROR), warnings.catch_warnings():
        for category in (UserWarning, FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", category=category, module="torch|copyreg|onnxscript")
        warnings.filterwarnings("ignore", message="Exporting a model while it is in training mode")
        warnings.filterwarnings("ignore", message="# The axis name")
        yield
