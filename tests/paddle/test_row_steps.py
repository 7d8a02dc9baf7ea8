"""export(step_input="rows"): a step for each row of the batch."""

from __future__ import annotations

import numpy as np
import pytest
from paddle import nn
from paddle.static import InputSpec

import ort_rrelu
from ort_rrelu.errors import InvalidValueError

_SPEC = [InputSpec([None, 3, 8, 8], "float32", "x")]


@pytest.mark.parametrize("portable", [True, False])
def test_rows_draw_as_alone(portable: bool) -> None:
    """Slopes are read from the noise of a network whose rows nothing rounds differently."""
    network = nn.Sequential(nn.RReLU(0.1, 0.9), nn.Flatten(), ort_rrelu.paddle.RReLU(0.1, 0.9, seed=4))
    model = ort_rrelu.paddle.export(network, None, _SPEC, seed=1, step_input="rows", portable=portable)
    session = ort_rrelu.InferenceSession(model.SerializeToString())
    assert [value.shape for value in session.get_inputs()] == [["batch", 3, 8, 8], ["batch"]]
    x = np.random.default_rng(0).normal(size=(5, 3, 8, 8)).astype(np.float32)
    steps = np.array([7, -1, 7, 2**40, 3])
    (together,) = session.run(None, {"x": x, "step": steps})
    for row in range(5):
        feeds = {"x": x[row : row + 1], "step": steps[row : row + 1]}
        np.testing.assert_array_equal(session.run(None, feeds)[0], together[row : row + 1])
    assert (together[0] != together[1]).any()


def test_folded_rows_are_refused() -> None:
    network = nn.Sequential(nn.Flatten(0, 1), nn.RReLU())
    with pytest.raises(InvalidValueError, match="no step for each row"):
        ort_rrelu.paddle.export(network, None, _SPEC, seed=1, step_input="rows")
