"""TABLE from a checkpoint to answers of a real Triton server: films, and tags beside some of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from framesift.__main__ import main
from framesift.errors import InvalidFeatures, InvalidRequest
from framesift.export.build import eager_system
from framesift.export.bundle.features.reading import read_features
from framesift.export.bundle.ports import OF_FRAMES
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.text.tokenizers import load_tokenizer
from framesift.export.bundle.video.decode import decode
from framesift.export.graphs import VideoEncoder
from framesift.serving.client.sync import Client
from framesift.serving.ranking_parity import compare
from framesift.serving.serve import running

from ..small_systems import small_bundle
from .evaluated import check_evaluation, rule_of

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

VIDEOS = 6
QUERIES = ["a small red circle moves left", "a large blue square", "a dog", "exit", "a cross", "left"]
TAGS: list[dict[str, list[str]]] = [
    {"object": ["circle", "a red circle"], "motion": ["moves left"]},
    {},
    {"ocr": ["exit", "way out"], "person": []},
    {"object": ["dog"] * 9},
]


@dataclass(frozen=True)
class Served:
    """A running server, its client, its films' folder with tags beside some, and the eager scores by id."""

    bundle: Bundle
    client: Client
    folder: Path
    scores: Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def served(bundles: Path, clips: list, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root, bundle = tmp_path_factory.mktemp("served"), small_bundle("table", bundles)
    folder = root / "films"
    folder.mkdir()
    tags: dict[str, dict[str, list[str]]] = {}
    for n, clip in enumerate(clips[:VIDEOS]):
        shutil.copy(clip.video, folder / clip.video.name)
        tags[clip.video.name] = TAGS[n] if n < len(TAGS) else {}
        if n < len(TAGS):
            (folder / clip.video.name).with_suffix(".json").write_text(json.dumps(TAGS[n], sort_keys=True))
    with running(bundle, root / "gallery") as server, Client(server.address) as client:
        result = index(folder, server.address)
        assert (result.exit_code, result.stdout) == (0, f"{VIDEOS} indexed, 0 skipped, 0 failed\n"), result.output
        name = next(iter(tags))
        client.wait_searchable(client.index(folder / name, features=tags[name]))
        scores = {name: eager(bundle, folder / name, found) for name, found in tags.items()}
        yield Served(bundle, client, folder, scores)


def index(folder: Path, address: str) -> Any:
    return CliRunner().invoke(main, ["index", str(folder), "--server", address, "--no-cache"])


@torch.no_grad()
def eager(bundle: Bundle, film: Path, tags: dict[str, list[str]]) -> NDArray[Any]:
    """Scores [QUERIES] in float64 of a record that is rounded as the gallery stores it."""
    system = eager_system(bundle).double()
    ports = {port.name: port for port in system.video_inputs if port.name not in OF_FRAMES}
    length = ports["tag_ids"].shape[1]
    profile = replace(bundle.manifest.tokenizer, context_length=length, buckets=(length,))
    assert bundle.manifest.features is not None
    tokenizer = load_tokenizer(profile, bundle.root)
    made = read_features(memoryview(json.dumps(tags).encode()), bundle.manifest.features, ports, tokenizer)
    clip = decode(film, bundle.manifest.pictures)
    inputs = [clip.frames, clip.mask.astype(np.float64), *(made[name] for name in ports)]
    (record,) = VideoEncoder(system)(*(torch.from_numpy(x)[None] for x in inputs))
    text = system.encode_text(torch.from_numpy(bundle.tokenizer().encode(QUERIES)))
    scores: NDArray[Any] = system.score(text, [record.half().double()])[:, 0].numpy()
    return scores


def test_every_ranking_is_the_eager_systems(served: Served) -> None:
    scores = np.stack(list(served.scores.values()), 1)
    found = served.client.search_many(QUERIES, top=VIDEOS)
    parity = compare(
        [[hit.id for hit in result.hits] for result in found],
        [np.array([hit.score for hit in result.hits]) for result in found],
        list(served.scores),
        scores,
    )
    assert (parity.equal, parity.off, parity.scores) == (len(QUERIES), 0, len(QUERIES) * VIDEOS)
    assert all(len(hit.timestamps) == served.bundle.manifest.frame_count for hit in found[0].hits)


def test_evaluate_by_the_rule_that_favours_nobody(served: Served, tmp_path: Path) -> None:
    manifest = served.bundle.manifest
    scores = np.stack(list(served.scores.values()), 1)
    rule = rule_of(manifest.system, manifest.scorer)
    check_evaluation(served.client, rule, list(served.scores), QUERIES, scores, tmp_path)


def test_tags_change_a_record_and_none_is_an_empty_object(served: Served) -> None:
    film = next(served.folder.glob("*.mp4"))
    without, empty = served.client.encode_video(film), served.client.encode_video(film, features={"object": []})
    tagged = served.client.encode_video(film, features={"object": ["an elephant"]})
    name = next(iter(without.tensors))
    np.testing.assert_array_equal(without.tensors[name], empty.tensors[name])
    assert np.abs(tagged.tensors[name] - without.tensors[name]).max() > 1e-4


def test_other_tags_are_another_video_to_the_command(served: Served) -> None:
    address = served.client.address
    again = index(served.folder, address)
    assert again.stdout == f"0 indexed, {VIDEOS} skipped, 0 failed: the gallery is as it was\n"
    tags = next(served.folder.glob("*.json"))
    before = tags.read_text()
    tags.write_text(json.dumps({"colour": ["red"]}))
    refused = index(served.folder, address)
    assert refused.stdout == f"0 indexed, {VIDEOS - 1} skipped, 1 failed: the gallery is as it was\n"
    assert "the model has no tags of 'colour'; it has those of object, person, motion, audio, ocr" in refused.stderr
    tags.write_text(before)


def test_tags_without_a_film_and_other_files_are_refused(served: Served) -> None:
    with pytest.raises(InvalidRequest, match="needs the inputs video"):
        served.client.index(features={"object": ["dog"]}, id="a")
    with pytest.raises(InvalidFeatures, match="the file of tags is not JSON"):
        served.client.index(next(served.folder.glob("*.mp4")), features=b"PK\x03\x04", id="a")
