"""The video_decoder model of Triton server; its body can be imported without the server."""

from framesift.serving.backends.video_decoder import VideoDecoder as TritonPythonModel  # noqa: F401
