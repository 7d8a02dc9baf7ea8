"""A convolutional network with RReLU on scikit-learn's digits: trained in torch, run in ONNX Runtime."""
