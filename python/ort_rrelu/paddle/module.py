"""RReLU, a drop-in for paddle.nn.RReLU on our kernels."""

from __future__ import annotations

import os
import warnings
from typing import Any

import paddle
from paddle import Tensor
from paddle.base.dygraph.base import guard
from paddle.jit.sot import psdb

from ort_rrelu import library, schema
from ort_rrelu.arguments import Array, as_seed, as_step
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.node_attributes import check_bounds
from ort_rrelu.paddle import ops
from ort_rrelu.paddle.document import set_seed

# paddle.jit.to_static without full_graph (SOT) interprets the Python code that it meets, frame by frame; it
# fails on this package's, which works on addresses.
paddle.framework.core.eval_frame_skip_file_prefix((os.path.dirname(library.__file__) + os.sep,))


class TracedSeedWarning(UserWarning):
    """A seeded layer in train mode became Paddle's rrelu, which knows no seeds."""


def _check_bounds(lower: float, upper: float) -> None:
    """Paddle's own rules first, with its messages, which it would give at the first call."""
    with guard(paddle.CPUPlace()):
        paddle.nn.functional.rrelu(paddle.zeros([0]), lower, upper, training=False)  # draws nothing
    check_bounds(lower, upper)


class RReLU(paddle.nn.RReLU):
    """Randomized leaky ReLU (Xu et al. 2015); drop-in for paddle.nn.RReLU with reproducible slopes.

    In train mode y = x * r where x <= 0, r drawn from U(lower, upper) for each element; in eval mode
    y = x * (lower + upper) / 2 there. Any shape; float32, float64, float16, bfloat16, on the CPU. The
    gradient at 0 is 1, as Paddle's (torch's is the slope; so is the noise output of an exported model).

    Without a seed the slopes come from Paddle's own generator (paddle.seed). With one, call number k in train
    mode draws the slopes of step k (`step`, an int64 buffer that is not in the state_dict), the very ones
    that ort_rrelu.rrelu(seed=, step=) and the exported model draw; `forward(x, step=k)` names the step
    instead, or one for each row of x. Each counted call also draws from Paddle's generator, by which paddle's
    recompute finds its step again; where it cannot (preserve_rng_state=False), it raises and asks for step=.
    So does a layer without a seed there, whose gradients would be those of other slopes.

    paddle.jit.to_static calls the layer between the graphs that it compiles. In a whole program
    (full_graph=True, paddle.jit.save, static mode) the layer is Paddle's rrelu, for which
    ort_rrelu.paddle.export puts this operator, seed included. Paddle running such a program in train mode
    draws slopes of its own: a TracedSeedWarning says so of a seeded layer.

    Args:
        lower, upper: floats, 0 <= lower <= upper <= 1.
        name: as in Paddle.
        seed: 0 .. 2^63 - 1, or None.

    Raises:
        ValueError, TypeError: Paddle's own, for bounds; the rest InvalidValueError (a ValueError) and
            InvalidTypeError (a TypeError) with name, value and what is allowed.
    """

    seed: int | None
    step: Tensor | None

    def __init__(
        self,
        lower: float = schema.LOWER,
        upper: float = schema.UPPER,
        name: str | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(lower, upper, name)
        _check_bounds(lower, upper)
        self.seed = None if seed is None else as_seed(seed)
        with guard(paddle.CPUPlace()):
            counter = None if seed is None else paddle.zeros([], dtype="int64")
        self.register_buffer("step", counter, persistable=False)  # type: ignore[arg-type]  # None is fine

    @paddle.jit.not_to_static  # type: ignore[untyped-decorator]
    def forward(self, x: Tensor, step: int | Tensor | None = None) -> Tensor:
        """RReLU of x.

        step: the number of the draw, for a seeded layer only; the counter stays. An int, or an int64 tensor
        of one element, or of one for each row: row n then has the slopes that x[n:n+1] has at step[n].
        """
        if step is not None and self.seed is None:
            raise InvalidValueError(f"step={step!r}: only a layer with a seed takes a step")
        if not paddle.in_dynamic_mode():
            return self._trace(x, step)
        psdb.breakgraph()  # does nothing, but SOT then calls the layer instead of compiling it
        key, number = self._draw(step) if self.training else (0, 0)
        return ops.rrelu(x, self._lower, self._upper, self.training, key, number)

    def _trace(self, x: Tensor, step: int | Tensor | None) -> Tensor:
        if self.training and step is not None:
            raise InvalidValueError(
                "step= of a layer in train mode has no place in Paddle's program: leave it out, and give "
                'ort_rrelu.paddle.export(step_input=True), or step_input="rows" for a step for each row, '
                "which makes the step an input of the model"
            )
        y = paddle.nn.functional.rrelu(x, self._lower, self._upper, training=self.training)
        if self.seed is None:
            return y
        kept = paddle.base.framework.in_pir_mode()
        if kept:
            set_seed(y, self.seed)
        if self.training:
            warnings.warn(
                f"an RReLU with seed={self.seed} in train mode is traced into a program of Paddle's: Paddle "
                "running it draws slopes of its own; ort_rrelu.paddle.export "
                + ("keeps the seed" if kept else "loses the seed, for this is Paddle's old IR"),
                TracedSeedWarning,
                stacklevel=2,
            )
        return y

    def _draw(self, step: int | Tensor | None) -> tuple[int, int | Array]:
        if self.seed is None or self.step is None:
            return ops.draw(self)
        if step is None:
            return self.seed, ops.next_step(self.step)
        if not isinstance(step, Tensor):
            return self.seed, as_step(step)
        if step.dtype != paddle.int64:
            raise InvalidValueError(f"step has dtype {step.dtype}: it must be int64")
        return self.seed, step.numpy()

    def _apply(self, func: Any, device: Any, dtype: Any, *_: Any, **__: Any) -> None:
        """Paddle's Layer.to casts integers too; the counter stays an int64 on the CPU."""
        self._dtype = dtype

    def extra_repr(self) -> str:
        """As paddle.nn.RReLU's, with the seed."""
        seed = "" if self.seed is None else f", seed={self.seed}"
        return f"{super().extra_repr()}{seed}"
