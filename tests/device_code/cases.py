"""What the tests of this folder are repeated for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device_code import compiling
from tests.onnx_models import DTYPES

every_architecture = pytest.mark.parametrize("architecture", compiling.ARCHITECTURES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=[str(d) for d in DTYPES.values()])
both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])

# Around a block, a load, a tile of each type (256, 512, 1024 elements), and several blocks of threads.
SIZES = [*range(18), 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 8 * 1024 + 5]
# Rows and their sizes: shorter than a block, of whole blocks, of other sizes, longer than a tile.
ROWS = [(1, 9), (300, 1), (90, 7), (64, 8), (200, 10), (40, 64), (12, 513), (3, 4096), (2, 0)]


def ptx_of(architecture: int) -> Path:
    """Of the kernels as they are."""
    return compiling.build().ptx(architecture)
