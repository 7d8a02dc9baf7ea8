"""make demo-paddle: train, export the layer and the model saved from it, run in ONNX Runtime, compare."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import paddle
from paddle import nn
from rich.console import Console

import ort_rrelu
from models.digits.comparison import compare
from models.digits.picture import draw
from models.digits.report import report
from models.digits_paddle import network as digits
from models.digits_paddle.train import train
from ort_rrelu.paddle.module import TracedSeedWarning

_OUT = Path("out/digits_paddle")
_SAVED = _OUT / "digits"
_INPUT = [paddle.static.InputSpec([None, 1, 8, 8], "float32", "images")]


def _export_layer(network: nn.Layer, path: Path) -> None:
    ort_rrelu.paddle.export(network, path, _INPUT, step_input=network.training)


def _export_saved(network: nn.Layer, path: Path) -> None:
    """As somebody who has the files and not the Python class."""
    training = network.training
    paddle.jit.save(network, str(_SAVED), _INPUT)
    ort_rrelu.paddle.export(_SAVED, path, training=training, step_input=training)


_SOURCES = {"layer": _export_layer, "saved model": _export_saved}


def main() -> int:
    """Exit status 0 when every RRelu node equals its Paddle layer and the logits agree to 1e-3."""
    logging.getLogger().setLevel(logging.ERROR)  # importing Paddle makes the root logger print
    warnings.simplefilter("ignore", TracedSeedWarning)  # what is saved here is for the exporter alone
    console = Console()
    _OUT.mkdir(parents=True, exist_ok=True)
    data, network = digits.load(), digits.build()
    train(network, data, console)
    rows, files = [], []
    for training in (False, True):
        (network.train if training else network.eval)()
        mode = "train" if training else "eval"
        for source, export in _SOURCES.items():
            path = _OUT / f"digits.{mode}.{source.split()[0]}.onnx"
            with console.status(f"exporting, {mode} mode, from the {source}"):
                export(network, path)
            rows.append((mode, source, compare(digits.as_network(network), str(path), data)))
            files.append(path)
    picture = _OUT / "rrelu.png"
    draw(picture)
    return report(console, "Paddle", "exported\nfrom", rows, [*files, picture])


if __name__ == "__main__":
    raise SystemExit(main())
