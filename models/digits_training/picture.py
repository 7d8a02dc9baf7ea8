"""Loss and accuracy against epochs, for every way of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl

from models.digits_training.result import Result
from ort_rrelu.files import replacing

mpl.use("Agg")
from matplotlib import pyplot as plt

_STYLES = {
    "road A": {"color": "tab:blue", "linestyle": "-", "linewidth": 1.5},
    "road B": {"color": "tab:orange", "linestyle": "-", "linewidth": 3.5},
    "torch": {"color": "black", "linestyle": ":", "linewidth": 1.5},
}


def draw(results: Mapping[str, Result], path: Path) -> None:
    """A PNG: the mean loss of each epoch on the left, the error on the test images on the right."""
    figure, (losses, errors) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, result in results.items():
        epochs = range(1, len(result.losses) + 1)
        style, label = _STYLES[name], result.runtime if name == "torch" else f"{name}: {result.runtime}"
        losses.plot(epochs, result.losses, **style, label=label)
        errors.plot(epochs, [100 * (1 - accuracy) for accuracy in result.accuracies], **style, label=label)
    losses.set(xlabel="epoch", ylabel="mean training loss", yscale="log")
    errors.set(xlabel="epoch", ylabel="test error, %", ylim=(0, 15))
    errors.legend(fontsize=8)
    for axes in (losses, errors):
        axes.grid(color="0.9")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)
