"""Real files through a real server over real gRPC, compared with eager PyTorch."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import psutil
import pytest

from framesift.export.build import eager_system
from framesift.export.bundle.errors import (
    BundleError,
    DeadlineExceeded,
    InvalidQuery,
    InvalidRequest,
    InvalidVideo,
    ServerUnavailable,
)
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.decode import decode
from framesift.export.corpus.generate import write_video
from framesift.export.training.evaluate import as_stored, encode_texts, encode_videos, score_all
from framesift.serving.client import sending
from framesift.serving.client.aio import AsyncClient
from framesift.serving.client.results import VideoRecord
from framesift.serving.client.sync import Client
from framesift.serving.ranking_parity import compare
from framesift.serving.serve import running
from framesift.serving.server.processes import model_processes

from ..waiting import until
from .front.asked_over_http import settle

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def eager(bundle: Bundle, clips: list) -> tuple:
    """Eager text and frame embeddings, scores from records rounded as the gallery stores them, and frame vectors."""
    system = eager_system(bundle)
    records = encode_videos(system.published, np.stack([decode(c.video, bundle.manifest.frames).frames for c in clips]))
    text = encode_texts(system.published, bundle.tokenizer(), [c.captions[0] for c in clips])
    kept = system.reduce_video(records)
    return text, records, score_all(system, system.reduce_text(text), as_stored(system, kept)), kept[0]


def test_every_ranking_equals_eager_pytorch(client: Client, indexed: list, eager) -> None:
    ids = [clip.video.name for clip in indexed]
    # Other files' tests may have left videos of theirs.
    found = client.search_many([clip.captions[0] for clip in indexed], top=1000)
    hits = [[hit for hit in result.hits if hit.id in ids] for result in found]
    parity = compare(
        [[h.id for h in row] for row in hits],
        [np.array([h.score for h in row]) for row in hits],
        ids,
        eager[2],
    )
    assert parity.equal == len(ids)
    assert parity.off <= 1
    assert (parity.queries, parity.scores) == (len(ids), len(ids) ** 2)


def test_a_search_among_candidates_finds_them_alone_and_in_order(client: Client, indexed: list) -> None:
    text, ids = indexed[0].captions[0], [clip.video.name for clip in indexed[::2]]
    whole = [(hit.id, hit.score) for hit in client.search(text, top=1000).hits if hit.id in ids]
    found = client.search_many([text, indexed[1].captions[0]], top=1000, candidates=[*ids, ids[0]])
    assert [hit.id for hit in found[0].hits] == [id_ for id_, _ in whole]
    np.testing.assert_allclose([hit.score for hit in found[0].hits], [score for _, score in whole], rtol=1e-5)
    assert {hit.id for hit in found[1].hits} == set(ids)
    assert len(client.search(text, top=2, candidates=ids).hits) == 2
    with pytest.raises(InvalidRequest, match="no video 'stranger'"):
        client.search(text, candidates=[*ids, "stranger"])


def test_videos_are_told_changed_and_removed_over_the_network(client: Client, indexed: list) -> None:
    text, name = indexed[0].captions[0], "to be changed.mp4"
    added = client.index(indexed[0].video, id=name, source="the original", metadata={"year": 1999})
    client.wait_searchable(added)
    hit = next(hit for hit in client.search(text, top=100).hits if hit.id == name)
    assert (hit.source, hit.metadata) == ("the original", {"year": 1999})
    assert hit.duration == pytest.approx(client.encode_video(indexed[0].video).duration, abs=1e-3)
    assert {video.id for video in client.videos()} >= {name, *(clip.video.name for clip in indexed)}
    assert client.list_videos(1).count == client.count()
    client.update({name: {"seen": True}}, merge=True)
    assert client.describe([name])[0].metadata == {"year": 1999, "seen": True}
    settle(client)
    narrowed = client.search(text, top=100, where=f"id = '{name}' and year = 1999", min_score=-1.0)
    assert ([found.id for found in narrowed.hits], narrowed.among) == ([name], 1)
    whole = [found.id for found in client.search(text, top=100).hits]
    assert [found.id for page in client.search_pages(text, top=5) for found in page.hits] == whole
    with pytest.raises(InvalidRequest, match="the filter at character 6"):
        client.search(text, where="year 1999")
    assert client.delete([name, "stranger"]).absent == ("stranger",)
    until(lambda: name not in [hit.id for hit in client.search(text, top=100).hits])
    assert client.describe([name]) == [None]


def test_one_by_one_and_together_give_the_same(client: Client, indexed: list) -> None:
    queries = [clip.captions[0] for clip in indexed[:6]]
    together = client.search_many(queries, top=5)
    for query, result in zip(queries, together, strict=True):
        alone = client.search(query, top=5)
        assert [h.id for h in alone.hits] == [h.id for h in result.hits]
        np.testing.assert_allclose([h.score for h in alone.hits], [h.score for h in result.hits], atol=2e-6)


def test_attention_and_moments_are_of_the_frames(client: Client, indexed: list, bundle: Bundle) -> None:
    hit = client.search(indexed[0].captions[0], top=1).hits[0]
    clip = decode(next(c.video for c in indexed if c.video.name == hit.id), bundle.manifest.frames)
    assert sum(hit.attention) == pytest.approx(1, abs=1e-5)
    assert sum(a > 0 for a in hit.attention) == bundle.manifest.options["top_k"]
    assert hit.timestamps == pytest.approx(clip.timestamps.tolist(), abs=1e-5)
    assert hit.moment in hit.timestamps


def test_encoding_and_scoring_without_a_gallery(client: Client, indexed: list, eager, bundle: Bundle) -> None:
    text, records, _, vectors = eager
    before = client.lookup([]).count
    encoded = [client.encode_video(clip.video) for clip in indexed[:3]]
    for i, record in enumerate(encoded):
        np.testing.assert_allclose(record.tensors["frame_vectors"], vectors[i], atol=1e-4)
        assert np.linalg.norm(record.tensors["mean_embedding"]) == pytest.approx(1, abs=1e-5)
    frames = np.stack([decode(clip.video, bundle.manifest.frames).frames for clip in indexed[:3]])
    for one, other in zip(encoded, client.encode_frames(frames), strict=True):
        np.testing.assert_allclose(one.tensors["frame_vectors"], other.tensors["frame_vectors"], atol=1e-4)
    scores = client.score([clip.captions[0] for clip in indexed], encoded)
    want = score_all(eager_system(bundle).published, text, [x[:3] for x in records])
    np.testing.assert_allclose(scores.scores, want, atol=5e-6)
    assert scores.attention.shape == (len(indexed), 3, bundle.manifest.frames.count)
    assert client.lookup([]).count == before


def test_a_new_video_is_found(client: Client, indexed: list) -> None:
    raw = indexed[0].video.read_bytes()
    for attempt in range(5):
        name = f"fresh-{attempt}"
        client.index(raw, id=name)
        # How soon, `framesift bench gallery` measures.
        until(lambda name=name: name in [hit.id for hit in client.search(indexed[0].captions[0], top=100).hits])


def test_many_clients_at_once(server, indexed: list, monkeypatch: pytest.MonkeyPatch) -> None:
    # Three seconds, after which a search that is refused is given up, are few where others have the processors.
    monkeypatch.setattr(sending, "BUSY_S", 100.0)

    async def ask() -> list:
        async with AsyncClient(server.address, timeout_s=120) as client:
            searches = [client.search(clip.captions[0], top=3) for clip in indexed for _ in range(3)]
            return await asyncio.gather(*searches, *(client.encode_video(clip.video) for clip in indexed[:8]))

    with Client(server.address) as client:
        alone = [[h.id for h in client.search(clip.captions[0], top=3).hits] for clip in indexed for _ in range(3)]
    results = asyncio.run(ask())
    assert [[h.id for h in r.hits] for r in results[: len(alone)]] == alone


def mp4(tmp_path: Path, frames: int, width: int, height: int) -> Path:
    path = tmp_path / f"{frames}-{width}-{height}.mp4"
    write_video(path, np.zeros((frames, height, width, 3), np.uint8))
    return path


def audio_only(tmp_path: Path) -> Path:
    import av

    path = tmp_path / "audio.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("truncated", "truncated"),
        ("audio", "no video"),
        ("empty", "empty"),
        ("text", "unknown or unsupported format"),
        ("wide", "10000"),
    ],
)
def test_bad_videos_are_refused_with_the_cause(
    kind: str, said: str, client: Client, indexed: list, tmp_path: Path
) -> None:
    whole = indexed[0].video.read_bytes()
    raw = {
        "truncated": lambda: whole[: len(whole) // 2],
        "audio": lambda: audio_only(tmp_path).read_bytes(),
        "empty": lambda: b"",
        "text": lambda: b"Dear server, this is not a film.\n" * 50,
        "wide": lambda: mp4(tmp_path, 2, 10_000, 16).read_bytes(),
    }[kind]()
    before = client.lookup([]).count
    with pytest.raises(InvalidVideo, match=f"(?i){said}"):
        client.index(raw, id=f"bad-{kind}")
    assert client.lookup([f"bad-{kind}"]).digests == {}
    assert client.lookup([]).count == before
    assert client.search(indexed[0].captions[0], top=1).hits


def test_a_clip_of_one_frame_is_a_video(client: Client, tmp_path: Path, bundle: Bundle) -> None:
    record = client.encode_video(mp4(tmp_path, 1, 64, 48))
    assert record.timestamps is not None
    assert record.timestamps.tolist() == [0.0] * bundle.manifest.frames.count


@pytest.mark.parametrize("query", ["", "   \n", "\t\r"])
def test_an_empty_query_is_refused(query: str, client: Client) -> None:
    with pytest.raises(InvalidQuery):
        client.search(query)


def test_a_query_of_ten_thousand_words(client: Client, indexed: list) -> None:
    # Up to 64 KiB a text is cut like CLIP cuts it: what counts are the first 75 tokens.
    long = " ".join(["circle"] * 10_000)
    with pytest.raises(InvalidQuery, match="bytes"):
        client.search(long, top=2)
    assert len(client.search(long[:60_000], top=2).hits) == 2
    assert client.search(indexed[0].captions[0], top=1).hits


def test_what_no_client_of_ours_would_send(server, indexed: list) -> None:
    """Wrong dtypes, shapes and lengths over raw gRPC: an error each, and the server lives."""
    import tritonclient.grpc as grpc

    def tensor(name: str, values: np.ndarray, dtype: str) -> grpc.InferInput:
        made = grpc.InferInput(name, list(values.shape), dtype)
        made.set_data_from_numpy(values)
        return made

    text = np.frombuffer(b"a red circle", np.uint8)[None]
    length, top = np.array([[12]], np.int32), np.array([[3]], np.int32)
    good = {"text": (text, "UINT8"), "text_length": (length, "INT32"), "top": (top, "INT32")}
    bad = [
        ("utf-8", {"text": (np.array([[0xC3, 0x28, 0xFF] * 4], np.uint8), "UINT8")}),
        ("text_length", {"text_length": (np.array([[13]], np.int32), "INT32")}),
        ("text_length", {"text_length": (np.array([[-1]], np.int32), "INT32")}),
        ("empty", {"text_length": (np.array([[0]], np.int32), "INT32")}),
        ("top", {"top": (np.array([[0]], np.int32), "INT32")}),
        ("top", {"top": (np.array([[10**6]], np.int32), "INT32")}),
        ("data-type", {"top": (top.astype(np.int64), "INT64")}),
        ("shape", {"top": (np.zeros((1, 2), np.int32), "INT32")}),
        ("batch size", {"text": (text[0], "UINT8")}),
        (
            "batch",
            {
                "text": (np.repeat(text, 33, 0), "UINT8"),
                "text_length": (np.repeat(length, 33, 0), "INT32"),
                "top": (np.repeat(top, 33, 0), "INT32"),
            },
        ),
    ]
    with grpc.InferenceServerClient(server.address) as client:
        for said, change in bad:
            inputs = [tensor(name, *value) for name, value in {**good, **change}.items()]
            with pytest.raises(grpc.InferenceServerException, match=f"(?i){said}"):
                client.infer("search", inputs, client_timeout=60)
        frames = np.zeros((1, 12, 3, 47, 48), np.uint8)
        with pytest.raises(grpc.InferenceServerException, match="(?i)shape"):
            client.infer("encode_frames", [tensor("frames", frames, "UINT8")], client_timeout=60)
        ids = np.full((1, 16), 10**6, np.int64)
        with pytest.raises(grpc.InferenceServerException):
            client.infer("text_encoder", [tensor("token_ids", ids, "INT64")], client_timeout=60)
        with pytest.raises(grpc.InferenceServerException):
            client.infer("search", [tensor("text", text, "UINT8")], client_timeout=60)
        inputs = [tensor(name, *value) for name, value in good.items()]
        assert client.infer("search", inputs, client_timeout=60).as_numpy("scores").shape == (1, 3)


def test_a_scoring_request_is_bounded_and_never_empty(server) -> None:
    import tritonclient.grpc as grpc

    def score(client: grpc.InferenceServerClient, queries: int, videos: int) -> np.ndarray:
        arrays = {
            "text": (np.full((queries, 4), ord("a"), np.uint8), "UINT8"),
            "text_length": (np.full((queries, 1), 4, np.int32), "INT32"),
            "frame_vectors": (np.ones((videos, 1, 12, 128), np.float32), "FP32"),
            "gram_table": (np.ones((videos, 270), np.float32), "FP32"),
        }
        inputs = []
        for name, (array, datatype) in arrays.items():
            made = grpc.InferInput(name, list(array.shape), datatype)
            made.set_data_from_numpy(array)
            inputs.append(made)
        return client.infer("score_text", inputs, client_timeout=60).as_numpy("scores")

    with grpc.InferenceServerClient(server.address) as client:
        for queries, videos, said in (
            (64, 1100, "at most 65536 pairs"),
            (65, 3, "takes 1 to 64 texts"),
            (0, 0, "empty"),
            (0, 3, "empty"),
            (3, 0, "empty"),
        ):
            with pytest.raises(grpc.InferenceServerException, match=said):
                score(client, queries, videos)
        assert score(client, 2, 3).shape == (2, 3)


def test_a_lookup_of_too_many_ids_is_refused(server) -> None:
    import tritonclient.grpc as grpc

    ids, lengths = np.full(5000, 97, np.uint8), np.ones(5000, np.int32)
    inputs = [grpc.InferInput("ids", [5000], "UINT8"), grpc.InferInput("id_lengths", [5000], "INT32")]
    for tensor, values in zip(inputs, (ids, lengths), strict=True):
        tensor.set_data_from_numpy(values)
    with (
        grpc.InferenceServerClient(server.address) as client,
        pytest.raises(grpc.InferenceServerException, match="the limit is 4096"),
    ):
        client.infer("gallery_lookup", inputs, client_timeout=60)


def test_slow_texts_do_not_hold_up_the_others(server, client: Client, indexed: list) -> None:
    def computed_s() -> float:
        encoders = [one.pid for one in model_processes(server.pid) if one.model == "text_encoder"]
        assert encoders
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in encoders)

    hostile = ["a\n" * 32_000] * 32
    before = computed_s()
    client.search_many(hostile, top=1)
    # A whole batch of the worst texts known must cost far less of a processor than a query waits in a queue, ten
    # seconds.
    assert computed_s() - before < 9


def test_a_record_of_another_shape_is_refused(client: Client) -> None:
    record = VideoRecord({"frame_vectors": np.zeros((1, 12, 7), np.float32), "gram_table": np.zeros(270, np.float32)})
    with pytest.raises(InvalidRequest):
        client.score(["a red circle"], [record])


def test_a_deadline_and_a_server_that_is_not_there(client: Client, indexed: list) -> None:
    with pytest.raises(DeadlineExceeded):
        client.search(indexed[0].captions[0], timeout_s=1e-4)
    with Client("127.0.0.1:1") as nobody, pytest.raises(ServerUnavailable, match="framesift serve"):
        nobody.search("anything")


def test_a_bundle_with_a_flipped_byte_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(bundle.root, tmp_path / "bundle")
    path = tmp_path / "bundle" / "video_encoder.onnx"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with (
        pytest.raises(BundleError, match="video_encoder.onnx has changed"),
        running(Bundle.open(tmp_path / "bundle"), tmp_path / "gallery"),
    ):
        pass
