"""A model that is not built on framesift's base class; answers with its process id."""

import os

import numpy as np
import triton_python_backend_utils as server


class TritonPythonModel:
    def execute(self, requests):
        answer = np.array([os.getpid()], np.float32)
        return [server.InferenceResponse([server.Tensor("y", answer)]) for _ in requests]
