"""Models that ONNX Runtimes without the library run: `nox -s portable web`."""
