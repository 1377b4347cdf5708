"""The gallery_lookup model of Triton server; its body can be imported without the server."""

from framesift.serving.backends.gallery_lookup import GalleryLookup as TritonPythonModel  # noqa: F401
