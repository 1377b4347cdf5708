"""A model whose first input value says how it shall behave."""

import numpy as np

from framesift.export.bundle.errors import InvalidRequest
from framesift.serving.backends.base import Backend

REFUSES, FAILS, LACKS_OUTPUT, WRONG_DTYPE, WRONG_SHAPE = -1.0, -2.0, -3.0, -4.0, -5.0


class TritonPythonModel(Backend):
    def setup(self, config, folder):
        assert (folder / "model.py").is_file()
        assert config["name"] == self.name == "arithmetic"
        self.factor = np.float32(self.parameters["factor"])

    def run(self, inputs):
        if any(request["x"][0, 0] == FAILS for request in inputs):
            raise ValueError("first line " + "of a long story " * 200 + "\nsecond line")
        return [self.one(request["x"], len(inputs)) for request in inputs]

    def one(self, x, together):
        mood = x[0, 0]
        if mood == REFUSES:
            return InvalidRequest("not this one, give another")
        outputs = {
            "double": np.asfortranarray(self.factor * x),
            "square": x**2,
            "together": np.full((len(x), 1), together, np.int64),
        }
        if mood == LACKS_OUTPUT:
            del outputs["square"]
        if mood == WRONG_DTYPE:
            outputs["square"] = outputs["square"].astype(np.float64)
        if mood == WRONG_SHAPE:
            outputs["square"] = outputs["square"][:, :1]
        return outputs
