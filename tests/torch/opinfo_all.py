"""All samples that torch has for nn.functional.rrelu: run by `nox -s torch_opinfo`, not by `make test`."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing._internal.opinfo.core import SampleInput

from tests.torch.opinfo import CHECKS, OURS, Activation, samples

# What torch.nn.RReLU itself does not do: vmap; forward mode and functionalize in place. Nor float16.
_NOT_TORCH = {"vmap", "gradient in place", "functionalize"}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("module", OURS)
@pytest.mark.parametrize("sample", list(samples(every=True)))
def test_module_passes(sample: SampleInput, module: str, check: str) -> None:
    CHECKS[check](OURS[module], sample)


@pytest.mark.parametrize("check", sorted(CHECKS.keys() - _NOT_TORCH))
@pytest.mark.parametrize("sample", list(samples(every=False)))
def test_checks_are_those_that_torch_passes(sample: SampleInput, check: str) -> None:
    if sample.input.dtype != torch.float16:
        CHECKS[check](Activation(nn.RReLU), sample)
