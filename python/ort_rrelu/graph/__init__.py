"""Tools on ONNX models, one a file."""

from ort_rrelu.graph.fuse import Finding, fuse
from ort_rrelu.graph.lower import lower
from ort_rrelu.graph.portable import portable

__all__ = ["Finding", "fuse", "lower", "portable"]
