"""What `make demo-distributed` promises: slopes and weights of all ways; and that its comparison can fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.digits_distributed.results import Comparison, Training, compare, read
from ort_rrelu.arguments import Array

_ROOT = Path(__file__).resolve().parents[2]
_NAN = float("nan")
_NOISE = np.array([[0.25, 1, 0.2], [_NAN] * 3, [0.3, 0.15, 1]])
_WEIGHTS = np.array([1.0, 2.0])


def test_demo_draws_the_same_slopes_in_all_ways() -> None:
    command = [sys.executable, "-m", "models.digits_distributed", "--epochs", "1"]
    demo = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=600)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stdout.count("4,224 of 4,224") == 3
    assert "warning" not in demo.stderr.lower()


def _compared(noise: Array, weights: Array = _WEIGHTS) -> Comparison:
    return compare(Training([_NOISE], _WEIGHTS), Training([noise], weights))


def test_samples_that_were_not_drawn_are_no_pairs() -> None:
    assert _compared(_NOISE) == Comparison(equal=2, pairs=2, other_signs=0, difference=0)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([0.25, 1, np.nextafter(0.2, 1)], Comparison(1, 2, 0, 0)),
        ([0.25, 1, 1], Comparison(2, 2, 1, 0)),
        ([0.25, 0.2, 0.2], Comparison(2, 2, 1, 0)),
        ([_NAN] * 3, Comparison(1, 2, 1, 0)),
    ],
    ids=["another slope", "positive", "negative", "missing"],
)
def test_a_row_that_differs(row: list[float], expected: Comparison) -> None:
    assert _compared(np.array([row, *_NOISE[1:]])) == expected


def test_the_largest_difference_of_a_weight() -> None:
    assert _compared(_NOISE, np.array([1.5, 1.75])).difference == 0.5


def _write(folder: Path, *parts: tuple[Array, Array]) -> Path:
    for rank, (noise, weights) in enumerate(parts):
        np.savez(folder / f"{rank}.npz", layer0=noise, weights=weights)
    return folder


def _only(*rows: int) -> Array:
    part = np.full_like(_NOISE, _NAN)
    part[list(rows)] = _NOISE[list(rows)]
    return part


def test_parts_of_two_processes_are_one_training(tmp_path: Path) -> None:
    training = read(_write(tmp_path, (_only(0), _WEIGHTS), (_only(2), _WEIGHTS)))
    np.testing.assert_array_equal(training.noise[0], _NOISE)
    np.testing.assert_array_equal(training.weights, _WEIGHTS)


def test_one_sample_in_two_processes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two processes have one sample"):
        read(_write(tmp_path, (_only(0, 2), _WEIGHTS), (_only(2), _WEIGHTS)))


def test_processes_that_end_with_different_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different weights"):
        read(_write(tmp_path, (_only(0), _WEIGHTS), (_only(2), _WEIGHTS + 1e-9)))
