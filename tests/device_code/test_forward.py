"""RRelu's device code on a simulated device, against the reference to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.device_code.cases import ROWS, SIZES, both_modes, every_architecture, every_dtype, ptx_of
from tests.device_code.checking import Case, check_forward
from tests.draws import Draw, normal, special_values

_BOUNDS = [
    *[(1 / 8, 1 / 3), (-1e-4, 1e-4), (0.0, 1e-7), (-2.5, 3.0), (0.25, 0.25), (-60000.0, 5504.0)],
    *[(0.0, 1e-44), (-3e-45, 3e-45)],  # a span that is subnormal
]


@every_architecture
@every_dtype
@both_modes
def test_sizes_and_offsets(architecture: int, dtype: int, training: bool) -> None:
    for offset in (0, 1, 3):
        for size in SIZES:
            if offset and size > 1100:  # no tiles there, whatever the size
                continue
            x = normal((size,), dtype)
            check_forward(ptx_of(architecture), x, Draw(training=training), Case(offset=offset))


@every_dtype
@pytest.mark.parametrize("alone", ["x", "y", "noise"])
def test_one_array_alone_that_is_not_aligned(dtype: int, alone: str) -> None:
    """The host sees it, whatever the architecture."""
    case = Case(offset=1, alone=alone)
    check_forward(ptx_of(90), normal((1100,), dtype), Draw(), case)


@every_architecture
@every_dtype
@both_modes
def test_outputs_that_are_not_asked_for(architecture: int, dtype: int, training: bool) -> None:
    x = normal((5003,), dtype)
    for noise, reserve in ((False, False), (True, False), (False, True)):
        check_forward(ptx_of(architecture), x, Draw(training=training), Case(noise=noise, reserve=reserve))


@every_architecture
@every_dtype
@both_modes
def test_in_place(architecture: int, dtype: int, training: bool) -> None:
    x = normal((5003,), dtype)
    for offset in (0, 1):
        case = Case(offset=offset, in_place=True)
        check_forward(ptx_of(architecture), x, Draw(training=training), case)


@every_architecture
@every_dtype
@both_modes
def test_special_values(architecture: int, dtype: int, training: bool) -> None:
    """Subnormals, infinities, NaN and zeros of both signs, in tiles and after them."""
    x = np.resize(special_values(dtype), (1500,))
    for bounds in _BOUNDS:
        check_forward(ptx_of(architecture), x, Draw(*bounds, training))


@every_architecture
@every_dtype
@both_modes
@pytest.mark.parametrize("offset", [0, 1])
def test_rows(architecture: int, dtype: int, training: bool, offset: int) -> None:
    generator = np.random.default_rng(11)
    for rows, size in ROWS:
        steps = generator.integers(-(2**63), 2**63 - 1, rows, np.int64, endpoint=True)
        draw = Draw(training=training, step=steps)
        check_forward(ptx_of(architecture), normal((rows, size), dtype), draw, Case(offset=offset))


@every_architecture
@every_dtype
@pytest.mark.parametrize("on_device", [False, True], ids=["given", "on the device"])
def test_seeds_and_steps(architecture: int, dtype: int, on_device: bool) -> None:
    x = normal((1100,), dtype)
    for seed in (0, 1, 2**32, 2**63 - 1):
        for step in (0, 2**32, -1, -(2**63)):
            case = Case(numbers_on_device=on_device)
            check_forward(ptx_of(architecture), x, Draw(seed=seed, step=step), case)


@every_architecture
@every_dtype
@both_modes
def test_a_counter_gives_its_step_and_moves_on(architecture: int, dtype: int, training: bool) -> None:
    """One block of threads takes it itself; for more, and for none, it is taken before."""
    for size in (0, 16, 20_000):
        for step in (7, -2):
            draw = Draw(step=step, training=training)
            case = Case(count=step % 2**64)
            check_forward(ptx_of(architecture), normal((size,), dtype), draw, case)


@every_architecture
@every_dtype
@both_modes
def test_more_tiles_than_warps(architecture: int, dtype: int, training: bool) -> None:
    """A thread takes several tiles, or several blocks of elements, of a device with few processors."""
    for offset, size in ((0, 300_003), (1, 70_003)):
        x = normal((size,), dtype)
        check_forward(ptx_of(architecture), x, Draw(training=training), Case(offset=offset, processors=1))
