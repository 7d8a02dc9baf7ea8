"""The picture: the turned digit, what the draws make of it, and how unsure they are."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from models.digits_uncertainty.prediction import Prediction
from ort_rrelu.arguments import Array

mpl.use("Agg")
from matplotlib import pyplot as plt

_SHOWN = 0.1  # classes that never get this probability are not drawn


def draw(path: Path, images: Array, degrees: Array, prediction: Prediction, eval_entropy: Array) -> None:
    """Draw it into a PNG."""
    figure, (above, middle, below) = plt.subplots(
        3, figsize=(7.2, 5.2), layout="constrained", sharex=True, height_ratios=[0.7, 2.4, 1.7]
    )
    step = degrees[1] - degrees[0]
    for image, angle in zip(images[:, 0], degrees, strict=True):
        above.imshow(
            image, cmap="Greys", extent=(angle - 0.45 * step, angle + 0.45 * step, 0, 1), aspect="auto"
        )
    above.set(ylim=(0, 1), yticks=[], title="a digit that is turned, and 64 draws of RReLU's slopes")
    above.set_frame_on(False)
    above.tick_params(bottom=False)
    for digit in np.flatnonzero(prediction.distribution.max(axis=0) >= _SHOWN):
        mean, spread = prediction.distribution[:, digit], prediction.spread[:, digit]
        (line,) = middle.plot(degrees, mean, marker="o", markersize=3, label=str(digit))
        low, high = np.clip([mean - spread, mean + spread], 0, 1)
        middle.fill_between(degrees, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    middle.set(ylabel="probability", ylim=(0, 1.02))
    middle.legend(title="digit", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    below.plot(degrees, prediction.entropy, color="black", label="64 draws")
    below.plot(degrees, eval_entropy, "--", color="0.5", label="eval mode")
    below.plot(degrees, prediction.disagreement, ":", color="tab:red", label="of it the\ndraws' disagreement")
    below.set(xlabel="degrees", ylabel="entropy, bits", xlim=(degrees[0] - step / 2, degrees[-1] + step / 2))
    below.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
