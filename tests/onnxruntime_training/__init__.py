"""Tests of road A, for the nox session `training`, which has onnxruntime-training 1.19.2."""
