"""Videos that come as features: by both clients and by the command, against a server that reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from framesift import FramesiftError, Indexed
from framesift.__main__ import main
from framesift.errors import InvalidFeatures, InvalidRequest
from framesift.export.bundle.features.profile import FeatureArray, FeatureProfile
from framesift.export.bundle.features.tensors_file import write_tensors

PROFILE = FeatureProfile("pooled", (FeatureArray("2d", ("rows", 6)), FeatureArray("3d", ("steps", 4))))
pytestmark = pytest.mark.parametrize("manifest", [{"features": PROFILE, "attends": False}], indirect=True)
Run = Callable[..., Result]


def arrays(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {"2d": random.standard_normal((seed + 1, 6)), "3d": random.standard_normal((2, 4)).astype(np.float16)}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "features"
    (folder / "more").mkdir(parents=True)
    for n in range(4):
        np.savez(folder / f"{n}.npz", **arrays(n))
    (folder / "more/4.safetensors").write_bytes(write_tensors(arrays(4)))
    (folder / "film.mp4").write_bytes(b"a film beside them")
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_file_bytes_and_arrays_are_one_video(client: Any, files: Path, server: Any, wait_for_version: Any) -> None:
    by_path = client.index(features=files / "1.npz")
    raw = (files / "more/4.safetensors").read_bytes()
    by_bytes = client.index(features=raw)
    by_arrays = client.index(features=arrays(4), id="arrays", metadata={"year": 1999})
    assert (by_path.id, by_path.digest) == ("1", hashlib.sha256((files / "1.npz").read_bytes()).digest())
    assert by_bytes.id == hashlib.sha256(raw).hexdigest()
    assert by_arrays.digest == hashlib.sha256(raw).digest()
    wait_for_version(by_arrays.version)
    hits = client.search("anything", top=5).hits
    assert {hit.id for hit in hits} == {"1", by_bytes.id, "arrays"}
    assert all(hit.timestamps == () and hit.moment is None and hit.attention == () for hit in hits)
    assert len({hit.score for hit in hits if hit.id != "1"}) == 1


def test_a_record_is_that_of_the_arrays(client: Any, files: Path, server: Any) -> None:
    one, other = client.encode_video(features=files / "2.npz"), client.encode_video(features=arrays(2))
    assert one.timestamps is None
    assert one.duration is None
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(tensor, other.tensors[name])


def test_many_at_once_with_failures_as_values(client: Any, files: Path, server: Any) -> None:
    items = [
        files / "0.npz",
        str(files / "more/4.safetensors"),
        (files / "1.npz", "one", {"year": 1999}),
        arrays(7),
        (arrays(8), "eight"),
        (None, "nine", None, arrays(9)),
        {**arrays(1), "2d": np.full((2, 6), np.nan)},
        {"2d": [["a"]]},
        "/no/such.npz",
        (None, "nothing", None, None),
        files / "0.safetensors",
        {3: [1.0]},
    ]
    found = client.index_many(items, jobs=3)
    ids = [one.id if isinstance(one, Indexed) else type(one) for one in found]
    unnamed = hashlib.sha256(write_tensors(arrays(7))).hexdigest()
    assert ids[:6] == ["0", "4", "one", unnamed, "eight", "nine"]
    assert ids[6:] == [*[InvalidFeatures] * 3, InvalidRequest, InvalidRequest, InvalidFeatures]
    assert "2d holds NaN or infinity in row 0" in str(found[6])
    assert "/no/such.npz can't be read: No such file" in str(found[8])
    assert "neither a video nor features" in str(found[9])
    assert "would both get the id '0'" in str(found[10])


@pytest.mark.parametrize("given", [b"", "/no/such.npz", 3, "a\0b", b"neither", {"2d": np.array([{}], object)}])
def test_what_is_no_feature_file_is_refused(client: Any, server: Any, given: Any) -> None:
    with pytest.raises(InvalidFeatures):
        client.index(features=given, id="a")


def test_a_server_says_what_its_model_reads(client: Any, server: Any) -> None:
    served = client.served()
    assert served.takes == ("features",)
    assert served.arrays == "2d [rows, 6], 3d [steps, 4]"


def test_there_is_nothing_to_index_without_a_file(client: Any, server: Any) -> None:
    with pytest.raises(InvalidRequest, match="neither a video nor features: give one of them"):
        client.index()


@pytest.fixture
def run(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("FRAMESIFT_SERVER", address)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda *arguments: CliRunner().invoke(main, list(map(str, arguments)))


def test_a_folder_of_features_is_indexed_as_one_of_films(run: Run, files: Path, server: Any) -> None:
    (files / "more/bad.npz").write_bytes(b"no archive")
    np.savez(files / "narrow.npz", **{**arrays(1), "3d": np.ones((2, 3))})
    (files.parent / "facts.jsonl").write_text('{"id": "more/4", "year": 1999}\n')
    first = run("index", "features/", "--metadata", "facts.jsonl")
    assert (first.exit_code, first.stdout) == (1, "5 indexed, 0 skipped, 2 failed\n")
    failed = sorted(line for line in first.stderr.splitlines() if line.startswith("  "))
    assert failed == [
        "  features/more/bad.npz: the file is neither npz nor safetensors: save the arrays by np.savez or safetensors",
        "  features/narrow.npz: 3d has the shape [2, 3]: the model takes 2d [rows, 6], 3d [steps, 4]",
    ]
    ids = ["0", "1", "2", "3", "more/4"]
    assert sorted(server.lookup.run([{**_ids(ids)}])[0]["present"].tolist()) == [True] * 5
    (files / "more/bad.npz").unlink()
    (files / "narrow.npz").unlink()
    np.savez(files / "3.npz", **arrays(33))
    second = run("index", "features/", "--metadata", "facts.jsonl")
    assert (second.exit_code, second.stdout) == (0, "1 indexed, 4 skipped, 0 failed\n")


def _ids(ids: list[str]) -> dict[str, Any]:
    from framesift.export.bundle.packing import pack_joined

    joined, lengths = pack_joined([id_.encode() for id_ in ids])
    return {"ids": joined, "id_lengths": lengths}


def test_a_folder_of_films_has_nothing_for_such_a_model(run: Run, files: Path, server: Any) -> None:
    (files.parent / "films").mkdir()
    (files.parent / "films/a.mp4").write_bytes(b"a film")
    result = run("index", "films")
    assert result.exit_code == 2
    assert "films: no feature file in it; feature files end in .npz, .safetensors. The model at" in result.stderr
    assert "reads feature files of 2d [rows, 6], 3d [steps, 4]" in " ".join(result.stderr.split())


def test_ids_are_those_of_films_by_their_stems(run: Run, files: Path, server: Any) -> None:
    result = run("index", "features/more/4.safetensors", "features/?.npz", "--id-from", "stem")
    assert result.stdout == "5 indexed, 0 skipped, 0 failed\n"
    assert server.lookup.run([_ids(["0", "1", "2", "3", "4"])])[0]["present"].all()


def test_errors_are_of_one_tree(client: Any, server: Any) -> None:
    with pytest.raises(FramesiftError) as raised:
        client.index(features={"2d": np.zeros((1, 6)), "3d": np.ones((1, 4))}, id="a")
    assert isinstance(raised.value, InvalidFeatures)
    assert "2d has only zeros in row 0" in str(raised.value)
