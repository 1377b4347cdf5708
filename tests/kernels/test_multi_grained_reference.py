"""X-CLIP's score against a loop that follows its formula pair by pair."""

from __future__ import annotations

import math

import pytest
import torch

from framesift.kernels.multi_grained.reference import Matrices, TextRecord, VideoRecord, multi_grained

SHAPES = [(1, 1, 1, 1, 4), (2, 3, 5, 7, 9), (3, 2, 20, 8, 33), (2, 2, 32, 12, 64)]
SCALE = torch.tensor(43.0, dtype=torch.float64)


def case(queries: int, videos: int, words: int, frames: int, width: int) -> tuple[TextRecord, VideoRecord, Matrices]:
    torch.manual_seed(queries + videos + words + frames + width)

    def units(*size: int) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(*size).double(), dim=-1)

    def near_eye(size: int) -> torch.Tensor:
        return 0.8 * torch.eye(size).double() + 0.1 * torch.randn(size, size).double()

    sentence, tokens = units(queries, width), units(queries, words, width)
    text = TextRecord(sentence, sentence @ near_eye(width), tokens, tokens @ near_eye(width))
    video = VideoRecord(units(videos, width), units(videos, frames, width))
    sizes = (words, frames, words, frames, frames, words)
    return text, video, Matrices(*(near_eye(size) for size in sizes))


def attend(values: list[float], matrix: torch.Tensor) -> float:
    top = max(values)
    raised = [math.exp((value - top) / 0.01) for value in values]
    weights = [value / sum(raised) for value in raised]
    size = range(len(values))
    return sum(values[n] * sum(weights[k] * float(matrix[k, n]) for k in size) for n in size)


def pair_score(text: TextRecord, video: VideoRecord, m: Matrices, q: int, v: int) -> float:
    clip, frames = video.video[v], video.frames[v]
    words, mixed = text.words[q], text.words_mixed[q]
    fine = [[float(word @ frame) for frame in frames] for word in mixed]
    per_frame = [attend([row[j] for row in fine], m.word_mat) for j in range(len(frames))]
    per_word = [attend(row, m.frame_mat) for row in fine]
    return (
        float(SCALE)
        * (
            float(text.sentence_mixed[q] @ clip)
            + attend([float(word @ clip) for word in words], m.word_logit)
            + attend([float(text.sentence[q] @ frame) for frame in frames], m.frame_logit)
            + (attend(per_frame, m.frame_mat2) + attend(per_word, m.word_mat2)) / 2
        )
        / 4
    )


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "Q{}-V{}-W{}-F{}-D{}".format(*s))
def test_equals_the_formula_pair_by_pair(shape: tuple[int, int, int, int, int]) -> None:
    text, video, matrices = case(*shape)
    scores = multi_grained(text, video, matrices, SCALE)
    for q in range(shape[0]):
        for v in range(shape[1]):
            assert scores[q, v] == pytest.approx(pair_score(text, video, matrices, q, v), abs=1e-10)


def test_a_pair_alone_and_a_slice_score_as_in_the_batch() -> None:
    text, video, matrices = case(5, 6, 9, 7, 16)
    whole = multi_grained(text, video, matrices, SCALE)
    rows = [(slice(1, 4), slice(2, 5)), *((slice(q, q + 1), slice(v, v + 1)) for q in range(5) for v in range(6))]
    for queries, videos in rows:
        some = TextRecord(*(part[queries] for part in text)), VideoRecord(*(part[videos] for part in video))
        torch.testing.assert_close(multi_grained(*some, matrices, SCALE), whole[queries, videos], atol=1e-11, rtol=0)


def test_records_of_other_lengths_are_refused() -> None:
    text, video, matrices = case(2, 2, 9, 7, 16)
    with pytest.raises(ValueError, match="9 word positions and 6 frames, the weights are for 9 and 7"):
        multi_grained(text, VideoRecord(video.video, video.frames[:, :6]), matrices, SCALE)
