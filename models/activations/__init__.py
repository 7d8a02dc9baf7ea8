"""The family that RReLU belongs to, built from configurations, each exported and run in ONNX Runtime."""

from models.activations.registry import activation_types, build_activation, register_activation

__all__ = ["activation_types", "build_activation", "register_activation"]
