"""Tools on ONNX models, one a file."""
