"""The ops as model-local functions in standard ONNX operators: the specification that every runtime can run.

With a seed and a step the bits are those of reference.py and of the kernels, in all dtypes. A function keeps
no count of its runs and no key of its session: without `step`, or without a seed, every run draws anew.
"""

from ort_rrelu.functions.ops import (
    OLDEST_OPSET,
    Bounds,
    Shape,
    as_stored,
    factor,
    mean_slope,
    rrelu,
    rrelu_grad,
    rrelu_in_one_mode,
)
from ort_rrelu.functions.stream import NO_RANDOM_UNIFORM

__all__ = [
    "NO_RANDOM_UNIFORM",
    "OLDEST_OPSET",
    "Bounds",
    "Shape",
    "as_stored",
    "factor",
    "mean_slope",
    "rrelu",
    "rrelu_grad",
    "rrelu_in_one_mode",
]
