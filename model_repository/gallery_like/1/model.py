"""The gallery_like model of Triton server; its body can be imported without the server."""

from framesift.serving.backends.gallery_like import GalleryLike as TritonPythonModel  # noqa: F401
