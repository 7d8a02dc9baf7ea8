"""Needs onnxscript: graph.fuse."""
