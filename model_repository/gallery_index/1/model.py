"""The gallery_index model of Triton server; its body can be imported without the server."""

from framesift.serving.backends.gallery_index import GalleryIndex as TritonPythonModel  # noqa: F401
