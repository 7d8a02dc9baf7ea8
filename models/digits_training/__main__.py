"""make demo-training: train by road B and in torch, compare with what road A left, draw the curves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from models.digits import network as digits
from models.digits_training.picture import draw
from models.digits_training.result import MIN_ACCURACY, Result, write
from models.digits_training.road_b import train, train_in_torch

_OUT = Path("out/digits_training")
_ROAD_A = _OUT / "road_a.json"
_MAX_DIFFERENCE = 0.02


_HEADINGS = ("", "last\nloss", "test\naccuracy", "seconds", "resumed\nbit for bit", "exported\nmodel")


def _table(results: dict[str, Result]) -> Table:
    table = Table(title="RReLU network on digits, trained")
    for heading in (
        "",
        "by",
        "last loss",
        "test accuracy",
        "seconds",
        "resumed bit for bit",
        "exported model",
    ):
        table.add_column(heading)
    for name, result in results.items():
        own = name != "torch"
        table.add_row(
            f"{name}: {result.runtime}",
            f"{result.losses[-1]:.4f}",
            f"{result.accuracies[-1]:.1%}",
            f"{result.seconds:.1f}",
            ("yes" if result.resumed_bit_for_bit else "NO") if own else "",
            f"{result.exported_accuracy:.1%}" if own else "",
        )
    return table


def main() -> int:
    """Exit status 0 when road B learnt as torch did, resumed bit for bit and exported what it had learnt."""
    torch.set_num_threads(1)  # layers this small gain nothing from a second one
    console = Console()
    _OUT.mkdir(parents=True, exist_ok=True)
    data = digits.load()
    results: dict[str, Result] = {}
    if _ROAD_A.exists():
        results["road A"] = Result(**json.loads(_ROAD_A.read_text("utf-8")))
    with console.status("exporting the step, training in ONNX Runtime"):
        road_b = results["road B"] = train(_OUT, data)
    write(road_b, _OUT / "road_b.json")
    with console.status("training in torch"):
        results["torch"] = train_in_torch(data)
    draw(results, _OUT / "training.png")
    console.print(_table(results))
    if "road A" not in results:
        console.print(f"Road A: {_ROAD_A} is not there; make demo-training writes it first.", highlight=False)
    console.print(f"In {_OUT}: {', '.join(sorted(p.name for p in _OUT.iterdir()))}", highlight=False)
    same = abs(road_b.accuracies[-1] - results["torch"].accuracies[-1]) <= _MAX_DIFFERENCE
    kept = road_b.resumed_bit_for_bit and road_b.exported_accuracy == road_b.accuracies[-1]
    return 0 if same and kept and road_b.accuracies[-1] >= MIN_ACCURACY else 1


if __name__ == "__main__":
    sys.exit(main())
