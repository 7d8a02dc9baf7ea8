"""The convolutional network of models.digits, trained in ONNX Runtime instead of torch."""
