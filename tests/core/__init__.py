"""Needs onnxruntime alone: nox runs it on each release, and with onnx's and onnxruntime-gpu's."""
