"""Trained model to bundle: towers, systems, corpus, training, ONNX export and its checks."""
