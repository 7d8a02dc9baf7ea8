"""What the verbs that change a model do alike: read and check it, change it, report, write."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from ort_rrelu.commands import terminal
from ort_rrelu.commands.changes import changes, print_changes
from ort_rrelu.commands.outputs import check_output
from ort_rrelu.graph.check import check_model
from ort_rrelu.graph.file import new_model, read_as_written, write_model
from ort_rrelu.graph.onnx_tools import onnx_errors

__all__ = ["transform"]


def transform(
    path: Path,
    output: Path,
    tool: Callable[[onnx.ModelProto], onnx.ModelProto],
    *,
    force: bool,
    as_json: bool,
    more: Callable[[], dict[str, Any]] = dict,
    print_more: Callable[[dict[str, Any]], None] = lambda facts: None,
) -> None:
    """Apply a tool to a model file, write the result, and show what has changed.

    more, print_more: further facts of the tool, asked for after it has run, and how they are shown.
    """
    check_output(output, force=force, source=path)
    with terminal.working(f"Reading {path}, writing {output}", quiet=as_json):
        before = _checked(path)
        after = tool(before)
        write_model(after, output, weights_from=path.parent)
    facts = {"model": str(path), "output": str(output), "changes": changes(before, after), **more()}
    if as_json:
        terminal.print_json(facts)
        return
    terminal.print_line(facts["model"], style="bold")
    print_changes(facts["changes"])
    print_more(facts)
    terminal.print_line(f"\nWrote {output}")


def _checked(path: Path) -> onnx.ModelProto:
    written = read_as_written(path)
    model = new_model(written)
    check_model(model)
    with onnx_errors(f"{path}: onnx's checker refuses the model"):
        if len(model.opset_import) == len(written.opset_import):
            onnx.checker.check_model(os.fspath(path))  # by its path, since weights may lie beside it
        else:  # it lacks the import of our domain
            onnx.checker.check_model(_without_weights_elsewhere(model))
    return model


def _without_weights_elsewhere(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.CopyFrom(onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[0]))
    return copy
