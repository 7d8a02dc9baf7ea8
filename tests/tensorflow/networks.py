"""RReLU as TensorFlow Addons writes it, and networks with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

LOWER, UPPER = 0.125, 1 / 3


def rrelu(
    x: Any, lower: float = LOWER, upper: float = UPPER, training: bool = False, seed: int | None = None
) -> Any:
    """As tensorflow-addons has it, which newer versions of TensorFlow cannot load."""
    slope = tf.cast((lower + upper) / 2, x.dtype)
    if training:
        slope = tf.random.uniform(tf.shape(x), minval=lower, maxval=upper, dtype=x.dtype, seed=seed)
    return tf.where(x >= 0, x, slope * x)


class RReLU(keras.layers.Layer):
    """A layer of it. `mode` is its own mode, None that of the call."""

    def __init__(
        self, lower: float = LOWER, upper: float = UPPER, mode: bool | None = None, seed: int | None = None
    ) -> None:
        super().__init__()
        self.bounds, self.mode, self.seed = (lower, upper), mode, seed

    def call(self, x: Any, training: bool = False) -> Any:
        return rrelu(x, *self.bounds, training if self.mode is None else self.mode, self.seed)


def spec(*shape: int | None, name: str = "x", dtype: Any = tf.float32) -> Any:
    """An item of an input_signature."""
    return tf.TensorSpec(shape, dtype, name=name)


def convolutions(activation: Callable[[], Any], *, size: int = 64, channels: int = 32, count: int = 4) -> Any:
    """A Keras network of convolutions in TensorFlow's order of dimensions, each with an activation."""
    layers = [keras.Input([size, size, 3], name="x")]
    for _ in range(count):
        layers += [keras.layers.Conv2D(channels, 3, padding="same"), activation()]
    return keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)])


def digits_network(seed: int = 0) -> Any:
    """For images of 8 x 8; the weights follow from the seed."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input([8, 8, 1], name="x"),
            keras.layers.Conv2D(16, 3, padding="same"),
            RReLU(),
            keras.layers.Conv2D(16, 3, padding="same"),
            RReLU(),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
