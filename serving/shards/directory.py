"""Where the shards' actors answer at present: a file that the command keeps, and the models read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import ServerError

# Environment of the models' processes: the file, and how long a shard may take for a search, in seconds.
SHARDS_VARIABLE = "FRAMESIFT_SHARDS"
DEADLINE_VARIABLE = "FRAMESIFT_SHARD_DEADLINE"
DEADLINE_S = 5.0


@dataclass(frozen=True)
class Directory:
    """Addresses of all shards, host and port, empty where none is known; and what a caller has to know to be let in."""

    secret: str
    addresses: Sequence[str]

    def write(self, path: Path) -> None:
        """Put it in the place of the file, which its owner alone may read."""
        part = path.with_name(f".{path.name}-{os.getpid()}")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"secret": self.secret, "addresses": list(self.addresses)}, file)
        part.rename(path)

    @staticmethod
    def read(path: Path) -> Directory:
        """The file's.

        Raises:
            ServerError: it can't be read.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            return Directory(str(told["secret"]), [str(address) for address in told["addresses"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ServerError(f"where the shards answer can't be read: {error}") from error
