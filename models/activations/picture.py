"""The picture of the family: every curve and its gradient, both as ONNX Runtime computes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor, nn

import ort_rrelu
from models.activations.gradient import export_with_gradient
from models.activations.registry import build_activation
from ort_rrelu.arguments import Array

mpl.use("Agg")
from matplotlib import pyplot as plt

# Every input has three feature maps, for PReLU; the others treat all alike.
_X = torch.linspace(-4, 3, 701).expand(1, 3, -1).contiguous()
_CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "ReLU": {"type": "ReLU"},
    "LeakyReLU, 0.1 x": {"type": "LeakyReLU", "negative_slope": 0.1},
    "PaperLeakyReLU, x / 5.5": {"type": "PaperLeakyReLU", "a": 5.5},
    "PReLU, slopes 0.5, 0, 0.25": {"type": "PReLU", "num_parameters": 3, "init": [0.5, 0.0, 0.25]},
    "MyReLU": {"type": "MyReLU"},
    "RReLU, slope ~ U(1/8, 1/3)": {"type": "RReLU"},
    "PaperRReLU, x / U(3, 8)": {"type": "PaperRReLU"},
    "Softplus": {"type": "Softplus"},
    "SoftplusFunction": {"type": "SoftplusFunction"},
    "LearnableClip, t1 = 1, t2 = 0.5": {"type": "LearnableClip", "t1": 1.0, "t2": 0.5},
}
_DRAWN = {"RReLU", "PaperRReLU"}  # whose train mode is another


class _Curves(nn.Module):
    """Each activation on a part of the input of its own: one export for all, which takes seconds."""

    def __init__(self, activations: list[nn.Module]) -> None:
        super().__init__()
        self.activations = nn.ModuleList(activations)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([f(part) for f, part in zip(self.activations, x, strict=True)])


def _run(curves: list[tuple[str, bool]]) -> Iterator[tuple[Array, Array]]:
    """y and dy/dx of each activation in train mode or not, each (3, points)."""
    activations = [build_activation(_CONFIGURATIONS[title]).train(training) for title, training in curves]
    x = _X.expand(len(curves), *_X.shape).contiguous()
    model = export_with_gradient(_Curves(activations), x, seed=2015)
    y, gradient = ort_rrelu.InferenceSession(model.SerializeToString()).run(None, {"x": x.numpy()})
    return zip(y[:, 0], gradient[:, 0], strict=True)


def _broken_at_jumps(values: Array) -> Array:
    """With NaN before each jump, so that no line is drawn across it."""
    jumps = np.abs(np.diff(values, append=values[..., -1:])) > 0.05
    return np.where(jumps, np.nan, values)


def _draw_panel(axes: Any, title: str, curves: dict[tuple[str, bool], tuple[Array, Array]]) -> None:
    x = _X[0].T.numpy()
    styles = (("tab:blue", "-"), ("tab:orange", "--"))
    if (title, True) in curves:
        for values, (color, _) in zip(curves[title, True], styles, strict=True):
            axes.plot(x, values.T, ".", color=color, markersize=1, alpha=0.25)
    for values, (color, style) in zip(curves[title, False], styles, strict=True):
        axes.plot(x, _broken_at_jumps(values).T, style, color=color, linewidth=1.5)
    axes.set_title(title, fontsize=10)


def draw(path: Path) -> None:
    """Draw the curves (blue) and their gradients (dashed), train mode as dots, into a PNG."""
    drawn = [title for title, configuration in _CONFIGURATIONS.items() if configuration["type"] in _DRAWN]
    wanted = [(title, False) for title in _CONFIGURATIONS] + [(title, True) for title in drawn]
    curves = dict(zip(wanted, _run(wanted), strict=True))
    figure, grid = plt.subplots(2, 5, figsize=(14, 5.4), sharex=True, sharey=True, layout="constrained")
    for axes, title in zip(grid.flat, _CONFIGURATIONS, strict=True):
        axes.axhline(0, color="0.85", linewidth=0.8)
        axes.axvline(0, color="0.85", linewidth=0.8)
        _draw_panel(axes, title, curves)
    grid[0, 0].set(xlim=(-4, 3), ylim=(-2.2, 3))
    figure.suptitle("y (blue) and dy/dx (dashed), both computed by ONNX Runtime; dots: train mode")
    figure.savefig(path, dpi=80)
    plt.close(figure)
