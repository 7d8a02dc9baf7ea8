"""make demo: train, export with both of torch's exporters, run in ONNX Runtime, compare."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import ort_rrelu
from models.digits import network as digits
from models.digits.compare import Comparison, compare
from models.digits.picture import draw
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


def _table(rows: list[tuple[str, str, Comparison]]) -> Table:
    table = Table(title="RReLU on digits: torch and ONNX Runtime", caption=_CAPTION, caption_justify="left")
    table.add_column("mode")
    table.add_column("exporter")
    for heading in (
        "accuracy\ntorch, ONNX",
        "largest\ndifference",
        "bit-equal\nRReLUs",
        "1000 images/s\ntorch, ONNX",
    ):
        table.add_column(heading, justify="right")
    for mode, exporter, c in rows:
        table.add_row(
            mode,
            exporter,
            f"{c.torch_accuracy:.1%}  {c.onnx_accuracy:.1%}",
            f"{c.difference:.0e}",
            f"{c.equal_nodes} of {c.nodes}",
            f"{c.torch_speed / 1000:.0f}  {c.onnx_speed / 1000:.0f}",
        )
    return table


_CAPTION = (
    "Largest difference: between logits; convolutions round differently. Bit-equal: RRelu nodes whose output "
    "in ONNX Runtime is, bit for bit, the torch module's for the same input, seed and step."
)


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
                _export(network, data.test_images[:2], path, dynamo=dynamo)
            rows.append((mode, exporter, compare(network, str(path), data)))
            files.append(path)
    picture = _OUT / "rrelu.png"
    draw(picture)
    console.print(_table(rows))
    console.print("Written:", *(f"\n  {path}" for path in (*files, picture)), highlight=False)
    agree = all(c.equal_nodes == c.nodes and c.difference < 1e-3 for _, _, c in rows)
    console.print(
        "[green]torch and ONNX Runtime agree[/green]"
        if agree
        else "[red]ONNX Runtime and torch disagree[/red]"
    )
    return 0 if agree else 1


if __name__ == "__main__":
    raise SystemExit(main())
