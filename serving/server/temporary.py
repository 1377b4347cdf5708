"""Which paths Triton server can use, and where a run's temporary files lie."""

from __future__ import annotations

import os
import tempfile

from ...export.bundle.errors import ServerStartError

_SHELL = frozenset("'\"\\$`;&|()<>*?[]{}!#~")
_OTHERS = ("/tmp", "/var/tmp")


def faults(path: str) -> list[str]:
    """The characters of a path that Triton server can't handle, each once.

    It hands paths to a shell unquoted, and hangs on those that the shell would split or expand. Its Python backend
    starts interpreters that know the file system's names as ASCII alone, whatever the environment says.
    """
    return sorted({character for character in path if character.isspace() or character in _SHELL or character > "~"})


def temporary_root() -> str:
    """TMPDIR's folder, or /tmp where Triton server can't use that.

    Raises:
        ServerStartError: no folder can be used.
    """
    named = tempfile.gettempdir()
    for folder in (named, *_OTHERS):
        real = os.path.realpath(folder)
        if not faults(real) and os.access(real, os.W_OK | os.X_OK):
            return real
    raise ServerStartError(
        f"the server's temporary files can lie neither in {named!r} nor in {' or '.join(_OTHERS)}: set TMPDIR to a "
        "folder that can be written, whose path is of plain ASCII letters without blanks"
    )
