"""Calls of torch.onnx.export as other packages make them: imported early, with arguments of their own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn
from torch.onnx import export as imported_early
from torch.onnx.utils import export as older_imported_early


class Lightning(nn.Module):
    """A module that exports itself, as LightningModule.to_onnx does."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x)

    @torch.no_grad()
    def to_onnx(self, file: str | Path, example: torch.Tensor, **kw: Any) -> Any:
        """Export the module as it is."""
        return torch.onnx.export(self, (example,), file, **kw)


def _program(net: nn.Module, x: torch.Tensor, folder: Path) -> onnx.ModelProto:
    program = imported_early(net, (x,), dynamo=True, verbose=False)
    assert program is not None
    return program.model_proto


def _file(net: nn.Module, x: torch.Tensor, folder: Path) -> onnx.ModelProto:
    imported_early(net, (x,), folder / "net.onnx", dynamo=True, verbose=False, input_names=["images"])
    return onnx.load(folder / "net.onnx")


def _stream(net: nn.Module, x: torch.Tensor, folder: Path) -> onnx.ModelProto:
    stream = io.BytesIO()
    imported_early(net, (x,), stream, dynamo=True, verbose=False)  # type: ignore[arg-type]
    return onnx.load_from_string(stream.getvalue())


def _itself(net: nn.Module, x: torch.Tensor, folder: Path) -> onnx.ModelProto:
    Lightning(net).to_onnx(folder / "net.onnx", x, dynamo=True, verbose=False)
    return onnx.load(folder / "net.onnx")


def _torchscript_file(net: nn.Module, x: torch.Tensor, folder: Path) -> onnx.ModelProto:
    imported_early(
        net,
        (x,),
        str(folder / "net.onnx"),
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        input_names=["input0"],
        do_constant_folding=False,
    )
    return onnx.load(folder / "net.onnx")


def _torchscript_stream(net: nn.Module, x: torch.Tensor, folder: Path) -> onnx.ModelProto:
    stream = io.BytesIO()
    training = torch.onnx.TrainingMode.PRESERVE
    imported_early(net, (x,), stream, dynamo=False, training=training)  # type: ignore[arg-type]
    return onnx.load_from_string(stream.getvalue())


def _torchscript_utils(net: nn.Module, x: torch.Tensor, folder: Path) -> onnx.ModelProto:
    path = folder / "net.onnx"
    older_imported_early(net, (x,), str(path), training=torch.onnx.TrainingMode.PRESERVE)
    return onnx.load(path)


CALLS = {
    "program": _program,
    "file": _file,
    "stream": _stream,
    "a module that exports itself": _itself,
    "torchscript, file": _torchscript_file,
    "torchscript, stream": _torchscript_stream,
    "torchscript, torch.onnx.utils": _torchscript_utils,
}
