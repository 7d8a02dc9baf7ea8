"""Tools on ONNX models, one a file."""

from ort_rrelu.graph.fuse import Finding, fuse
from ort_rrelu.graph.lower import lower
from ort_rrelu.graph.portable import portable
from ort_rrelu.graph.set_training import seed, set_training
from ort_rrelu.graph.step_input import add_step_input

__all__ = ["Finding", "add_step_input", "fuse", "lower", "portable", "seed", "set_training"]
