"""RReLU, a drop-in for torch.nn.RReLU on our kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch.fx import Proxy, Tracer

from ort_rrelu import schema
from ort_rrelu.arguments import as_seed, as_step
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.node_attributes import check_bounds
from ort_rrelu.torch import ops, private, sharding, transforms


class RReLU(torch.nn.RReLU):
    """Randomized leaky ReLU (Xu et al. 2015); drop-in for torch.nn.RReLU with reproducible slopes.

    In train mode y = x * r where x <= 0, r drawn from U(lower, upper) for each element; in eval mode
    y = x * (lower + upper) / 2 there. Any shape; float32, float64, float16, bfloat16, on the CPU and on
    CUDA. Slopes follow the logical order of elements, whatever the memory format.

    Without a seed the slopes come from torch's own generator (torch.manual_seed). With one, call number k in
    train mode draws the slopes of step k (`step`, an int64 buffer that is not in the state_dict), the same
    that ort_rrelu.rrelu(seed=, step=) and the exported model draw. `forward(x, step=k)` names the step
    instead. Each counted call also draws one number from torch's generator, by which the recomputation of
    torch.utils.checkpoint finds its step again; where it cannot (preserve_rng_state=False, or a checkpoint
    inside torch.compile; on CUDA also a checkpoint of compiled code, or in a captured graph), it raises and
    asks for step=. A trace or ExportedProgram of a seeded module is stateless: without step= it draws step 0
    at every call. torch.jit.script does not take this class.

    torch.fx writes a call of the module into its graph, as for torch's own layers: modes that are set later
    count, and so does each call. An RReLU that is the root of the trace, has hooks, or a subclass with a
    forward of its own, is refused.

    In train mode torch.vmap follows torch.nn.functional.dropout: randomness="error", the default, is refused;
    with "same" each sample has the slopes that it has alone; with "different" the samples have those of the
    samples as one tensor, the vmapped dimension in front, so that vmap(module)(x) is module(x). The call
    takes one step; with chunk_size= each chunk is a call of its own, so randomness="same" holds within a
    chunk. If step= is vmapped over, each sample draws alone at its step, in all three cases; an unbatched
    step= with one for each row of a sample serves every sample.

    In train mode a DTensor must be replicated, or Shard(0) with a step for each row, and the module must have
    a seed. In eval mode any sharding works.

    Args:
        lower, upper: finite in float32, lower <= upper; a tensor of one element is taken as its number.
        inplace: write y into x.
        seed: 0 .. 2^63 - 1, or None.

    Raises:
        InvalidValueError (a ValueError), InvalidTypeError (a TypeError): name, value and what is allowed.
    """

    seed: int | None
    step: Tensor | None

    def __init__(
        self,
        lower: float = schema.LOWER,
        upper: float = schema.UPPER,
        inplace: bool = False,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(*check_bounds(lower, upper), inplace)
        self._count(seed)

    @classmethod
    def adopt(cls, module: torch.nn.RReLU, seed: int | None, device: torch.device | None = None) -> None:
        """Make a module of torch one of ours: the object stays, with all that it holds or is held by.

        Its bounds must be allowed, and seed be as in __init__; device is that of the counter.
        """
        module.lower, module.upper = check_bounds(module.lower, module.upper)
        module.__class__ = cls
        cls._count(module, seed, device)  # type: ignore[arg-type]

    def _count(self, seed: int | None, device: torch.device | None = None) -> None:
        self.seed = None if seed is None else as_seed(seed)
        counter = None if seed is None else torch.zeros((), dtype=torch.int64, device=device)
        self.register_buffer("step", counter, persistent=False)

    def forward(self, x: Tensor, step: int | Tensor | None = None) -> Tensor:
        """RReLU of x.

        step, for a seeded module only: int64, the number of the draw, or a tensor of shape [x.shape[0]] with
        one for each row, which is then drawn as a tensor alone. The counter stays.
        """
        if type(x) is not Tensor or step is not None:  # asked first: a small tensor's time is that of Python
            if isinstance(x, Proxy) or isinstance(step, Proxy):
                return self._traced(x, step)
            step = self._check(x, step)
        transforming = transforms.active()
        number = self._step(step, transforming)
        arguments = x, self.lower, self.upper, self.training, self.seed, number
        y: Tensor = transforms.activate(*arguments) if transforming else ops.rrelu(*arguments)[0]
        return x.copy_(y) if self.inplace else y

    def _check(self, x: Tensor, step: int | Tensor | None) -> int | Tensor | None:
        if step is not None and self.seed is None:
            raise InvalidValueError(f"step={step!r}: only a module with a seed takes a step")
        return step if type(x) is Tensor else sharding.check(x, self.training, self.seed, step)

    def _traced(self, x: Any, step: Any) -> Any:
        own_forward = type(self).forward is RReLU.forward and "forward" not in vars(self)
        return _call_in_graph(self, x, step, own_forward=own_forward)

    def _step(self, step: int | Tensor | None, transforming: bool) -> Tensor | None:
        if isinstance(step, Tensor):
            return step
        if step is not None:
            return _as_tensor(step)
        if self.seed is None or not self.training or _exporting():
            return None
        counter = self.step
        if counter is None:
            raise InvalidValueError(f"seed={self.seed} was set after construction: use RReLU(seed=...)")
        if transforming:
            return transforms.next_step(counter)
        # What compiled code on CUDA computes may be a graph's memory, in which nothing can be remembered.
        remember = not (counter.is_cuda and torch.compiler.is_compiling())
        taken: Tensor = ops.next_step(counter, remember)
        return taken

    def reset_parameters(self) -> None:
        """Begin again at step 0."""
        if self.step is not None:
            self.step.zero_()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """The counter moves between devices, and nothing else: to_empty and type() must not change it."""
        counter = self.step
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if counter is not None and self.step is not None and not self.step.is_meta:
            moved = torch.zeros_like(counter, device=self.step.device)
            self.step = moved if counter.is_meta else moved.copy_(counter)
        return self

    def extra_repr(self) -> str:
        """As torch.nn.RReLU's, with the seed."""
        seed = "" if self.seed is None else f", seed={self.seed}"
        return super().extra_repr() + seed


def bounds_of(name: str, module: torch.nn.RReLU) -> tuple[float, float]:
    """The bounds as numbers, or the error of check_bounds with the name of the module."""
    try:
        return check_bounds(module.lower, module.upper)
    except (InvalidValueError, InvalidTypeError) as error:
        raise type(error)(f"RReLU module {name!r}: {error}") from error


def _call_in_graph(module: torch.nn.Module, x: Any, step: Any, *, own_forward: bool) -> Proxy:
    """Write the call of `module` into the graph that torch.fx traces, as for torch's own layers.

    fx traces into a module whose class is not torch's. Mode and step would then be those of the trace, for
    good.

    Args:
        module: whose forward is traced.
        x, step: arguments of forward, at least one of them an fx.Proxy; step None is left out.
        own_forward: is there no other forward around the module's own, which would be traced and run too?

    Raises:
        InvalidValueError: the graph cannot call the module: it is the root of the trace, or has hooks or
            another forward, which have been traced already.
        NameError: from torch, as for its own layers: the module is not a submodule of the root.
    """
    tracer = next(value.tracer for value in (x, step) if isinstance(value, Proxy))
    path = cast(Tracer, tracer).path_of_module(module)
    if not path:
        raise InvalidValueError(
            "torch.fx: an RReLU by itself cannot be traced, because a graph calls only submodules: trace "
            "torch.nn.Sequential(module)"
        )
    if not own_forward or private.has_hooks(module):
        raise InvalidValueError(
            f"torch.fx: RReLU module {path!r} has hooks or a forward of another class, which would be in the "
            "graph and run in the module, too: use a Tracer whose is_leaf_module is True for it"
        )
    return tracer.create_proxy("call_module", path, (x,), {} if step is None else {"step": step})


def _as_tensor(step: int) -> Tensor:
    # Compiled code hands over symbolic integers, which must stay so: a new step is no new program.
    if not isinstance(step, int | torch.SymInt) or isinstance(step, bool):
        raise InvalidTypeError(f"step={step!r} is not an integer")
    if not torch.compiler.is_compiling():
        as_step(step)
    return torch.full((), step, dtype=torch.int64)


def _exporting() -> bool:
    """Is the call traced into a graph, which must hold the op alone, without the module's counter?"""
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return tracing or torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
