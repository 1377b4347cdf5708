"""From a video file to a model's pixels: containers, decoding, sampling, resizing, and what all of it may cost."""
