"""The gallery_search model of Triton server; its body can be imported without the server."""

from framesift.serving.backends.gallery_search import GallerySearch as TritonPythonModel  # noqa: F401
