"""What hypothesis draws for the operators."""

from __future__ import annotations

import functools

import numpy as np
from hypothesis import strategies as st

from tests.draws import Draw, normal, special_values
from tests.onnx_models import DTYPES, FLOAT, Array

_BOUNDS = st.tuples(
    *[st.floats(-(2.0**14), 2.0**14, width=32) | st.sampled_from([-0.0, 0.0, 1e-9, -1e-9])] * 2
)
_int64 = functools.partial(st.integers, max_value=2**63 - 1)


@st.composite
def draws(draw: st.DrawFn) -> Draw:
    """Bounds, modes, seeds and steps."""
    lower, upper = sorted(draw(_BOUNDS))
    return Draw(
        lower,
        upper,
        training=draw(st.booleans()),
        seed=draw(_int64(min_value=0)),
        step=draw(_int64(min_value=-(2**63))),
    )


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """Inputs of every shape and dtype, with as many special values as fit."""
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=4)))
    dtype, scale = draw(st.sampled_from(list(DTYPES))), draw(st.sampled_from([1e-30, 1e-6, 1.0, 100.0]))
    values = normal(shape, FLOAT, seed=draw(st.integers(0, 2**32 - 1)))
    x = np.asarray(values * np.float32(scale)).astype(DTYPES[dtype])
    special = special_values(dtype).reshape(-1)
    count = min(x.size, special.size)
    x.reshape(-1)[:count] = special[:count]
    return x
