"""``framesift bench gpu``: kernels and encoders on a CUDA device, checked first and then timed."""
