"""Names, dtypes and symbolic dimensions of every graph's inputs and outputs.

The names of tensors are written here and nowhere else. A dimension is a number, or a name where it varies:
``batch``, ``length`` (token positions), ``queries`` and ``videos``; of a film ``seconds``, ``clips``, ``height`` and
``width``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .spec import GraphPorts, TensorSpec

VIDEO_ENCODER = "video_encoder"
TEXT_ENCODER = "text_encoder"
SCORER = "scorer"
GRAPHS = (VIDEO_ENCODER, TEXT_ENCODER, SCORER)
# A graph that not every bundle has: from a video's record to the text record that stands for it in a search.
LIKE_ENCODER = "like_encoder"

FRAMES = "frames"
# 1 for a frame of the video and 0 for padding, and the draw of a system that selects with noise.
MASK = "mask"
NOISE = "noise"
# Features of a video's regions, where these lie in the picture, and features of its actions.
REGIONS = "features_regions"
LOCATIONS = "features_locations"
REGIONS_MASK = "features_mask"
ACTIONS = "features_actions"
# A whole film: a picture a second with its own sides, and clips of pictures.
FILM_SECONDS = "film_seconds"
FILM_CLIPS = "film_clips"
# The inputs that are made of a film; the others are made of a feature file.
OF_FRAMES = frozenset({FRAMES, MASK, NOISE, FILM_SECONDS, FILM_CLIPS})
FRAME_EMBEDDINGS = "frame_embeddings"
FRAME_MASK = "frame_mask"
VIDEO_EMBEDDING = "video_embedding"
# The mean of the unit vectors of several views of a video, which is shorter.
VIEWS_EMBEDDING = "views_embedding"
# The vectors of several experts, one behind the other; of a video, which of them it has; of a text, how much it minds.
EXPERT_EMBEDDINGS = "expert_embeddings"
EXPERT_MASK = "expert_mask"
EXPERT_LOGITS = "expert_logits"
MEAN_EMBEDDING = "mean_embedding"
FRAME_VECTORS = "frame_vectors"
GRAM_TABLE = "gram_table"
TOKEN_IDS = "token_ids"
TEXT_EMBEDDING = "text_embedding"
MIXED_TEXT_EMBEDDING = "mixed_text_embedding"
WORD_EMBEDDINGS = "word_embeddings"
MIXED_WORD_EMBEDDINGS = "mixed_word_embeddings"
# Embeddings with the position that a cross-encoder gives them.
PLACED_TEXT = "placed_text"
PLACED_FRAMES = "placed_frames"
PLACED_WORDS = "placed_words"
PLACED_PATCHES = "placed_patches"
VISUAL_TOKENS = "visual_tokens"
REGION_EMBEDDINGS = "region_embeddings"
ACTION_EMBEDDINGS = "action_embeddings"
# 1 for what counts and 0 for padding or for what is missing.
WORD_MASK = "word_mask"
REGION_MASK = "region_mask"
MASKS = frozenset({MASK, FRAME_MASK, REGIONS_MASK, REGION_MASK, WORD_MASK, EXPERT_MASK})
LOGIT_VECTOR = "logit_vector"
READOUT_VECTOR = "readout_vector"
TEXT_SCALARS = "text_scalars"
SCORES = "scores"
ATTENTION = "attention"

# Tensors that only the served models know.
VIDEO = "video"
FEATURES = "features"
ID = "id"
IDS = "ids"
ID_LENGTHS = "id_lengths"
DIGEST = "digest"
DIGESTS = "digests"
SOURCE = "source"
METADATA = "metadata"
TIMESTAMPS = "timestamps"
DURATION = "duration"
# Of a row of the gallery: which part of its film it is of, of how many, and where that begins and ends in seconds.
SEGMENT = "segment"
SEGMENTS = "segments"
START = "start"
END = "end"
# How the film is cut that comes with a request, or that a row of the gallery is of, as JSON; of a row it is empty where
# the film is whole. Which segment is to be decoded, as JSON; and which was: number, count, start and end.
CUTTING = "cutting"
PART = "part"
SPAN = "span"
TEXT = "text"
TEXT_LENGTH = "text_length"
TOP = "top"
# Ids of the videos that a search is for: a row's joined, and the bytes of each. One of no bytes stands for all videos.
CANDIDATES = "candidates"
CANDIDATE_LENGTHS = "candidate_lengths"
# Where candidates came from that another model chose, as JSON.
SHORTLIST = "shortlist"
# What a request asks for beside its tensors, and what it is answered beside them: JSON objects.
OPTIONS = "options"
DETAILS = "details"
# What is to become of videos, a JSON object for each: joined, and the bytes of each.
CHANGES = "changes"
CHANGE_LENGTHS = "change_lengths"
PRESENT = "present"
COUNT = "count"
VERSION = "version"
# Whether the videos that were found are surely the best, how many were scored for that, and the share of the best that
# searches had where a coarse stage was calibrated.
EXACT = "exact"
RESCORED = "rescored"
RECALL = "recall"


def graph_ports(
    video_inputs: Sequence[TensorSpec],
    text_record: Sequence[TensorSpec],
    video_record: Sequence[TensorSpec],
    *,
    length: int | None = None,
    attends: bool = False,
    like: Sequence[TensorSpec] = (),
) -> dict[str, GraphPorts]:
    """The ports of a system's graphs, from its tensors without their batch.

    Args:
        video_inputs: what the video encoder takes, frames [F, 3, H, W] first where it takes any.
        length: token positions of every text, where the text encoder takes no other number.
        attends: whether the scorer also returns the weight of each frame.
        like: the tensors of the video record by which a video is searched with; none where that can't be.
    """
    ids = TensorSpec(TOKEN_IDS, "int64", (length or "length",))
    scores = [TensorSpec(SCORES, "float32", ("queries", "videos"))]
    if attends:
        scores.append(TensorSpec(ATTENTION, "float32", ("queries", "videos", video_inputs[0].dims[0])))
    read = (*_batched(_scored(text_record), "queries"), *_batched(_scored(video_record), "videos"))
    found = {
        VIDEO_ENCODER: GraphPorts(_batched(video_inputs, "batch"), _batched(video_record, "batch")),
        TEXT_ENCODER: GraphPorts(_batched([ids], "batch"), _batched(text_record, "batch")),
        SCORER: GraphPorts(read, tuple(scores)),
    }
    if like:
        found[LIKE_ENCODER] = GraphPorts(_batched(like, "batch"), _batched(text_record, "batch"))
    return found


def _scored(record: Iterable[TensorSpec]) -> list[TensorSpec]:
    return [spec for spec in record if spec.scored]


def _batched(specs: Iterable[TensorSpec], dimension: str) -> tuple[TensorSpec, ...]:
    return tuple(spec.batched(dimension) for spec in specs)
