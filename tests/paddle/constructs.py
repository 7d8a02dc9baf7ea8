"""Layers that use rrelu in each way there is; their bounds, all unlike, tell the rrelus apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn.functional as F  # noqa: N812
from paddle import Tensor, nn
from paddle.static import InputSpec

from tests.onnx_models import Array


def normal(*shape: int, dtype: str = "float32") -> Array:
    """Reproducible normal numbers with both zeros among them, where there is room."""
    values = np.random.default_rng(5).standard_normal(shape).astype(dtype)
    if values.ndim and values.shape[-1] > 2:
        values[..., 0], values[..., 1] = 0.0, -0.0
    return values


class Functional(nn.Layer):
    def forward(self, x: Tensor) -> Tensor:
        return F.rrelu(x, 0.1, 0.3, training=self.training)


class Chain(nn.Layer):
    """Nothing but rrelus, three in a row, with the ends of the allowed bounds among theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.RReLU()
        self.second = nn.RReLU(0.0, 1.0)
        self.third = nn.RReLU(0.25, 0.25)

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.second(self.first(x)))


class Nested(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Linear(7, 5), nn.RReLU(0.2, 0.4), nn.Sequential(nn.RReLU(0.3, 0.5)))
        self.blocks = nn.LayerList([inner, nn.Linear(5, 3)])
        self.act = nn.RReLU()

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.act(x)


class Branch(nn.Layer):
    """An If with an rrelu in each body."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.RReLU(0.2, 0.4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(x) if x.sum() > 0 else F.rrelu(x, 0.1, 0.3, training=self.training) * 2.0
        return F.rrelu(y, 0.3, 0.5, training=self.training)


class Loop(nn.Layer):
    """A Loop whose rrelu draws anew in each iteration."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.RReLU(0.7, 0.9)

    def forward(self, x: Tensor) -> Tensor:
        i = paddle.zeros([1], "int64")
        while i < 3:
            x = self.act(x)
            i = i + 1
        return F.rrelu(x, 0.1, 0.3, training=self.training)


class Network(nn.Layer):
    """Convolution, BatchNorm, Dropout, pooling: what is in eval form, whatever the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2D(2, 4, 3, padding=1), nn.BatchNorm2D(4), nn.RReLU(0.1, 0.3), nn.MaxPool2D(2)
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.RReLU(0.2, 0.4), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class TwoInputs(nn.Layer):
    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        drawn = F.rrelu(x, 0.1, 0.3, training=self.training)
        return drawn + y, F.rrelu(y, 0.2, 0.4, training=self.training)


@dataclass(frozen=True)
class Construct:
    """A layer, the inputs it is run on, and the shapes it is exported with."""

    make: Callable[[], nn.Layer]
    inputs: Sequence[Array]
    shapes: Sequence[Sequence[int | None]]

    @property
    def input_spec(self) -> list[InputSpec]:
        return [
            InputSpec(list(shape), str(x.dtype), name)
            for shape, x, name in zip(self.shapes, self.inputs, "xy", strict=False)
        ]


_X = normal(4, 7)
CONSTRUCTS = {
    "layer": Construct(nn.RReLU, [_X], [(None, 7)]),
    "function": Construct(Functional, [_X], [(None, 7)]),
    "chain of different bounds": Construct(Chain, [_X], [(None, 7)]),
    "nested": Construct(Nested, [_X], [(None, 7)]),
    "If, then": Construct(Branch, [np.abs(_X)], [(None, 7)]),
    "If, else": Construct(Branch, [-np.abs(_X)], [(None, 7)]),
    "Loop": Construct(Loop, [_X], [(None, 7)]),
    "network": Construct(Network, [normal(3, 2, 4, 4)], [(None, 2, 4, 4)]),
    "two inputs": Construct(TwoInputs, [_X, -_X], [(None, 7), (None, 7)]),
    "0-d": Construct(Chain, [np.array(-1.5, np.float32)], [()]),
    "all dynamic": Construct(Chain, [normal(2, 3, 5)], [(None, None, None)]),
    "static": Construct(Chain, [_X], [(4, 7)]),
    "float64": Construct(Chain, [_X.astype(np.float64)], [(None, 7)]),
    "float16": Construct(Chain, [_X.astype(np.float16)], [(None, 7)]),
}
