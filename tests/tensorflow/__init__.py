"""Tests with TensorFlow, Keras and tf2onnx, which `nox -s tensorflow` installs; `make test` has none."""
