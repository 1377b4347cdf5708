"""A served demo to be attacked: its processes, its memory, and the answer that must stay the same."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framesift import Client, Credentials
from framesift.export.bundle.models import GALLERY_SEARCH
from framesift.export.bundle.ports import TEXT_ENCODER
from framesift.export.bundle.store import Bundle
from framesift.serving.front.tokens import new_token
from framesift.serving.serve import running
from framesift.serving.server.door import Reach
from framesift.serving.server.embedded import EmbeddedServer
from framesift.serving.server.processes import model_processes

SEARCHERS = ("alice", "bob")
# So many clips are sent again, whole and damaged: what a search finds of the others must not change with that.
SENT = 6
_SEARCHED = (TEXT_ENCODER, GALLERY_SEARCH)
_BACK_S = 120.0


@dataclass(frozen=True)
class Target:
    """A run with tokens, and its gallery.

    Attributes:
        tokens: by caller's name; ``admin`` may do everything, and each of ``SEARCHERS`` may search. None where
            everybody may.
        clips: what its gallery holds, each under its file's name.
        answer: what ``asked`` gives for its clips.
        folder: with the gallery and the file of tokens.
    """

    server: EmbeddedServer
    bundle: Bundle
    tokens: dict[str, str]
    clips: Sequence[Any]
    answer: tuple[Any, ...]
    folder: Path

    def client(self, caller: str = "admin", **options: Any) -> Client:
        """A client with that caller's token."""
        credentials = Credentials(self.tokens[caller]) if self.tokens else None
        return Client(self.server.address, credentials=credentials, **options)

    def header(self, caller: str = "admin") -> tuple[str, str]:
        """That caller's token as gRPC's metadata."""
        return "authorization", f"Bearer {self.tokens[caller]}"

    def processes(self) -> dict[str, list[int]]:
        """The process ids of Triton server, the door and every model."""
        found = {"tritonserver": [self.server.pid], "door": [self.server.door_pid]}
        for process in model_processes(self.server.pid):
            found.setdefault(process.model, []).append(process.pid)
        return {name: sorted(pids) for name, pids in found.items()}

    def names(self) -> list[str]:
        """Those of ``processes`` when everything is loaded, what searches need first."""
        models = {path.parent.parent.name for path in self.server.repository.glob("*/1/*")}
        return ["tritonserver", "door", *_SEARCHED, *sorted(models - set(_SEARCHED))]

    def complete(self) -> bool:
        """Whether all processes run, and searches are answered."""
        with self.client(timeout_s=5) as client:
            return set(self.processes()) >= set(self.names()) and bool(client.ready())

    def wait(self) -> None:
        """Until it is complete.

        Raises:
            TimeoutError: it is not for two minutes.
        """
        deadline = time.monotonic() + _BACK_S
        while not self.complete():
            if time.monotonic() > deadline:
                raise TimeoutError(f"of {self.names()} there are {sorted(self.processes())}")
            time.sleep(0.05)


def asked(client: Client, clips: Sequence[Any]) -> tuple[Any, ...]:
    """A search's answer, as far as it must stay the same: ids in order, and scores to five places."""
    kept = {clip.video.name for clip in clips[SENT:]}
    hits = client.search(str(clips[0].captions[0]), top=1000).hits
    return tuple((hit.id, round(hit.score, 5)) for hit in hits if hit.id in kept)


@contextmanager
def served(bundle: Bundle, clips: Sequence[Any], folder: Path) -> Iterator[Target]:
    """Serve ``bundle`` with ``clips`` in a new gallery in the empty ``folder``, for callers with tokens alone."""
    tokens = {name: new_token(folder / "tokens", name, ["search"]) for name in SEARCHERS}
    tokens["admin"] = new_token(folder / "tokens", "admin", ["admin"])
    reach = Reach(tokens=folder / "tokens", page=True, videos=clips[0].video.parent)
    with running(bundle, folder / "gallery", reach) as server:
        with Client(server.address, credentials=Credentials(tokens["admin"])) as client:
            for clip in clips:
                last = client.index(clip.video, id=clip.video.name)
            client.wait_searchable(last)
            answer = asked(client, clips)
        yield Target(server, bundle, tokens, clips, answer, folder)


def resident(pid: int, field: str = "VmRSS") -> int:
    """A process' bytes in memory, by the name that the kernel gives them; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:")), 0)


def busy() -> float:
    """How many times longer things take because of what else this machine does."""
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
