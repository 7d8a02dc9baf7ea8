"""The network of models.digits in Paddle: trained there, run in ONNX Runtime."""
