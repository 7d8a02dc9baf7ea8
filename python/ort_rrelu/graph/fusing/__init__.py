"""What `fuse` is made of: the rules, on onnx_ir's values, and the edit of the model; needs onnxscript."""
