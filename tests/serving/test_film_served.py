"""HowTo100M with its extractor, from its authors' kinds of files to answers about films of a real Triton server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from framesift.__main__ import main
from framesift.errors import InvalidRequest, InvalidVideo
from framesift.export.build import eager_system
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.decode import decode
from framesift.export.graphs import VideoEncoder
from framesift.serving.client.sync import Client
from framesift.serving.ranking_parity import compare
from framesift.serving.serve import running

from ..bundle.clips import clip_writer
from ..small_films import SECONDS, film_bundle

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(600)]

QUERIES = ["a small red circle moves left", "a large blue square", "purple triangle"]
# Frames, size and frames a second; the last is shorter than half a second.
FILMS = [(60, (64, 48), 25), (70, (320, 180), 24), (40, (48, 100), 10), (95, (96, 96), 30), (9, (64, 64), 25)]


@dataclass(frozen=True)
class Served:
    """A running server, its client, its films, and the eager system's scores [QUERIES, FILMS]."""

    bundle: Bundle
    client: Client
    folder: Path
    ids: list[str]
    scores: NDArray[Any]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("served")
    films = root / "films"
    films.mkdir()
    write = clip_writer(films)
    paths = {path.name: path for path in (write(count, size, rate=rate) for count, size, rate in FILMS)}
    bundle = film_bundle(root)
    with running(bundle, root / "gallery") as server, Client(server.address) as client:
        result = CliRunner().invoke(main, ["index", str(films), "--server", server.address, "--no-cache"])
        assert (result.exit_code, result.stdout) == (0, f"{len(FILMS)} indexed, 0 skipped, 0 failed\n"), result.output
        yield Served(bundle, client, films, list(paths), eager(bundle, paths))


@torch.no_grad()
def eager(bundle: Bundle, paths: dict[str, Path]) -> NDArray[Any]:
    """Scores in float64 of records that are rounded as the gallery stores them."""
    system, film = eager_system(bundle).double(), bundle.manifest.film
    assert film is not None
    records = []
    for path in paths.values():
        seconds, clips = (torch.from_numpy(decode(path, part).frames) for part in (film.seconds, film.clips))
        room = torch.zeros(-len(clips) % 16, *clips.shape[1:], dtype=torch.uint8)
        rows = torch.cat([clips, room]).unflatten(0, (-1, 16))
        records.append(VideoEncoder(system)(seconds[None], rows[None])[0].half().double())
    text = system.encode_text(torch.from_numpy(bundle.tokenizer().encode(QUERIES)))
    scores: NDArray[Any] = system.score(text, [torch.cat(records)]).numpy()
    return scores


def test_every_ranking_is_the_eager_systems(served: Served) -> None:
    found = served.client.search_many(QUERIES)
    parity = compare(
        [[hit.id for hit in result.hits] for result in found],
        [np.array([hit.score for hit in result.hits]) for result in found],
        served.ids,
        served.scores,
    )
    assert (parity.equal, parity.off, parity.scores) == (len(QUERIES), 0, served.scores.size)
    assert all(hit.timestamps == () and hit.moment is None for hit in found[0].hits)
    record = served.client.encode_video(served.folder / served.ids[1])
    assert record.duration == pytest.approx(70 / 24, abs=0.05)
    assert record.timestamps is None


def test_features_and_films_that_are_too_long_are_refused(served: Served) -> None:
    with pytest.raises(InvalidRequest, match="reads films, not feature files: bring the film itself"):
        served.client.index(features={"2d": np.ones((1, 32)), "3d": np.ones((1, 64))}, id="features")
    long = clip_writer(served.folder.parent)(10 * (SECONDS + 2), (64, 64), rate=10)
    with pytest.raises(InvalidVideo, match=f"lasts 22 s, and the model reads whole films of at most {SECONDS} s"):
        served.client.index(long, id="long")
    assert not served.client.lookup(["features", "long"]).digests
