"""ort_rrelu.paddle.RReLU in Paddle's programs: traced, saved, exported."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import Tensor, nn

import ort_rrelu
from ort_rrelu import reference
from ort_rrelu.paddle import RReLU
from ort_rrelu.paddle.module import TracedSeedWarning
from tests.bits import assert_same_bits
from tests.paddle.paddle_layers import array, in_mode, normal

both_modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


@both_modes
def test_exported_model_gives_the_same_bits(training: bool, tmp_path: Path) -> None:
    layer = in_mode(RReLU(0.1, 0.4, seed=2**62 + 5), training)
    spec = [paddle.static.InputSpec([None, 7], "float32", "x")]
    path = tmp_path / "layer.onnx"
    ort_rrelu.paddle.export(layer, path, spec, step_input=training)
    session = ort_rrelu.InferenceSession(path, lower_eval=False)
    x = normal(5, 7)
    for step in (0, 1, 2**40):
        feeds = {"x": array(x)} | ({"step": np.array(step)} if training else {})
        assert_same_bits(array(layer(x, step=step)), session.run(None, feeds)[0])


def test_exported_model_counts_as_the_layer_does(tmp_path: Path) -> None:
    network = nn.Sequential(RReLU(seed=3), RReLU(seed=4))
    path = tmp_path / "network.onnx"
    ort_rrelu.paddle.export(network, path, [paddle.static.InputSpec([None, 7], "float32", "x")])
    session = ort_rrelu.InferenceSession(path)
    x = normal(5, 7)
    for _ in range(3):
        assert_same_bits(array(network(x)), session.run(None, {"x": array(x)})[0])


def test_saving_and_exporting_leave_the_layer_as_it_was(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(7, 7), RReLU(seed=3))
    spec = [paddle.static.InputSpec([None, 7], "float32", "x")]
    with pytest.warns(TracedSeedWarning):
        paddle.jit.save(network, str(tmp_path / "saved"), spec)
    ort_rrelu.paddle.export(network, None, spec)
    x = network[0](normal(5, 7))
    assert_same_bits(array(network[1](x)), reference.rrelu(array(x), training=True, seed=3))


def test_a_named_step_has_no_place_in_a_traced_train_mode() -> None:
    class AtStep8(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.rrelu = RReLU(seed=5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.rrelu(x * 2, step=8)
            return y

    layer = AtStep8()
    spec = [paddle.static.InputSpec([None, 7], "float32", "x")]
    with pytest.raises(ValueError, match=r"step_input=True"):
        ort_rrelu.paddle.export(layer, None, spec)
    assert ort_rrelu.paddle.export(in_mode(layer, False), None, spec).graph.node


class _Long(nn.Layer):
    """Enough around the RReLU for Paddle to compile it."""

    def __init__(self, rrelu: nn.Layer) -> None:
        super().__init__()
        self.rrelu = rrelu

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(12):
            x = x * -1.0
        y: Tensor = self.rrelu(x) * 2
        for _ in range(12):
            y = y * -1.0
        return y


@pytest.mark.parametrize("differentiated", [True, False])
def test_to_static_calls_the_layer_between_its_graphs(differentiated: bool) -> None:
    compiled = paddle.jit.to_static(_Long(RReLU(seed=5)), full_graph=False)
    for step in range(4):
        x = normal(5, 7)
        x.stop_gradient = not differentiated
        with warnings.catch_warnings():
            warnings.simplefilter("error", TracedSeedWarning)
            y = compiled(x)
        drawn, noise = reference.rrelu(array(x), training=True, seed=5, step=step, return_noise=True)
        assert_same_bits(array(y), drawn * 2)
        if differentiated:
            y.sum().backward()
            assert x.grad is not None
            assert_same_bits(array(x.grad), noise * 2)


def test_a_whole_program_draws_slopes_of_paddle_and_warns() -> None:
    program = paddle.jit.to_static(_Long(RReLU(0.2, 0.3, seed=5)), full_graph=True)
    x = -paddle.ones([1000])
    with pytest.warns(TracedSeedWarning, match="seed=5"):
        drawn = -array(program(x)) / 2
    assert 0.2 <= drawn.min() < drawn.max() <= 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("error", TracedSeedWarning)
        paddle.jit.to_static(_Long(in_mode(RReLU(seed=5), False)), full_graph=True)(x)
        paddle.jit.to_static(_Long(RReLU()), full_graph=True)(x)


def test_export_keeps_the_seed_and_so_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", TracedSeedWarning)
        ort_rrelu.paddle.export(RReLU(seed=3), None, [paddle.static.InputSpec([None], "float32")])


_OLD_IR = """
import warnings, paddle
from ort_rrelu.paddle import RReLU
paddle.enable_static()
x = paddle.static.data("x", [3])
layer = RReLU(seed=3)
with warnings.catch_warnings(record=True) as caught:
    layer(x)
assert "loses the seed" in str(caught[0].message), caught
layer.eval()
layer(x)
"""


def test_the_old_ir_of_paddle_loses_the_seed_and_says_so() -> None:
    environment = os.environ | {"FLAGS_enable_pir_api": "0"}
    subprocess.run([sys.executable, "-c", _OLD_IR], env=environment, check=True)
