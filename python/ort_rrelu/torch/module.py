"""RReLU, a drop-in for torch.nn.RReLU on our kernels."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, Self, cast

import torch
from torch import Tensor, distributed
from torch.fx import Proxy, Tracer

from ort_rrelu import schema
from ort_rrelu.arguments import as_seed, as_step
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.node_attributes import check_bounds, seed_of_place
from ort_rrelu.torch import accepted, eager, ops, private, sharding, steps, transforms
from ort_rrelu.torch.accepted import Accepted


class RReLU(torch.nn.RReLU):
    """Randomized leaky ReLU (Xu et al. 2015); drop-in for torch.nn.RReLU with reproducible slopes.

    In train mode y = x * r where x <= 0, r drawn from U(lower, upper) for each element; in eval mode
    y = x * (lower + upper) / 2 there. Any shape; float32, float64, float16, bfloat16, on the CPU and on
    CUDA. Slopes follow the logical order of elements, whatever the memory format.

    Without a seed the slopes come from torch's own generator (torch.manual_seed). With one, call number k in
    train mode draws the slopes of step k (`step`, an int64 buffer that is not in the state_dict), the same
    that ort_rrelu.rrelu(seed=, step=) and the exported model draw. `forward(x, step=k)` names the step
    instead, of all of x or, as a tensor, of each row; ort_rrelu.torch.accept_step does so for networks.
    In data parallel training counted steps draw the same slopes on every rank: a warning says so once. Each
    counted call also draws one number from torch's generator, by which the recomputation of
    torch.utils.checkpoint finds its step again; where it cannot (preserve_rng_state=False, or a checkpoint
    inside torch.compile; on CUDA also a checkpoint of compiled code, or in a captured graph), it raises and
    asks for step=. A trace or ExportedProgram of a seeded module is stateless: without step= it draws step 0
    at every call. torch.jit.script does not take this class.

    torch.fx writes a call of the module into its graph, as for torch's own layers: modes that are set later
    count, and so does each call. An RReLU that is the root of the trace, has hooks, or a subclass with a
    forward of its own, is refused.

    From 32,768 elements on autograd keeps one bit an element for backward, below that as many bytes as x has.
    In eval mode without gradients the module is torch's leaky_relu.

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
    _asked = False  # whether other processes count, too: not before torch.distributed has begun

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
        # A small tensor's time is that of Python.
        lower, upper = self.lower, self.upper
        plain = type(x) is Tensor and type(lower) is type(upper) is float and eager.takes(x)
        if plain and step is None and not self.training:
            return eager.evaluated(x, lower, upper, self.inplace)
        if not plain or step is not None:
            if isinstance(x, Proxy) or isinstance(step, Proxy):
                return self._traced(x, step)
            if step is not None and self.seed is None:
                raise InvalidValueError(f"step={step!r}: only a module with a seed takes a step")
            if not isinstance(x, Tensor):
                raise InvalidTypeError(f"x is of type {type(x).__name__}: it must be a torch.Tensor")
        transforming = not plain and transforms.active()
        seed, number = self._draw(x, step, plain, transforming)
        arguments = x, lower, upper, self.training, seed, number
        if plain and (number is None or type(number) is int or type(number) is Tensor):
            return eager.rrelu(*arguments, self.inplace)
        y: Tensor = transforms.activate(*arguments) if transforming else ops.rrelu(*arguments)[0]
        return x.copy_(y) if self.inplace else y

    def _traced(self, x: Any, step: Any) -> Any:
        own_forward = type(self).forward is RReLU.forward and "forward" not in vars(self)
        return _call_in_graph(self, x, step, own_forward=own_forward)

    def _draw(
        self, x: Tensor, step: int | Tensor | None, plain: bool, transforming: bool
    ) -> tuple[int | None, int | Tensor | None]:
        """Seed and step of this call; a step that is an int is for plain calls alone."""
        number = step if step is None or isinstance(step, Tensor) else as_tensor(step)
        seed = self.seed
        if accepted.thread.running.top is not None and self.training and (forward := accepted.current()):
            seed, number = self._draw_in(forward, x, number, transforming)
        elif number is None and seed is not None and self.training and (plain or not accepted.exporting()):
            return self._draw_counted(x, seed, plain, transforming)
        return seed, number if type(x) is Tensor else sharding.check(x, self.training, seed, number)

    def _draw_in(
        self, forward: Accepted, x: Tensor, named: Tensor | None, transforming: bool
    ) -> tuple[int | None, Tensor | None]:
        """The same with the step of the network's call, unless this one has a step of its own."""
        place = forward.next_place(self)
        if named is not None:
            return self.seed, named
        if self.seed is None:
            raise accepted.unseeded(forward.name_of(self))
        step, counter = forward.step_of(self, x), self._counter()
        if torch.compiler.is_compiling():
            if not (forward.is_compiled or accepted.exporting()):
                ops.check_forward(counter)
        elif not (transforming or accepted.exporting()):
            steps.remember(counter, step, place)
        return _seed_of_place(self.seed, place), step

    def _draw_counted(
        self, x: Tensor, seed: int, plain: bool, transforming: bool
    ) -> tuple[int, int | Tensor]:
        counter = self._counter(plain)
        compiling = not plain and torch.compiler.is_compiling()
        if type(x) is not Tensor:  # a DTensor, for which all ranks have to draw the same
            sharding.check(x, True, seed, None)
        elif compiling:
            _told_of_ranks()
        elif not self._asked and _told_of_ranks():
            self._asked = True
        if transforming:
            return seed, transforms.next_step(counter)
        try:
            if plain and type(counter) is Tensor:
                return seed, steps.take(counter)
            # What compiled code on CUDA computes may be a graph's memory, in which nothing can be remembered.
            return seed, ops.next_step(counter, not (counter.is_cuda and compiling))
        except steps.GivenStepError as recomputed:
            given = recomputed.given
            return _seed_of_place(seed, given.place), sharding.check(x, True, seed, given.step)

    def _counter(self, plain: bool = False) -> Tensor:
        counter = private.buffer(self, "step") if plain else self.step
        if counter is None:
            raise InvalidValueError(f"seed={self.seed} was set after construction: use RReLU(seed=...)")
        return counter

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


def as_tensor(step: int) -> Tensor:
    """An integer step as a tensor of one int64."""
    # Compiled code hands over symbolic integers, which must stay so: a new step is no new program.
    if not isinstance(step, int | torch.SymInt) or isinstance(step, bool):
        raise InvalidTypeError(f"step={step!r} is not an integer")
    if not torch.compiler.is_compiling():
        as_step(step)
    return torch.full((), step, dtype=torch.int64)


@functools.cache
def _warn_of_ranks() -> None:
    warnings.warn(
        "a seeded RReLU counts its steps in several processes of torch.distributed: in data parallel "
        "training all ranks of one seed draw the same slopes; call the network with a step for each row "
        "(ort_rrelu.torch.accept_step), of numbers that differ between ranks, or give each rank other seeds",
        stacklevel=2,
    )


def _told_of_ranks() -> bool:
    """Warn, once in a process, of counted draws that ranks share. False where it is too early to know."""
    if not distributed.is_available() or not distributed.is_initialized():
        return False
    if distributed.get_world_size() > 1:
        _warn_of_ranks()
    return True


def _seed_of_place(seed: int, place: int) -> int:
    return _derived(seed, int(place)) if place else seed  # compiled code may have a symbol for it


_cached_seed = functools.lru_cache(seed_of_place)


def _derived(seed: int, place: int) -> int:
    return _cached_seed(seed, place)


# Compiled code warns when it is compiled, and has nothing of it.
private.constant_in_compiled_code(_told_of_ranks)
private.constant_in_compiled_code(_derived)
