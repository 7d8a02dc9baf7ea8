"""export_step: a torch module, its loss and an optimizer -> one ONNX graph of a training step."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import onnx

from ort_rrelu.errors import InvalidTypeError, InvalidValueError, MissingPackageError

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise MissingPackageError("torch is not installed: pip install 'ort-rrelu[torch,training]'") from error

from ort_rrelu.arguments import ROWS, as_seed
from ort_rrelu.exporting import log_level
from ort_rrelu.files import check_target
from ort_rrelu.graph.file import write_model
from ort_rrelu.training.assembly import assemble
from ort_rrelu.training.onnx_graphs import to_onnx
from ort_rrelu.training.optimizers import make_optimizer
from ort_rrelu.training.sample_steps import fix_rows, wire_sample_steps, wire_step
from ort_rrelu.training.tracing import Loss, Module, Traced, trace_evaluation, trace_step

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
    step_input: Literal[True, "rows"] = True,
    **hyperparameters: Any,
) -> onnx.ModelProto:
    """Write one ONNX graph with forward, backward and the optimizer's update of a torch module.

    `ort_rrelu.training.Trainer` runs it, without torch; ort_rrelu.training.step_model has its layout. Each
    module keeps its own mode: BatchNorm in train mode updates its running statistics. Every RReLU draws the
    slopes of the step's number, with the seed of its module, or else with one derived from `seed`. Dropout
    does the same, so its masks are not torch's.

    Args:
        model: on the CPU, in train mode, parameters in float32 or float64; it takes one tensor and gives one.
        loss_fn: (output, y) -> scalar tensor, such as torch.nn.functional.cross_entropy.
        example_batch: (x, y), which give dtypes and shapes.
        f: where the model goes, written all or nothing; None only returns it.
        optimizer: "sgd", "adam" or "adamw".
        dynamic_batch: x and y may have any number of rows; False fixes those of the example.
        seed: 0 .. 2^63 - 1, for the RReLUs and dropouts without a seed of their own; None takes one from the
            operating system, which is then written into the model.
        step_input: True, a step is one number, for the whole batch; "rows", a step has a number for each
            sample, whose slopes and dropout masks are then the same in any batch. x and y must have as many
            rows, and all that draws must be known to do so for the samples, in their order.
        **hyperparameters: in torch.optim's names: lr (all); momentum, weight_decay, nesterov ("sgd"); betas,
            eps, weight_decay ("adam", "adamw"). lr and eps are defaults, which each step may replace.

    Returns:
        The step model, with the initial weights.

    Raises:
        InvalidValueError, InvalidTypeError: an argument is not allowed, the loss depends on no parameter, the
            model or the loss goes by the number of rows (dynamic_batch), or a node draws for something else
            than the samples (step_input="rows").
        ConversionError: an operator has no gradient, or no translation to ONNX.
        OSError: f cannot be written.
    """
    if f is not None:
        check_target(f)
    _check_loss(loss_fn)
    by_sample = _is_by_sample(step_input)
    chosen = make_optimizer(optimizer, hyperparameters)
    # For a step for each sample the batch stays open until it is proved which samples draw.
    dynamic_trace = dynamic_batch or by_sample
    x, y = _check_batch(example_batch, dynamic_trace, by_sample)
    if by_sample and not dynamic_batch and len(example_batch[0]) == 1:
        raise InvalidValueError(
            "example_batch: x has one row, which cannot be told from what all rows share: with "
            "dynamic_batch=False and one row, step_input=True gives the row its step"
        )
    module = _check_model(model)
    _check_precision(x, module)
    seed = as_seed(seed)
    with _without_advice():
        dynamic = len(module.tensors) if dynamic_trace else None
        traced = trace_step(module, loss_fn, x, y, dynamic_batch=dynamic_trace, by_sample=by_sample)
        _check_rows_asked(traced, dynamic_batch)
        gradients = to_onnx(traced, seed, dynamic)
        wire = wire_sample_steps if by_sample else wire_step
        wire(gradients)  # which may refuse it: before seconds more of work
        traced = trace_evaluation(module, loss_fn, x, y, dynamic_batch=dynamic_trace)
        _check_rows_asked(traced, dynamic_batch)
        evaluation = to_onnx(traced, seed, dynamic)
    exported = assemble(module, gradients, evaluation, optimizer, chosen)
    if by_sample and not dynamic_batch:
        fix_rows(exported, len(example_batch[0]))
    if f is not None:
        write_model(exported, f)
    return exported


def _check_rows_asked(traced: Traced, dynamic_batch: bool) -> None:
    if dynamic_batch and traced.rows_asked:
        raise InvalidValueError(
            f"the model or loss_fn goes by the number of rows in Python ({traced.rows_asked[0]}): the graph "
            "would go by that for every number; dynamic_batch=False takes no other than the example's"
        )


def _is_by_sample(step_input: Any) -> bool:
    if step_input is True:
        return False
    if not isinstance(step_input, str | bool):
        raise InvalidTypeError(f"step_input={step_input!r}: it must be True or {ROWS!r}")
    if step_input != ROWS:
        raise InvalidValueError(f"step_input={step_input!r}: it must be True or {ROWS!r}")
    return True


def _check_batch(example_batch: Any, dynamic_trace: bool, by_sample: bool) -> tuple[Tensor, Tensor]:
    if not isinstance(example_batch, tuple | list) or len(example_batch) != 2:
        raise InvalidTypeError("example_batch: it must be a pair (x, y) of tensors")
    for name, tensor in zip("xy", example_batch, strict=True):
        if not isinstance(tensor, Tensor):
            raise InvalidTypeError(f"example_batch: {name} is a {type(tensor).__name__}: it must be a tensor")
        if tensor.dim() == 0 or not len(tensor):
            raise InvalidValueError(f"example_batch: {name} has shape {list(tensor.shape)}: it needs rows")
    x, y = example_batch
    if dynamic_trace and len(x) != len(y):
        also = "step_input=True and " if by_sample else ""
        raise InvalidValueError(
            f"example_batch: x has {len(x)} rows and y {len(y)}: they must be as many "
            f"({also}dynamic_batch=False allows others)"
        )
    if dynamic_trace and len(x) == 1:  # torch would take a size of 1 for one that never changes
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
    with log_level("torch.onnx", logging.ERROR), warnings.catch_warnings():
        for category in (UserWarning, FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", category=category, module="torch|copyreg|onnxscript")
        warnings.filterwarnings("ignore", message="Exporting a model while it is in training mode")
        warnings.filterwarnings("ignore", message="# The axis name")
        yield
