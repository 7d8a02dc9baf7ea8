"""The digits network in a web page, run by onnxruntime-web."""
