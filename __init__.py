"""framesift deploys trained text-to-video retrieval models on NVIDIA Triton Inference Server."""

__version__ = "0.1.0"
