"""make activations: train a network of all activations, export it, run it in ONNX Runtime, compare."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

import ort_rrelu
from models.activations import network as mixed
from models.activations.learnable_clip import LearnableClip
from models.activations.picture import draw
from models.activations.threshold import SATURATION, learn_threshold
from models.digits.exports import compare_exports, exporters_advice_hidden
from models.digits.network import load
from models.digits.report import report
from models.digits.train import train

_OUT = Path("out/activations")


def _learn_threshold(path: Path, console: Console) -> None:
    clip = LearnableClip(t1=1, t2=1)
    history = learn_threshold(clip)
    ort_rrelu.torch.export(clip, (torch.zeros(4),), path, verbose=False)
    console.print(
        f"Learnable clip: t2 moved from {history[0]:.2f} to {history[-1]:.2f} in {len(history) - 1} steps; "
        f"the readings saturate at {SATURATION}.",
        highlight=False,
    )


def main() -> int:
    """Exit status 0 when every RRelu node equals its torch module and the logits agree to 1e-3."""
    torch.set_num_threads(1)  # layers this small gain nothing from a second one
    console = Console()
    _OUT.mkdir(parents=True, exist_ok=True)
    data, network = load(), mixed.build()
    train(network, data, console, epochs=10)
    clip, picture = _OUT / "clip.onnx", _OUT / "activations.png"
    with exporters_advice_hidden():
        rows, files = compare_exports(network, data, _OUT, console)
        _learn_threshold(clip, console)
        with console.status("drawing"):
            draw(picture)
    return report(
        console, "torch", "exporter", rows, [*files, clip, picture], subject="A network of all activations"
    )


if __name__ == "__main__":
    raise SystemExit(main())
