"""The eval model of onnxruntime-training's artifacts, made deterministic and free of custom ops."""

from __future__ import annotations

import onnx

from ort_rrelu import graph

__all__ = ["deterministic"]


def deterministic(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every RRelu node has the mean slope, in standard operators.

    onnxruntime-training knows only Dropout and BatchNormalization to have an eval mode, and its
    export_model_for_inferencing reads no model with custom ops.
    """
    return graph.lower(graph.set_training(model, False))
