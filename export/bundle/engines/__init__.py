"""What a server reads of TensorRT engines."""
