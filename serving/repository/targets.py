"""What a deployment is made for."""

from __future__ import annotations

from typing import Literal

# The embedded server, NVIDIA's container, and that container with TensorRT's engines.
Target = Literal["embedded", "container", "tensorrt"]
