"""ONNX graphs to TensorRT engines: precision, profiles, building, and what an engine may be served with."""
