"""Wrong videos through the served decoder: each is decoded or refused as InvalidVideo, in bounded time and memory."""

from __future__ import annotations

from framesift import Client
from framesift.errors import InvalidVideo
from framesift.export.bundle.models import VIDEO_DECODER

from ..bundle.video_mutator import mutants
from .bombs import bombs, right_videos
from .reading import PATIENCE_S, Sender
from .table import Progress, Row
from .target import Target

_ALL_BOMBS = 100


def attack(target: Target, count: int, seed: int, progress: Progress) -> list[Row]:
    """So many mutants, and every bomb; of fewer than a hundred, a ninth of the bombs."""
    folder = target.folder / "wrong videos"
    folder.mkdir(exist_ok=True)
    made = list(bombs(folder).items())[:: 1 if count >= _ALL_BOMBS else 9]
    with target.client(timeout_s=PATIENCE_S) as client:
        for clip in target.clips[:4]:
            client.encode_video(clip.video)

    def send(client: Client, video: bytes) -> None:
        client.encode_video(video, id="wrong")

    sender = Sender(target, VIDEO_DECODER, send, InvalidVideo)
    return [
        *sender.send(mutants(right_videos(folder), count, seed), "mutated videos", progress),
        *sender.send(((name, make()) for name, make in made), "bombs", lambda _: None),
    ]
