"""The ops for onnx's ReferenceEvaluator: ReferenceEvaluator(model, new_ops=ort_rrelu.evaluator.OPS)."""

from __future__ import annotations

import itertools
import os
from typing import Any, cast

from onnx.reference.op_run import OpRun

from ort_rrelu import reference, schema
from ort_rrelu.arguments import Array, as_seed


class RRelu(OpRun):
    """RRelu on the NumPy reference; a node without `step` counts its own runs from 0, as the kernels do."""

    op_domain = schema.DOMAIN

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self._runs = itertools.count()
        self._draw_seed()

    def _draw_seed(self) -> None:
        """The seed of a node that has none; a forked child draws its own."""
        self._own_seed, self._process = as_seed(None), os.getpid()

    def _seed(self, given: int) -> int:
        if given >= 0:
            return given
        if self._process != os.getpid():
            self._draw_seed()
        return self._own_seed

    def _run(
        self,
        x: Array,
        step: Array | None = None,
        lower: float = schema.LOWER,
        upper: float = schema.UPPER,
        training: int = 0,
        seed: int = -1,
    ) -> tuple[Array, ...]:
        draw: int | Array = step if step is not None else next(self._runs) if training else 0
        outputs = reference.rrelu(
            x,
            lower,
            upper,
            cast("bool", training),  # any int, which is then refused
            seed=self._seed(seed),
            step=draw,
            return_noise=True,
            return_reserve=True,
        )
        return outputs[: len(self.onnx_node.output)]


class RReluGrad(OpRun):
    """RReluGrad on the NumPy reference."""

    op_domain = schema.DOMAIN

    def _run(self, dy: Array, saved: Array) -> tuple[Array]:
        return (reference.rrelu_grad(dy, saved),)


OPS: list[type[OpRun]] = [RRelu, RReluGrad]
