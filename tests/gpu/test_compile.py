"""ort_rrelu.torch under torch.compile on CUDA, which takes most of the time of all torch's tests."""

from __future__ import annotations

import pytest
import torch

from ort_rrelu import reference
from ort_rrelu.torch import RReLU
from tests.bits import assert_same_bits
from tests.gpu import device
from tests.torch.arrays import normal

pytestmark = device.needs_gpu()


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_code_draws_every_step(mode: str) -> None:
    torch._dynamo.reset()
    module, x = RReLU(seed=5).cuda(), normal(2, 4, 13, 35).cuda()
    compiled = torch.compile(module, mode=mode)
    for step in range(6):
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        assert_same_bits(
            device.on_host(compiled(x)), reference.rrelu(device.on_host(x), training=True, seed=5, step=step)
        )
