"""How sure is the digits network of a digit that is turned? 64 draws of its slopes, in ONNX Runtime."""
