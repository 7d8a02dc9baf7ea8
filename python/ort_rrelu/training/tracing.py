"""A torch module and its loss as flat functions of tensors: forward and backward, and evaluation."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import FrameSummary
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.symbolic_shapes import (
    DimDynamic,
    GuardOnDataDependentSymNode,
    ShapeEnv,
    StatelessSymbolicContext,
)

from ort_rrelu.errors import ConversionError, InvalidTypeError, InvalidValueError
from ort_rrelu.exporting import BATCH
from ort_rrelu.torch import RReLU
from ort_rrelu.torch.private import FakeTensorMode, make_fx, writes
from ort_rrelu.training.decompositions import decompositions
from ort_rrelu.training.step_model import LOSS, OUTPUT, SAMPLE_STEPS, STEP, X, Y, as_next, as_state

GRADIENT = "gradient/"  # begins the outputs that are gradients

Loss = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True)
class Traced:
    """A graph of operators, what it was traced with, and the names of its inputs and outputs.

    rows_asked: what Python code asked of an open number of rows: conditions that hold for the example's
    number but not for every one, while the graph goes by them for good.
    """

    graph: torch.fx.GraphModule
    arguments: tuple[Tensor, ...]
    inputs: list[str]
    outputs: list[str]
    rows_asked: tuple[str, ...] = ()


class Module:
    """A module's tensors by name: each once, and the further names of those that are shared.

    `parameters` are trained, `others` are buffers and parameters with requires_grad=False.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        named: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
        named |= {
            name: buffer
            for name, buffer in module.named_buffers(remove_duplicate=False)
            if not _is_draw_counter(module, name)
        }
        first: dict[int, str] = {}
        self.aliases: dict[str, str] = {}
        self.tensors: dict[str, Tensor] = {}
        for name, tensor in named.items():
            if id(tensor) in first:
                self.aliases[name] = first[id(tensor)]
            else:
                first[id(tensor)] = name
                self.tensors[name] = tensor.detach()
        self.parameters = [n for n in self.tensors if named[n].requires_grad]
        self.persistent = [name for name in module.state_dict() if name in named]

    def call(self, tensors: dict[str, Tensor], x: Tensor) -> tuple[Any, dict[str, Tensor]]:
        """What the module gives for x, and the tensors as the call left them."""
        # One dict, which functional_call writes back to: a buffer may be assigned, not only changed in place.
        # Each place once: to a layer that has two names functional_call would not give its tensors back.
        names = {_place(self.module, name): name for name in (*reversed(self.aliases), *self.tensors)}
        given = {name: tensors[self.aliases.get(name, name)] for name in names.values()}
        output = functional_call(self.module, given, (x,), tie_weights=False)
        return output, given


def _place(module: nn.Module, name: str) -> tuple[int, str]:
    owner, _, leaf = name.rpartition(".")
    return id(module.get_submodule(owner)), leaf


def _is_draw_counter(module: nn.Module, name: str) -> bool:
    owner, _, leaf = name.rpartition(".")
    return leaf == "step" and isinstance(module.get_submodule(owner), RReLU)


@contextmanager
def _in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    modes = {each: each.training for each in module.modules()}
    if not training:
        module.eval()
    try:
        yield
    finally:
        for each, mode in modes.items():
            each.training = mode


@contextmanager
def _drawing(module: nn.Module, step: Tensor) -> Iterator[None]:
    """Every seeded RReLU draws the slopes of `step`, unless the model itself names one.

    One in eval mode draws none, and its input may have other rows than `step` has.
    """

    def name_step(owner: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if step.dim() and not owner.training:
            return args, kwargs
        return args, kwargs if len(args) > 1 else {"step": step, **kwargs}

    seeded = [m for m in module.modules() if isinstance(m, RReLU) and m.seed is not None]
    hooks = [m.register_forward_pre_hook(name_step, with_kwargs=True) for m in seeded]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def trace_step(
    module: Module, loss_fn: Loss, x: Tensor, y: Tensor, *, dynamic_batch: bool, by_sample: bool = False
) -> Traced:
    """(tensors, x, y, step) -> (loss, gradients, changed buffers), in the modes that the module is in.

    Outputs are named loss, gradient/NAME and next/model/NAME; a parameter that the loss does not depend on
    has no gradient. by_sample: in place of `step` there is sample_steps, a number for each row of x.

    Raises:
        ConversionError: an operator has no gradient.
        InvalidValueError: the loss is no scalar, or depends on no parameter.
    """
    names, trained = list(module.tensors), module.parameters
    others = [name for name in names if name not in trained]
    outputs: list[str] = []

    def gradients_of(*arguments: Tensor) -> tuple[Tensor, ...]:
        *values, images, targets, step = arguments
        tensors = {
            name: value.detach().requires_grad_() if name in trained else value.clone()
            for name, value in zip(names, values, strict=True)
        }
        with _drawing(module.module, step):
            output, after = module.call(tensors, images)
        loss = _checked_loss(loss_fn(output, targets))
        gradients = _gradients(loss, {name: tensors[name] for name in trained})
        outputs[:] = [LOSS, *(GRADIENT + name for name in gradients)]
        return (loss.detach(), *gradients.values(), *(after[name].detach() for name in others))

    step = torch.zeros(x.shape[:1] if by_sample else (), dtype=torch.int64)
    arguments = (*module.tensors.values(), x, y, step)
    graph, asked = _trace(gradients_of, arguments, len(names) if dynamic_batch else None)
    changed = _keep_changed(graph, others)
    outputs += [as_next(as_state(name)) for name in changed]
    inputs = [*map(as_state, names), X, Y, SAMPLE_STEPS if by_sample else STEP]
    return Traced(graph, arguments, inputs, outputs, asked)


def _keep_changed(graph: torch.fx.GraphModule, names: list[str]) -> list[str]:
    """Take those of the last outputs, of these names, out of the graph that a call leaves as they are."""
    output = next(iter(reversed(graph.graph.nodes)))
    (values,) = output.args
    first = len(values) - len(names)
    kept = [name for name, value in zip(names, values[first:], strict=True) if _may_change(value)]
    output.args = ((*values[:first], *(v for v in values[first:] if _may_change(v))),)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return kept


def _may_change(value: torch.fx.Node) -> bool:
    """False for what is a copy of an input, and not written to, nor is any view of it."""
    source = value
    while source.target in {
        torch.ops.aten.clone.default,
        torch.ops.aten.detach.default,
        torch.ops.aten.alias.default,
    }:
        (source,) = source.all_input_nodes
    if source.op != "placeholder":
        return True
    reached, waiting = {source}, [source]
    while waiting:
        new = set(waiting.pop().users) - reached
        if any(writes(node.target) for node in new):
            return True
        reached |= new
        waiting += new
    return False


def _checked_loss(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor):
        raise InvalidTypeError(f"loss_fn returned a {type(loss).__name__}: it must return a tensor")
    if loss.numel() != 1 or not loss.is_floating_point():
        shape = [size if isinstance(size, int) else BATCH for size in loss.shape]
        raise InvalidValueError(
            f"loss_fn returned dtype {loss.dtype} and shape {shape}: it must be one floating number"
        )
    return loss.reshape(())


def _gradients(loss: Tensor, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    if not loss.requires_grad:
        raise InvalidValueError(
            "the loss depends on no parameter in a differentiable way: is there an operator without a "
            "gradient between them?"
        )
    try:
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        raise ConversionError(f"the loss has no gradient: {error}") from error
    known = {name: g for name, g in zip(parameters, gradients, strict=True) if g is not None}
    if not known:
        raise InvalidValueError("the loss depends on no parameter of the model")
    return known


def trace_evaluation(module: Module, loss_fn: Loss, x: Tensor, y: Tensor, *, dynamic_batch: bool) -> Traced:
    """(tensors, x, y) -> (loss, output) of the module in eval mode.

    Raises InvalidTypeError when the module's output is no tensor.
    """
    names = list(module.tensors)

    def evaluation_of(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        *values, images, targets = arguments
        output, _ = module.call(dict(zip(names, values, strict=True)), images)
        if not isinstance(output, Tensor):
            raise InvalidTypeError(f"the model returns a {type(output).__name__}: it must return one tensor")
        return _checked_loss(loss_fn(output, targets)), output

    arguments = (*module.tensors.values(), x, y)
    with _in_mode(module.module, training=False), torch.no_grad():
        graph, asked = _trace(evaluation_of, arguments, len(names) if dynamic_batch else None)
    return Traced(graph, arguments, [*map(as_state, names), X, Y], [LOSS, OUTPUT], asked)


def _trace(
    function: Callable[..., Any], arguments: tuple[Tensor, ...], first_of_batch: int | None
) -> tuple[torch.fx.GraphModule, tuple[str, ...]]:
    """The graph, and what was asked of the number of rows.

    first_of_batch: the arguments from here on that have dimensions have a dynamic first one.
    """
    shapes = ShapeEnv()
    mode = FakeTensorMode(shape_env=shapes, allow_non_fake_inputs=True)

    def as_fake(position: int, tensor: Tensor) -> Tensor:
        sizes = [DimDynamic.STATIC] * tensor.dim()
        if sizes and first_of_batch is not None and position >= first_of_batch:
            sizes[0] = DimDynamic.DYNAMIC
        context = StatelessSymbolicContext(dynamic_sizes=sizes)  # type: ignore[var-annotated]
        return mode.from_tensor(tensor, symbolic_context=context)

    fakes = list(itertools.starmap(as_fake, enumerate(arguments)))
    try:
        with mode:
            graph = make_fx(function, decomposition_table=decompositions(), tracing_mode="real")(*fakes)
    except GuardOnDataDependentSymNode as error:
        raise ConversionError(
            "the model or loss_fn computes with the value of a tensor in Python (float(), item() or if), as "
            "BatchNorm with momentum=None does: one graph cannot hold that"
        ) from error
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph, tuple(_asked(shapes))


_TORCH = os.path.dirname(torch.__file__)
_CALLS = os.path.join(_TORCH, "nn", "modules", "module.py")  # stands for code that is in no file


def _asked(shapes: ShapeEnv) -> Iterator[str]:
    """Conditions on the number of rows, which all inputs share, and where they were asked.

    torch's own operators ask, too, mostly to lay out memory: what they compute is for any number.
    """
    rows = sympy.Symbol("rows", integer=True, positive=True)
    for guard in shapes.guards:
        condition = guard.expr.subs(dict.fromkeys(guard.expr.free_symbols, rows))
        if condition is sympy.true:
            continue
        said = f"{condition.lhs} == {condition.rhs}" if isinstance(condition, sympy.Eq) else str(condition)
        place = guard.sloc.framework_loc
        if not isinstance(place, FrameSummary) or place.filename == _CALLS:
            yield said
        elif not place.filename.startswith(_TORCH + os.sep):
            yield f"{said}, {place.filename}:{place.lineno}"
