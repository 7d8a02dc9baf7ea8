"""torch's TorchScript exporter made to write RRelu nodes: what takes the place of its own function."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch

from ort_rrelu.exporting import check_portable_opset
from ort_rrelu.graph.file import read_model, write_model
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.torch.bounds import bounds_as_numbers, rrelu_modules
from ort_rrelu.torch.lost_writes import counted_calls
from ort_rrelu.torch.settings import Settings, current_settings, one_at_a_time
from ort_rrelu.torch.torchscript import symbolics
from ort_rrelu.torch.traced_modules import tagged_calls

__all__ = ["exporting"]


def exporting(stock: Callable[..., Any]) -> Callable[..., Any]:
    """For torchscript_exporter.utils._export, which every export reaches."""

    def _export(model: Any, args: Any, f: Any, *rest: Any, **kw: Any) -> Any:
        settings = current_settings()
        with one_at_a_time:
            if settings is None:
                return stock(model, args, f, *rest, **kw)
            if settings.portable and rrelu_modules(model):
                check_portable_opset(kw.get("opset_version"))
            outputs, exported = _exported(stock, settings, model, args, *rest, **kw)
        if settings.take is not None:
            settings.take(exported)
        else:
            _write(settings.finished(exported, kw.get("opset_version")), f)
        return outputs

    return _export


def _exported(
    stock: Callable[..., Any], settings: Settings, model: Any, args: Any, *rest: Any, **kw: Any
) -> tuple[Any, onnx.ModelProto]:
    """What torch's function returns, and the model that it wrote."""
    with (
        tempfile.TemporaryDirectory() as folder,
        bounds_as_numbers(model),
        symbolics(settings.attributes()),
        counted_calls() as calls,
        tagged_calls(),
    ):
        path = os.fspath(Path(folder) / "model.onnx")  # a Path would be taken for a file in memory
        outputs = stock(model, args, path, *rest, **kw)
        exported = read_model(path, external_data=True)
    calls.check(len(our_nodes(exported)))
    return outputs, exported


def _write(model: onnx.ModelProto, f: Any) -> None:
    """To what torch takes: a path, or something that is open for writing bytes."""
    if isinstance(f, str | os.PathLike):
        write_model(model, f)
        return
    with torch.serialization._open_file_like(f, "wb") as opened:
        opened.write(model.SerializeToString())
