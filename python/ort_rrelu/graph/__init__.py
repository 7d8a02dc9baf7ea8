"""Tools on ONNX models, one a file."""

from ort_rrelu.graph.lower import lower
from ort_rrelu.graph.portable import portable

__all__ = ["lower", "portable"]
