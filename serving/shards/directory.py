"""Where the shards' actors answer at present: a file that the command keeps, and the models read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...export.bundle.errors import ServerError

# Environment of the models' processes: the file, and how long a shard may take for a search, in seconds.
SHARDS_VARIABLE = "FRAMESIFT_SHARDS"
DEADLINE_VARIABLE = "FRAMESIFT_SHARD_DEADLINE"
DEADLINE_S = 5.0


@dataclass(frozen=True)
class Directory:
    """Who answers for each shard, and what a caller has to know to be let in.

    Attributes:
        addresses: of every shard host and port of its replicas that are there, the one first that is there longest: it
            writes. Empty where none is known.
        replicas: that every shard should have.
        faults: by shard why an actor of it can't search it.
    """

    secret: str
    addresses: Sequence[Sequence[str]]
    replicas: int = 1
    faults: Mapping[int, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Put it in the place of the file, which its owner alone may read.

        Raises:
            ServerError: it can't be written; the file is as it was.
        """
        told = {
            "secret": self.secret,
            "addresses": [list(each) for each in self.addresses],
            "replicas": self.replicas,
            "faults": dict(self.faults),
        }
        part = path.with_name(f".{path.name}-{os.getpid()}")
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(told, file)
            part.rename(path)
        except OSError as error:
            raise ServerError(f"where the shards answer can't be written: {error}") from error

    @staticmethod
    def read(path: Path) -> Directory:
        """The file's.

        Raises:
            ServerError: it can't be read.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            addresses = [[str(address) for address in each] for each in told["addresses"]]
            faults = {int(shard): str(fault) for shard, fault in told["faults"].items()}
            return Directory(str(told["secret"]), addresses, int(told["replicas"]), faults)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ServerError(f"where the shards answer can't be read: {error}") from error
