"""The tokenizer model of Triton server; its body can be imported without the server."""

from framesift.serving.backends.tokenizer import TokenizerBackend as TritonPythonModel  # noqa: F401
