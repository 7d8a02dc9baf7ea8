"""What the tests of fuse share: models as text, and what fuse makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime

import ort_rrelu
from ort_rrelu.graph import Finding
from ort_rrelu.graph.check import attributes
from ort_rrelu.graph.nodes import function_nodes, graph_nodes, our_nodes
from tests.onnx_models import Array

DRAW = "RandomUniformLike <low = 0.125, high = 0.5>"


def parsed(graph: str, *, opset: int = 18, ir_version: int = 8, functions: str = "") -> onnx.ModelProto:
    """A model from onnx's text form, with domain `own` imported; checked."""
    header = f'<ir_version: {ir_version}, opset_import: ["": {opset}, "own": 1]> '
    model = onnx.parser.parse_model(header + graph + functions)
    onnx.checker.check_model(model, full_check=True)
    return model


def fused(model: onnx.ModelProto, **kw: Any) -> tuple[onnx.ModelProto, list[Finding]]:
    """What fuse makes of it, and what it says; onnx's checker passes the result."""
    said: list[Finding] = []
    made = ort_rrelu.graph.fuse(model, report=said.append, **kw)
    onnx.checker.check_model(made, full_check=True)
    return made, said


def findings(model: onnx.ModelProto) -> list[Finding]:
    """What fuse says of it."""
    return fused(model)[1]


def ops(model: onnx.ModelProto) -> list[str]:
    """The operators, those of our own functions left out."""
    others = (function_nodes(f) for f in model.functions if f.domain != "ort_rrelu")
    return [node.op_type for nodes in (graph_nodes(model.graph), *others) for node in nodes]


def nodes_of(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The RRelu nodes."""
    return our_nodes(model)


def values_of(model: onnx.ModelProto) -> list[dict[str, Any]]:
    """The attributes of each RRelu node."""
    return [attributes(node) for node in our_nodes(model)]


def runs_without_library(model: onnx.ModelProto, runs: int, *arrays: Array) -> list[list[Array]]:
    """The outputs of so many runs of one session of a plain ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    feeds = dict(zip(names, arrays, strict=True))
    return [[np.asarray(y) for y in session.run(None, feeds)] for _ in range(runs)]


def without_library(model: onnx.ModelProto, *arrays: Array) -> list[Array]:
    """One run of a model on a plain ONNX Runtime."""
    return runs_without_library(model, 1, *arrays)[0]
