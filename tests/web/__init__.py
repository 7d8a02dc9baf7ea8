"""Portable models in onnxruntime-node, and in onnxruntime-web inside Chromium: `nox -s web`."""
