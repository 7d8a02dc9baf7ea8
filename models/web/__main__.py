"""make demo-web: a folder to serve, with the page, onnxruntime-web, trained models and digits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from models.digits import network as digits
from models.digits.dataset import Digits
from models.digits.exports import export, exporters_advice_hidden
from models.digits.train import train
from models.web.runtime import MissingNpmError, copy_runtime

_HERE = Path(__file__).parent
_PAGE = ("index.html", "demo.mjs")
_SEEDS = (1, 2, 3)


def _export_all(network: nn.Module, data: Digits, folder: Path) -> None:
    """eval.onnx, and a train-mode model for each seed."""
    images = torch.from_numpy(data.test_images[:2])
    export(network.eval(), images, folder / "eval.onnx")
    for seed in _SEEDS:
        seeded = digits.build(seed)
        seeded.load_state_dict(network.state_dict())
        export(seeded.train(), images, folder / f"train.seed{seed}.onnx")


@torch.no_grad()
def _sample(network: nn.Module, data: Digits) -> list[dict[str, Any]]:
    """For each label the test image that the network is surest of, then those where it doubts most."""
    labels = torch.from_numpy(data.test_labels)
    given = network.eval()(torch.from_numpy(data.test_images)).softmax(1)[torch.arange(len(labels)), labels]
    surest = [torch.where(labels == label, given, -1).argmax() for label in range(10)]
    doubted = [torch.where(labels == label, given, 2).argmin() for label in range(10)]
    return [
        {
            "label": int(labels[i]),
            "pixels": (data.test_images[i].ravel() * 16).astype(int).tolist(),
        }
        for i in map(int, surest + doubted)
    ]


def main(arguments: Sequence[str]) -> int:
    """Exit status 1, with a message, where npm is needed and not there or fails."""
    folder = Path(arguments[0]) if arguments else Path("out/web")
    console = Console()
    try:
        copy_runtime(folder / "ort")
    except (MissingNpmError, subprocess.CalledProcessError) as error:
        console.print(str(error), style="red", soft_wrap=True)
        return 1
    for name in _PAGE:
        shutil.copyfile(_HERE / name, folder / name)
    data, network = digits.load(), digits.build()
    train(network, data, console)
    with exporters_advice_hidden(), console.status("exporting"):
        _export_all(network, data, folder)
    page = {"seeds": _SEEDS, "digits": _sample(network, data)}
    (folder / "digits.json").write_text(json.dumps(page), "utf-8")
    console.print(f"{folder} is complete. Serve it, and open http://localhost:8000:", soft_wrap=True)
    console.print(f"    python3 -m http.server --directory {folder}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
