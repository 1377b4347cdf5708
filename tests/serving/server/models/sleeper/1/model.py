"""Sleeps for as many seconds as asked, letting other threads run."""

import time

from framesift.serving.backends.base import Backend


class TritonPythonModel(Backend):
    def setup(self, config, folder):
        pass

    def run(self, inputs):
        for request in inputs:
            time.sleep(float(request["x"][0]))
        return [{"y": request["x"]} for request in inputs]
