"""KServe v2 through the door, with NVIDIA's own client: every path, and what is refused."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc as plain
import numpy as np
import pytest
import tritonclient.grpc as grpc
from tritonclient.grpc import service_pb2 as pb

from framesift.serving.client.sync import Client

from ...waiting import LIMIT_S, until
from .requests_of import request, search

pytestmark = pytest.mark.server
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


@pytest.fixture
def triton(server, indexed: list) -> Iterator[grpc.InferenceServerClient]:
    with grpc.InferenceServerClient(server.address) as client:
        yield client


@pytest.fixture
def channel(server, indexed: list) -> Iterator[plain.Channel]:
    with plain.insecure_channel(server.address) as opened:
        yield opened


def inputs(texts: tuple[bytes, ...] = (b"a red circle",), top: int = 3) -> list[grpc.InferInput]:
    made = []
    for name, array in search(texts, top).items():
        made.append(grpc.InferInput(name, array.shape, {"uint8": "UINT8", "int32": "INT32"}[array.dtype.name]))
        made[-1].set_data_from_numpy(array)
    return made


def call(channel: plain.Channel, message: Any, path: str = INFER, **options: Any) -> bytes:
    raw = message if isinstance(message, bytes) else message.SerializeToString()
    answer: bytes = channel.unary_unary(path)(raw, timeout=60, **options)
    return answer


def refusal(channel: plain.Channel, message: Any, path: str = INFER, **options: Any) -> tuple[str, str]:
    with pytest.raises(plain.RpcError) as caught:
        call(channel, message, path, **options)
    return caught.value.code().name, caught.value.details()


def triton_models(triton: grpc.InferenceServerClient) -> list[str]:
    """The models that may be called."""
    names = ("encode_frames", "encode_video", "gallery_lookup", "index_video", "score_text", "search")
    return [triton.get_model_metadata(name).name for name in names]


def test_server_and_models_tell_what_they_are(triton: grpc.InferenceServerClient) -> None:
    assert triton.is_server_live()
    # On a busy machine Triton server may not say so in time.
    until(triton.is_server_ready)
    until(lambda: triton.is_model_ready("search"))
    until(lambda: triton.is_model_ready("index_video", "1"))
    assert triton.get_server_metadata().name == "framesift"
    metadata = triton.get_model_metadata("search")
    assert [(port.name, port.datatype, list(port.shape)) for port in metadata.inputs] == [
        ("text", "UINT8", [-1, -1]),
        ("text_length", "INT32", [-1, 1]),
        ("top", "INT32", [-1, 1]),
        ("candidates", "UINT8", [-1, -1]),
        ("candidate_lengths", "INT32", [-1, -1]),
    ]
    config = triton.get_model_config("search").config
    assert (config.max_batch_size, [list(port.dims) for port in config.input]) == (32, [[-1], [1], [1], [-1], [-1]])
    assert [port.name for port in config.input if port.optional] == ["candidates", "candidate_lengths"]
    # Nobody may call the steps, so nobody is told of them.
    assert not config.HasField("ensemble_scheduling")
    assert int(triton.get_model_config("score_text").config.parameters["framesift.max_rows"].string_value) == 65536


def test_statistics_are_those_of_what_answers(triton: grpc.InferenceServerClient) -> None:
    def counted() -> int:
        (stats,) = triton.get_inference_statistics("search").model_stats
        assert (stats.name, stats.version) == ("search", "1")
        return int(stats.inference_stats.success.count)

    def more_than(before: int) -> int:
        # Triton server counts a request once its answer is sent.
        until(lambda: counted() > before)
        return counted()

    before = counted()
    triton.infer("search", inputs())
    plain = more_than(before)
    # Another model answers it, and it is a search all the same.
    triton.infer("search", inputs(), parameters={"facts": True})
    more_than(plain)

    def every() -> dict[str, int]:
        told = triton.get_inference_statistics().model_stats
        return {stats.name: stats.inference_stats.success.count for stats in told}

    found = every()
    # What changes and lists videos are answered by what looks them up and searches.
    assert set(triton_models(triton)) - {"gallery_edit", "gallery_list"} <= set(found)
    # Of the steps, too, which tell where the time goes.
    assert not {"search_ids", "search_details", "search_named"} & set(found)
    assert found["search"] >= plain
    # A step's request, too, may be counted when the search has been answered.
    until(lambda: (now := every())["text_encoder"] >= now["search"] > 0)


def test_an_answer_has_the_id_and_the_outputs_that_were_asked_for(triton: grpc.InferenceServerClient) -> None:
    whole = triton.infer("search", inputs(), request_id="mine")
    names = [output.name for output in whole.get_response().outputs]
    assert names == ["ids", "id_lengths", "scores", "attention", "timestamps", "version"]
    assert whole.get_response().id == "mine"
    part = triton.infer("search", inputs(), outputs=[grpc.InferRequestedOutput("scores")]).get_response()
    assert ([output.name for output in part.outputs], part.id) == (["scores"], "")
    # Beside another text in a batch, the door's own or anybody's, a score may differ in its last digits.
    np.testing.assert_allclose(
        np.frombuffer(part.raw_output_contents[0], np.float32), whole.as_numpy("scores").ravel(), atol=1e-6
    )


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_messages_may_be_compressed(algorithm: str, triton: grpc.InferenceServerClient) -> None:
    plain_scores = triton.infer("search", inputs()).as_numpy("scores")
    found = triton.infer("search", inputs(), compression_algorithm=algorithm).as_numpy("scores")
    np.testing.assert_allclose(found, plain_scores, atol=1e-6)


def test_typed_contents_are_answered_like_raw_ones(channel: plain.Channel) -> None:
    raw = request("search", search())
    typed = pb.ModelInferRequest()
    typed.CopyFrom(raw)
    del typed.raw_input_contents[:]
    for tensor, values in zip(typed.inputs, search().values(), strict=True):
        field = tensor.contents.uint_contents if tensor.datatype == "UINT8" else tensor.contents.int_contents
        field.extend(values.ravel().tolist())
    one, other = (pb.ModelInferResponse.FromString(call(channel, message)) for message in (raw, typed))
    assert one.raw_output_contents[0] == other.raw_output_contents[0]


def test_asynchronous_calls_and_many_threads(triton: grpc.InferenceServerClient) -> None:
    done: queue.Queue = queue.Queue()
    for _ in range(20):
        triton.async_infer("search", inputs(), lambda result, error: done.put(error or result.as_numpy("scores").shape))
    assert [done.get(timeout=LIMIT_S) for _ in range(20)] == [(1, 3)] * 20
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda top: triton.infer("search", inputs(top=top)).as_numpy("scores").shape, range(1, 9))
        )
    assert found == [(1, top) for top in range(1, 9)]


def test_a_stream_is_answered_in_order_and_goes_on_after_an_error(triton: grpc.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    triton.start_stream(lambda result, error: answers.put(error or result))
    tops = [1, 5, 2, 0, 4, 3] * 5
    for number, top in enumerate(tops):
        triton.async_stream_infer("search", inputs(top=top), request_id=str(number))
    triton.async_stream_infer("nothing", inputs())
    found = [answers.get(timeout=LIMIT_S) for _ in range(len(tops) + 1)]
    triton.stop_stream()
    assert "there is no model 'nothing'" in str(found.pop())
    for number, (top, answer) in enumerate(zip(tops, found, strict=True)):
        if top:
            assert answer.get_response().id == str(number)
            assert answer.as_numpy("scores").shape == (1, top)
        else:
            assert "top is 0" in str(answer)


def test_what_a_stream_asked_before_a_message_that_can_not_be_read_is_answered(channel: plain.Channel) -> None:
    right = request("search", search()).SerializeToString()
    # So large that it is not read to its end, and no request.
    wrong = b"\x38\x01" * (2 << 20)
    answers: list[bytes] = []
    with pytest.raises(plain.RpcError) as caught:
        answers.extend(channel.stream_stream(STREAM)(iter([right] * 3 + [wrong]), timeout=60))
    found = [pb.ModelStreamInferResponse.FromString(answer) for answer in answers]
    assert [(answer.error_message, len(answer.infer_response.outputs)) for answer in found] == [("", 6)] * 3
    assert caught.value.code() is plain.StatusCode.INVALID_ARGUMENT


def test_a_stream_that_is_broken_off_harms_nobody(triton: grpc.InferenceServerClient, client: Client) -> None:
    for _ in range(5):
        triton.start_stream(lambda result, error: None)
        for _ in range(30):
            triton.async_stream_infer("search", inputs())
        triton.stop_stream(cancel_requests=True)
    assert len(client.search("a red circle", top=3).hits) == 3


def test_rows_that_go_together_equal_those_that_go_alone(triton: grpc.InferenceServerClient, indexed: list) -> None:
    texts = [clip.captions[0].encode() for clip in indexed] * 3
    alone = {text: triton.infer("search", inputs((text,), 10)) for text in set(texts)}
    with ThreadPoolExecutor(40) as pool:
        together = list(pool.map(lambda text: triton.infer("search", inputs((text,), 10)), texts))
    for text, found in zip(texts, together, strict=True):
        want = alone[text]
        for name in ("ids", "id_lengths", "timestamps"):
            np.testing.assert_array_equal(found.as_numpy(name), want.as_numpy(name))
        # The gallery's files may have been merged meanwhile.
        assert (found.as_numpy("version") >= want.as_numpy("version")).all()
        for name in ("scores", "attention"):
            np.testing.assert_allclose(found.as_numpy(name), want.as_numpy(name), atol=1e-6)


def test_health_as_grpc_has_it(channel: plain.Channel) -> None:
    check = "/grpc.health.v1.Health/Check"

    def asked(service: str) -> bytes:
        name = service.encode()
        return b"\x0a" + bytes([len(name)]) + name if name else b""

    for service in ("", "inference.GRPCInferenceService", "search"):
        until(lambda service=service: call(channel, asked(service), check) == b"\x08\x01")
    assert refusal(channel, asked("text_encoder"), check) == ("NOT_FOUND", "there is no service 'text_encoder' here")
    assert refusal(channel, b"", "/grpc.health.v1.Health/Watch")[0] == "UNIMPLEMENTED"


def test_what_the_protocol_refuses(channel: plain.Channel) -> None:
    assert refusal(channel, request("nothing", {})) == (
        "NOT_FOUND",
        "there is no model 'nothing' to be called here; there are index_video, encode_video, encode_frames, "
        "gallery_lookup, gallery_edit, gallery_list, search, score_text, search_like, search_like_text, search_video, "
        "search_video_text",
    )
    assert refusal(channel, b"\xff\xff")[0] == "INVALID_ARGUMENT"
    assert refusal(channel, b"", "/inference.GRPCInferenceService/RepositoryIndex")[0] == "UNIMPLEMENTED"
    assert refusal(channel, b"", "/anything")[0] == "UNIMPLEMENTED"
    assert refusal(channel, bytes(300 << 20))[0] == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sequence_id": 3}, "sequence_"),
        ({"priority": 1}, "priority"),
        ({"timeout": 5}, "timeout"),
        ({"parameters": {"anything": 1}}, "anything"),
        ({"outputs": [grpc.InferRequestedOutput("ids", class_count=1)]}, "classification"),
        ({"model_version": "2"}, "has the version 1"),
    ],
    ids=["sequence", "priority", "timeout", "parameter", "classification", "version"],
)
def test_what_no_model_of_ours_takes(options: dict[str, Any], said: str, triton: grpc.InferenceServerClient) -> None:
    with pytest.raises(grpc.InferenceServerException, match=said) as caught:
        triton.infer("search", inputs(), **options)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert caught.value.message().startswith("[invalid-request] ")


def test_shared_memory_of_a_client_is_refused(triton: grpc.InferenceServerClient) -> None:
    made = inputs()
    made[0].set_shared_memory("region", 12)
    with pytest.raises(grpc.InferenceServerException, match="takes no parameter 'shared_memory"):
        triton.infer("search", made)


def test_a_message_that_only_names_something_is_short(channel: plain.Channel) -> None:
    for path in ("/grpc.health.v1.Health/Check", "/inference.GRPCInferenceService/ModelReady"):
        code, said = refusal(channel, b"\x0a\x88\x27" + b"x" * 5000, path)
        assert (code, "the limit is 4096" in said) == ("RESOURCE_EXHAUSTED", True)
