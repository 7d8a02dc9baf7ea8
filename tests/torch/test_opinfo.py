"""Our module passes what torch checks of nn.functional.rrelu, on twenty samples; all: nox -s torch_opinfo."""

from __future__ import annotations

import pytest
from torch.testing._internal.opinfo.core import SampleInput

from tests.torch.opinfo import CHECKS, OURS, samples


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("sample", list(samples(every=False)))
def test_module_passes(sample: SampleInput, check: str) -> None:
    CHECKS[check](OURS["seeded"], sample)
