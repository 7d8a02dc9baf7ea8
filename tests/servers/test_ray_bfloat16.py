"""bfloat16, which MLServer has not."""

from __future__ import annotations

import ml_dtypes
import numpy as np

import ort_rrelu
from tests.servers.conftest import Connect


def test_bfloat16(connect: Connect, raw_transport: str) -> None:
    x = np.array([[1, -2, 3.5]], ml_dtypes.bfloat16)
    answer = connect("other", raw_transport).infer({"x_bfloat16": ("BF16", x)})["y_bfloat16"]
    assert (answer == ort_rrelu.rrelu(x)).all()
