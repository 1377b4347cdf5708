"""``framesift evaluate`` through a real server: the metrics are those of the eager model's scores."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.build import eager_system
from framesift.export.bundle.errors import GalleryError, InvalidInput, InvalidQuery, ServerUnavailable
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.decode import decode
from framesift.export.evaluation.captions import CaptionSet, load_captions
from framesift.export.evaluation.measure import measure
from framesift.export.evaluation.scores import ScoreMatrix, load_scores
from framesift.export.training.evaluate import as_stored, encode_texts, encode_videos, score_all
from framesift.serving.client.sync import Client
from framesift.serving.served_scores import served_scores

pytestmark = [pytest.mark.server, pytest.mark.long]


@pytest.fixture(scope="module")
def captions(clips: list) -> CaptionSet:
    """Two captions for every third clip, one for the others, the clips in another order than they were indexed."""
    order = np.random.default_rng(5).permutation(len(clips))
    pairs = [(clips[i].video.name, clips[i].captions[0]) for i in order]
    return CaptionSet.of_pairs(
        [*pairs, *((clips[i].video.name, f"in this clip {clips[i].captions[0]}") for i in order[::3])]
    )


@pytest.fixture(scope="module")
def eager(bundle: Bundle, clips: list, captions: CaptionSet) -> ScoreMatrix:
    """The eager model's scores, from records rounded as the gallery stores them."""
    system, profile = eager_system(bundle), bundle.manifest.frames
    files = {clip.video.name: clip.video for clip in clips}
    records = encode_videos(system, np.stack([decode(files[id_], profile).frames for id_ in captions.videos]))
    text = encode_texts(system, bundle.tokenizer(), captions.captions)
    return ScoreMatrix(score_all(system, text, as_stored(system, records)), captions.target)


def write(path: Path, captions: CaptionSet, strip: str = "") -> Path:
    rows = [
        {"video": captions.videos[v].removesuffix(strip), "captions": [caption]}
        for v, caption in zip(captions.target, captions.captions, strict=True)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result.exit_code, result.stdout, result.stderr


def test_served_scores_are_the_eager_models(client: Client, indexed: list, captions: CaptionSet, eager) -> None:
    told: list[int] = []
    served = served_scores(client, captions, jobs=3, done=told.append)
    assert served.whole
    assert served.seen.all()
    assert sum(told) == len(captions.captions)
    # A graph and the eager model differ in the last bits, which may keep another frame where two logits are that close.
    off = np.abs(served.matrix.scores - eager.scores) > 1e-4
    assert off.sum() <= 2
    for rule in ("expected", "xpool", "clip4clip-multi", "frozen", "mmt"):
        for direction in ("t2v", "v2t"):
            found = measure(served.matrix, rule=rule, directions=(direction,)).measured[direction]
            want = measure(eager, rule=rule, directions=(direction,)).measured[direction]
            assert (found.r1, found.r5, found.r10) == (want.r1, want.r5, want.r10), rule
            assert (found.mdr, found.mnr) == (want.mdr, want.mnr), rule


def test_the_command_measures_over_grpc_and_keeps_its_scores(
    server, indexed: list, captions: CaptionSet, eager, tmp_path: Path
) -> None:
    path = write(tmp_path / "test.jsonl", captions)
    kept = tmp_path / "scores.npz"
    code, out, err = run(
        path, "--server", server.address, "--direction", "both", "--json", "--save", kept, "--table", "msrvtt"
    )
    assert code == 0, err
    found = json.loads(out)
    for direction in ("t2v", "v2t"):
        want = measure(eager, directions=(direction,)).measured[direction]
        got = found["measured"][direction]
        assert [got[name] for name in ("R@1", "R@5", "R@10", "MdR", "MnR")] == [
            want.r1,
            want.r5,
            want.r10,
            want.mdr,
            want.mnr,
        ]
    assert (found["queries"], found["videos"]) == (len(captions.captions), len(captions.videos))
    assert np.array_equal(load_scores(kept).target, captions.target)
    for arguments in ((), ("--captions", path)):
        code, again, err = run("--scores", kept, *arguments, "--direction", "both", "--json")
        assert code == 0, err
        assert json.loads(again)["measured"] == found["measured"]


def test_the_table_stands_beside_published_rows(server, indexed: list, captions: CaptionSet, tmp_path: Path) -> None:
    path = write(tmp_path / "test.jsonl", captions, strip=".mp4")
    code, out, err = run(path, "--server", server.address, "--id-suffix", ".mp4", "--table", "lsmdc")
    assert code == 0, err
    rows = {line.split("  ")[0]: line for line in out.splitlines()}
    assert {"X-Pool", "CLIP4Clip", "measured"} <= rows.keys()
    assert "NOT THE PUBLISHED TEST SET" in out
    assert "searching" not in out


def test_only_the_videos_that_are_named_count(client: Client, indexed: list, captions: CaptionSet, eager) -> None:
    few = CaptionSet.of_pairs(
        [(captions.videos[v], c) for v, c in zip(captions.target, captions.captions, strict=True) if v % 2]
    )
    rows = np.flatnonzero(captions.target % 2)
    columns = np.flatnonzero(np.arange(len(captions.videos)) % 2)
    served = served_scores(client, few)
    assert served.whole
    assert served.matrix.scores.shape == (len(rows), len(columns))
    want = measure(ScoreMatrix(eager.scores[rows][:, columns], captions.target[rows] // 2))
    assert measure(served.matrix).measured == want.measured


def test_a_gallery_larger_than_an_answer(client: Client, indexed: list, captions: CaptionSet, eager) -> None:
    served = served_scores(client, captions, most=20)
    assert not served.whole
    found = served.truncated_report().measured["t2v"]
    want = measure(eager).measured["t2v"]
    assert (found.r1, found.r5, found.r10, found.mdr) == (want.r1, want.r5, want.r10, want.mdr)
    assert found.mnr <= want.mnr
    told: list[int] = []
    with pytest.raises(InvalidInput, match="and an answer at most 20"):
        served_scores(client, captions, most=20, need_all=True, done=told.append)
    assert told == []


def test_a_video_indexed_anew_meanwhile_stops_it(client: Client, indexed: list, captions: CaptionSet) -> None:
    first = next(clip for clip in indexed if clip.video.name == captions.videos[0])
    other = next(clip for clip in indexed if clip.video.name != captions.videos[0])

    def replace(_: int) -> None:
        client.index(other.video, id=first.video.name)

    try:
        with pytest.raises(GalleryError, match="changed while it was evaluated"):
            served_scores(client, captions, jobs=1, done=replace)
    finally:
        client.wait_searchable(client.index(first.video, id=first.video.name))


def test_missing_videos_are_listed(server, indexed: list, captions: CaptionSet, tmp_path: Path) -> None:
    path = write(tmp_path / "test.jsonl", captions, strip=".mp4")
    code, out, err = run(path, "--server", server.address)
    assert code == 1
    assert out == ""
    assert f"{len(captions.videos)} of {len(captions.videos)} videos are not in the gallery" in err
    assert "--id-suffix" in err
    assert all(video.removesuffix(".mp4") in err for video in captions.videos)


def test_a_caption_that_cannot_be_searched_for_stops_it(client: Client, indexed: list, captions: CaptionSet) -> None:
    pairs = [(captions.videos[v], c) for v, c in zip(captions.target, captions.captions, strict=True)]
    bad = CaptionSet.of_pairs([*pairs[:5], (captions.videos[0], "xyz " * 20_000), *pairs[5:]])
    with pytest.raises(InvalidQuery, match=r"the caption 'xyz xyz .* can't be searched for: .* bytes"):
        served_scores(client, bad)


def test_a_server_that_is_not_there(captions: CaptionSet) -> None:
    with Client("127.0.0.1:1") as nobody, pytest.raises(ServerUnavailable, match="framesift serve"):
        served_scores(nobody, captions)


def test_the_manifest_that_was_indexed_is_a_file_of_captions(clips: list) -> None:
    found = load_captions(clips[0].video.parent / "manifest.jsonl")
    assert found.videos == tuple(clip.video.name for clip in clips)


def test_the_pages_first_example(server, indexed: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRAMESIFT_SERVER", server.address)
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    lines = page.partition("```console\n")[2].partition("```")[0].splitlines()
    corpus, *others = [shlex.split(line.removeprefix("$ ")) for line in lines]
    assert corpus[1:3] == ["corpus", "shapes"]
    # The clips that are indexed already have the names that new ones would have, so they stand in for those.
    (tmp_path / "shapes").symlink_to(indexed[0].video.parent)
    for words in others:
        result = CliRunner().invoke(main, words[1:], catch_exceptions=False)
        assert result.exit_code == 0, f"{words}\n{result.output}"
    assert "rule clip4clip" in result.stdout
