"""A vocabulary's file as text, plain or gzipped, with a bound on what is unpacked."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from ..errors import BundleError

LARGEST = 16 << 20


def read_text(path: Path, what: str, largest: int = LARGEST) -> str:
    """The text of a file in UTF-8, gzipped if its name ends in .gz, of at most ``largest`` bytes.

    Raises:
        BundleError: it can't be read or is larger; the message begins with ``what``.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            # Only so much is unpacked: a small file can hold gigabytes.
            raw = stream.read(largest + 1)
        if len(raw) > largest:
            raise BundleError(f"{what} {path} holds more than {largest >> 20} MiB, which no vocabulary does")
        return raw.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BundleError(f"{what} {path} can't be read: {error}") from error
