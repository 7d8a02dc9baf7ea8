"""make demo: train, export with both of torch's exporters, run in ONNX Runtime, compare."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

import ort_rrelu
from models.digits import network as digits
from models.digits.comparison import compare
from models.digits.picture import draw
from models.digits.report import report
from models.digits.train import train

_OUT = Path("out/digits")
_EXPORTERS = {"default": True, "TorchScript": False}


def _export(network: nn.Module, images: torch.Tensor, path: Path, *, dynamo: bool) -> None:
    options: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    if dynamo:
        options |= {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "verbose": False}
    else:
        options |= {"dynamic_axes": {"images": {0: "batch"}, "logits": {0: "batch"}}}
    ort_rrelu.torch.export(network, (images,), path, step_input=network.training, dynamo=dynamo, **options)


def main() -> int:
    """Exit status 0 when every RRelu node equals its torch module and the logits agree to 1e-3."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # torch's, about its older exporter
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message="Exporting a model while it is in training mode")
    console = Console()
    _OUT.mkdir(parents=True, exist_ok=True)
    data, network = digits.load(), digits.build()
    train(network, data, console)
    rows, files = [], []
    for training in (False, True):
        network.train(training)
        mode = "train" if training else "eval"
        for exporter, dynamo in _EXPORTERS.items():
            path = _OUT / f"digits.{mode}.{'dynamo' if dynamo else 'torchscript'}.onnx"
            with console.status(f"exporting, {mode} mode, {exporter} exporter"):
                _export(network, torch.from_numpy(data.test_images[:2]), path, dynamo=dynamo)
            rows.append((mode, exporter, compare(digits.as_network(network), str(path), data)))
            files.append(path)
    picture = _OUT / "rrelu.png"
    draw(picture)
    return report(console, "torch", "exporter", rows, [*files, picture])


if __name__ == "__main__":
    raise SystemExit(main())
