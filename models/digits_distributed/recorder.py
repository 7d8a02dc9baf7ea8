"""What every layer has drawn for every sample: its gradient, where all that comes back is 1."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ort_rrelu.arguments import Array


class Recorder:
    """Hooks on the RReLUs of a network, ours or torch's.

    noise: for each layer (draws, elements); row n is of the sample whose number is n: 1 where x > 0, else the
    slope, and NaN in rows that the network was not called for. float32, which holds our slopes exactly, also
    those of a network in float64.
    """

    def __init__(self, network: nn.Module, draws: int) -> None:
        self._draws = draws
        self._numbers: Array = np.empty(0, np.int64)
        self._layers = [module for module in network.modules() if isinstance(module, nn.RReLU)]
        self.noise: list[Array] = [np.empty(0, np.float32)] * len(self._layers)
        for layer in self._layers:
            layer.register_forward_hook(self._note)

    def expect(self, numbers: Tensor) -> None:
        """The next forward is of the samples of these numbers."""
        self._numbers = numbers.numpy()

    def _note(self, layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        noise = _noise_of(inputs[0], y)
        place = self._layers.index(layer)  # type: ignore[arg-type]
        if not self.noise[place].size:
            self.noise[place] = np.full((self._draws, noise.shape[1]), np.nan, np.float32)
        self.noise[place][self._numbers] = noise


def _noise_of(x: Tensor, y: Tensor) -> Array:
    """(samples, elements): what the backward pass of an RReLU multiplies by."""
    (noise,) = torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True)
    rows: Array = noise.flatten(1).numpy()
    return rows
