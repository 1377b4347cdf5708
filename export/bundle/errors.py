"""The tree of framesift's exceptions.

    FramesiftError
    ├── InvalidInput (also a ValueError)
    │   ├── InvalidVideo          a file or stream that can't be decoded, or exceeds a limit
    │   ├── InvalidFeatures       a feature file that can't be read, or whose arrays are not the model's
    │   ├── InvalidQuery          a text that can't be encoded
    │   └── InvalidRequest        a tensor, id or option that doesn't fit
    ├── CheckpointError           a checkpoint that can't be loaded
    ├── BundleError               a bundle that is damaged, incomplete or of another version
    ├── ParityError               an exported graph that disagrees with eager PyTorch
    ├── EngineError               an engine that can't be built, read or served
    │   ├── EngineMismatch        an engine of other graphs, another GPU or another TensorRT
    │   └── PrecisionError        an engine or graph that ranks worse than its precision may
    ├── GalleryError              a gallery that can't be read or written
    │   └── GalleryMismatch       a gallery written by another model
    ├── ServerError               the server could not answer
    │   ├── ServerUnavailable     not running, not ready, or overloaded
    │   ├── DeadlineExceeded      no answer in time
    │   ├── AccessDenied          no token that the server knows, or one that may not do this
    │   └── ServerStartError      the embedded server did not start
    └── ClientError (also a RuntimeError)  a client that is closed, or of another event loop

Every class has a short ``code``. A backend sends ``[code] message`` and the client raises the class of that code,
so the same exception reaches the caller whether the failure was local or behind gRPC.
"""

from __future__ import annotations


class FramesiftError(Exception):
    """Base of everything that framesift raises on purpose."""

    code = "error"

    def wire(self) -> str:
        """The form in which a backend sends this error to a client: ``[code] message``."""
        return f"[{self.code}] {self}"


class InvalidInput(FramesiftError, ValueError):
    """The caller's data can't be used; sending it again won't help."""

    code = "invalid-input"


class InvalidVideo(InvalidInput):
    """A file or stream that can't be decoded, or that exceeds a limit."""

    code = "invalid-video"


class InvalidFeatures(InvalidInput):
    """A feature file that can't be read, or whose arrays are not those that the model takes."""

    code = "invalid-features"


class InvalidQuery(InvalidInput):
    """A text that can't be encoded: empty, not UTF-8, or too long."""

    code = "invalid-query"


class InvalidRequest(InvalidInput):
    """A tensor, id or option that doesn't fit the model."""

    code = "invalid-request"


class CheckpointError(FramesiftError):
    """A checkpoint that can't be loaded into the model asked for."""

    code = "checkpoint"


class BundleError(FramesiftError):
    """A bundle that is damaged, incomplete or of another version."""

    code = "bundle"


class ParityError(FramesiftError):
    """An exported graph that disagrees with eager PyTorch."""

    code = "parity"


class EngineError(FramesiftError):
    """An engine that can't be built, read or served; the message names the graph and what to do."""

    code = "engine"


class EngineMismatch(EngineError):
    """An engine of other graphs, another GPU or another TensorRT than are here."""

    code = "engine-mismatch"


class PrecisionError(EngineError):
    """An engine or graph whose ranking falls short of what its precision must keep."""

    code = "precision"


class GalleryError(FramesiftError):
    """A gallery that can't be read or written."""

    code = "gallery"


class GalleryMismatch(GalleryError):
    """A gallery written by another model."""

    code = "gallery-mismatch"


class ServerError(FramesiftError):
    """The server could not answer."""

    code = "server"


class ServerUnavailable(ServerError):
    """The server is not running, not ready, or overloaded; trying again may help."""

    code = "unavailable"


class DeadlineExceeded(ServerError):
    """No answer within the caller's deadline."""

    code = "deadline"


class AccessDenied(ServerError):
    """No token that the server knows, or one that may not do this."""

    code = "access"


class ServerStartError(ServerError):
    """The embedded Triton server did not start."""

    code = "server-start"


class ClientError(FramesiftError, RuntimeError):
    """A client that can't be used here: it is closed, or belongs to another event loop."""

    code = "client"


def _tree(root: type[FramesiftError]) -> list[type[FramesiftError]]:
    return [root, *(leaf for branch in root.__subclasses__() for leaf in _tree(branch))]


def from_wire(message: str) -> FramesiftError | None:
    """The exception that ``FramesiftError.wire`` wrote, or None if the message carries no known code.

    Triton server may put text of its own before the code, so the first ``[code]`` anywhere in the message counts.
    """
    by_code = {kind.code: kind for kind in _tree(FramesiftError)}
    for start in (i for i, character in enumerate(message) if character == "["):
        code, closed, rest = message[start + 1 :].partition("] ")
        if closed and code in by_code:
            return by_code[code](rest)
    return None
