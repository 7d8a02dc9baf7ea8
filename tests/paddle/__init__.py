"""Tests with Paddle and Paddle2ONNX, which `nox -s paddle` installs; `make test` does not have them."""
