"""make demo-uncertainty: train, export with a step for each row, draw 64 times in ONNX Runtime, show it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import ort_rrelu
from models.digits import network as digits
from models.digits.exports import exporters_advice_hidden
from models.digits.train import train
from models.digits_uncertainty.picture import draw
from models.digits_uncertainty.prediction import Prediction, entropy, predicted, softmax
from models.digits_uncertainty.turning import turned
from ort_rrelu.arguments import Array

_OUT = Path("out/digits_uncertainty")
_DRAWS = 64
_DEGREES = np.arange(0, 181, 10)
_DIGIT = 6
_ROUNDING = 1e-4  # of logits


def _export(network: nn.Module, images: Array, path: Path) -> ort_rrelu.InferenceSession:
    shapes = ({0: torch.export.Dim("batch")},)
    ort_rrelu.torch.export(
        network,
        (torch.from_numpy(images),),
        path,
        step_input="rows" if network.training else False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=shapes,
        verbose=False,
    )
    return ort_rrelu.InferenceSession(path)


def _table(prediction: Prediction, eval_entropy: Array) -> Table:
    table = Table(
        title=f"A {_DIGIT} that is turned, {_DRAWS} draws",
        caption="Entropy, in bits: of the mean of the draws; what they disagree in; of eval mode.",
        caption_justify="left",
    )
    for heading in ("degrees", "likeliest", "probability", "entropy", "disagreement", "in eval mode"):
        table.add_column(heading, justify="right")
    rows = zip(
        _DEGREES,
        prediction.distribution,
        prediction.entropy,
        prediction.disagreement,
        eval_entropy,
        strict=True,
    )
    for degrees, distribution, total, disagreement, of_eval in rows:
        table.add_row(
            str(degrees),
            str(distribution.argmax()),
            f"{distribution.max():.0%}",
            *(f"{number:.2f}" for number in (total, disagreement, of_eval)),
        )
    return table


def main() -> int:
    """Exit status 0 when each draw is the same, within rounding, in runs of another size."""
    console = Console()
    _OUT.mkdir(parents=True, exist_ok=True)
    data, network = digits.load(), digits.build()
    train(network, data, console)
    image = data.test_images[np.flatnonzero(data.test_labels == _DIGIT)[0]]
    images = turned(image, _DEGREES)
    with exporters_advice_hidden():
        drawing = _export(network.train(), images[:2], _OUT / "digits.train.onnx")
        settled = _export(network.eval(), images[:2], _OUT / "digits.eval.onnx")
    logits = ort_rrelu.monte_carlo(drawing, {"images": images}, _DRAWS)["logits"]
    again = ort_rrelu.monte_carlo(drawing, {"images": images}, _DRAWS, rows=7)["logits"]
    prediction = predicted(logits)
    eval_entropy = entropy(softmax(settled.run(None, {"images": images})[0]))
    picture = _OUT / "uncertainty.png"
    draw(picture, images, _DEGREES, prediction, eval_entropy)
    console.print(_table(prediction, eval_entropy))
    console.print("Written:", *(f"\n  {path}" for path in sorted(_OUT.iterdir())), highlight=False)
    same = float(abs(logits - again).max()) < _ROUNDING
    console.print(
        "[green]runs of another size draw the same[/green]"
        if same
        else "[red]runs of another size draw otherwise[/red]"
    )
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
