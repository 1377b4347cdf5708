"""Systems whose videos come as features, from their authors' kind of checkpoint to answers of a real Triton server."""

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
from framesift.errors import InvalidFeatures, InvalidRequest
from framesift.export.build import eager_system
from framesift.export.bundle.features.checks import check_arrays
from framesift.export.bundle.features.reading import feature_inputs
from framesift.export.bundle.features.tensors_file import write_tensors
from framesift.export.bundle.ports import VIDEO_ENCODER
from framesift.export.bundle.store import Bundle
from framesift.serving.client.sync import Client
from framesift.serving.ranking_parity import TIE, compare
from framesift.serving.serve import running

from ..small_systems import small_bundle
from .evaluated import check_evaluation, rule_of
from .indexing.records import records

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(600)]

NAMES = [
    "howto100m",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("mmt", "mmt of present experts", "actbert")),
]
VIDEOS = 6
QUERIES = [
    "a small red circle moves left",
    "a large blue square appears, then a white cross",
    "Purple triangle",
    "two dogs play with a ball",
    "down up right",
    "a " * 40 + "circle",
]
Files = dict[str, dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Served:
    """A running server with ``VIDEOS`` videos, its client, their arrays, and the eager system's scores."""

    bundle: Bundle
    client: Client
    folder: Path
    files: Files
    scores: NDArray[Any]


@pytest.fixture(scope="module", params=NAMES)
def served(request: pytest.FixtureRequest, bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root, bundle = tmp_path_factory.mktemp("served"), small_bundle(request.param, bundles)
    folder = root / "features"
    folder.mkdir()
    generator = torch.Generator().manual_seed(11)
    system = eager_system(bundle)
    files: Files = {f"video{n}": dict(system.random_arrays(generator)) for n in range(VIDEOS)}
    for n, (id_, arrays) in enumerate(files.items()):
        if n % 2:
            np.savez_compressed(folder / f"{id_}.npz", **arrays)  # type: ignore[arg-type]
        else:
            (folder / f"{id_}.safetensors").write_bytes(write_tensors(arrays))
    with running(bundle, root / "gallery") as server, Client(server.address) as client:
        result = CliRunner().invoke(main, ["index", str(folder), "--server", server.address, "--no-cache"])
        assert (result.exit_code, result.stdout) == (0, f"{VIDEOS} indexed, 0 skipped, 0 failed\n"), result.output
        # Another commit, so that all are searchable once it is.
        id_ = next(iter(files))
        client.wait_searchable(client.index(features=files[id_], id=id_))
        yield Served(bundle, client, folder, files, eager_scores(bundle, files))


@torch.no_grad()
def eager_scores(bundle: Bundle, files: Files, queries: list[str] = QUERIES) -> NDArray[Any]:
    """Scores in float64 from records rounded as the gallery stores them."""
    system = eager_system(bundle).double().folded()
    profile = bundle.manifest.features
    assert profile is not None
    ports = {p.name: p.unbatched() for p in bundle.manifest.graphs[VIDEO_ENCODER].inputs}
    made = [feature_inputs(check_arrays(arrays, profile), profile, ports) for arrays in files.values()]
    inputs = [torch.from_numpy(np.stack([one[name] for one in made])).double() for name in ports]
    record = system.encode_video(*inputs)
    video = [x.to(getattr(torch, t.stored)).double() for x, t in zip(record, system.video_record, strict=True)]
    text = system.encode_text(torch.from_numpy(bundle.tokenizer().encode(queries)))
    scores: NDArray[Any] = system.score(text, video).numpy()
    return scores


def test_every_ranking_is_the_eager_systems(served: Served) -> None:
    found = served.client.search_many(QUERIES, top=VIDEOS)
    scale = np.abs(served.scores).max()
    parity = compare(
        [[hit.id for hit in result.hits] for result in found],
        [np.array([hit.score for hit in result.hits]) / scale for result in found],
        list(served.files),
        served.scores / scale,
    )
    assert (parity.equal, parity.off, parity.scores) == (len(QUERIES), 0, len(QUERIES) * VIDEOS)
    gaps = np.diff(np.sort(served.scores / scale, axis=1), axis=1)
    assert (gaps > TIE).mean() > 0.5
    assert all(hit.timestamps == () and hit.moment is None for hit in found[0].hits)
    assert found[-1].cut


def test_evaluate_counts_as_the_authors_do(served: Served, tmp_path: Path) -> None:
    manifest = served.bundle.manifest
    rule = rule_of(manifest.system, manifest.scorer)
    check_evaluation(served.client, rule, list(served.files), QUERIES, served.scores, tmp_path)


def test_encoding_and_scoring_without_the_gallery(served: Served) -> None:
    records = [served.client.encode_video(features=arrays) for arrays in list(served.files.values())[:3]]
    scores = served.client.score(QUERIES, records).scores
    scale = np.abs(served.scores).max()
    np.testing.assert_allclose(scores / scale, served.scores[:, :3] / scale, atol=5e-3)


def test_what_is_wrong_is_refused_by_name(served: Served, clips: list) -> None:
    arrays = next(iter(served.files.values()))
    name = next(iter(arrays))
    with pytest.raises(InvalidRequest, match="reads feature files, not films: bring an npz or safetensors file of "):
        served.client.index(clips[0].video)
    with pytest.raises(InvalidFeatures, match=f"{name} holds NaN or infinity in row 0"):
        served.client.index(features={**arrays, name: np.full_like(arrays[name], np.nan)}, id="nan")
    with pytest.raises(InvalidFeatures, match="holds 'colour', which the model doesn't read: the model takes "):
        served.client.index(features={**arrays, "colour": np.ones(3)}, id="colour")
    with pytest.raises(InvalidFeatures, match="neither npz nor safetensors"):
        served.client.index(features=b"\x80\x04\x95" + bytes(100), id="pickle")
    assert not served.client.lookup(["nan", "colour", "pickle"]).digests


def test_a_second_run_of_the_command_skips_and_names_what_failed(served: Served, tmp_path: Path) -> None:
    folder = served.folder
    (folder / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    try:
        result = CliRunner().invoke(main, ["index", str(folder), "--server", served.client.address, "--no-cache"])
    finally:
        (folder / "broken.npz").unlink()
    # The first was indexed again, from arrays that have the digest of the same safetensors file.
    assert (result.exit_code, result.stdout) == (
        1,
        f"0 indexed, {VIDEOS} skipped, 1 failed: the gallery is as it was\n",
    )
    assert "broken.npz: the npz file has no end as np.savez writes it" in result.stderr


def test_without_a_server_records_are_the_same(served: Served, tmp_path: Path) -> None:
    arguments = ["--bundle", str(served.bundle.root), "--gallery", str(tmp_path / "here"), "--jobs", "1", "--no-cache"]
    result = CliRunner().invoke(main, ["index", str(served.folder), *arguments])
    assert (result.exit_code, result.stdout) == (0, f"{VIDEOS} indexed, 0 skipped, 0 failed\n"), result.output
    here, there = records(tmp_path / "here"), records(served.folder.parent / "gallery")
    # The first came once more, without a file.
    first = next(iter(served.files))
    assert there[first].pop("source") == ""
    assert here[first].pop("source") == str(served.folder / f"{first}.safetensors")
    assert here == there
