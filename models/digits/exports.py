"""One torch network through both modes and both exporters, each model compared with the network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

import ort_rrelu
from models.digits.comparison import Comparison, compare
from models.digits.dataset import Digits
from models.digits.network import as_network

_EXPORTERS = {"default": True, "TorchScript": False}


@contextmanager
def exporters_advice_hidden() -> Iterator[None]:
    """Without what torch's exporters log and warn of."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # torch's, about its older exporter
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Exporting a model while it is in training mode")
        yield


def export(network: nn.Module, images: torch.Tensor, path: Path, *, dynamo: bool = True) -> None:
    """A portable model with a dynamic batch: images [, step in train mode] -> logits."""
    options: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    if dynamo:
        options |= {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "verbose": False}
    else:
        options |= {"dynamic_axes": {"images": {0: "batch"}, "logits": {0: "batch"}}}
    ort_rrelu.torch.export(network, (images,), path, step_input=network.training, dynamo=dynamo, **options)


def compare_exports(
    network: nn.Module, data: Digits, folder: Path, console: Console
) -> tuple[list[tuple[str, str, Comparison]], list[Path]]:
    """The rows of the report (mode, exporter, comparison), and the files written into the folder."""
    rows, files = [], []
    for training in (False, True):
        network.train(training)
        mode = "train" if training else "eval"
        for exporter, dynamo in _EXPORTERS.items():
            path = folder / f"{folder.name}.{mode}.{'dynamo' if dynamo else 'torchscript'}.onnx"
            with console.status(f"exporting, {mode} mode, {exporter} exporter"):
                export(network, torch.from_numpy(data.test_images[:2]), path, dynamo=dynamo)
            rows.append((mode, exporter, compare(as_network(network), str(path), data)))
            files.append(path)
    return rows, files
