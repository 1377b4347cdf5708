"""Refuses to load as long as the file ``broken`` lies in its folder, and hangs in loading while ``stuck`` does."""

import time

from framesift.export.bundle.errors import BundleError
from framesift.serving.backends.base import Backend


class TritonPythonModel(Backend):
    def setup(self, config, folder):
        while (folder.parent / "stuck").exists():
            time.sleep(0.1)
        if (folder.parent / "broken").exists():
            raise BundleError("it is broken: mend it")
        if (folder.parent / "wrong").exists():
            raise KeyError("a defect")

    def run(self, inputs):
        return [{"y": request["x"]} for request in inputs]
