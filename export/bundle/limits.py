"""The largest requests that are answered; for what a video may be beside its bytes see ``video.limits``."""

from __future__ import annotations

MAX_VIDEO_BYTES = 256 << 20
# Pixels of either side of a picture that a client makes a file of; a server's decoder has limits of its own.
MAX_SIDE_SENT = 8192
# A feature file, and what is in it when it is unpacked.
MAX_FEATURE_BYTES = 256 << 20
# Of a processor, to unpack one: a tenth does for the largest that numpy writes.
MAX_FEATURE_SECONDS = 10.0
# What a gRPC message can hold, less room for all that isn't the video.
MAX_REQUEST_BYTES = (1 << 31) - (8 << 20)
MAX_ID_BYTES = 1024
MAX_SOURCE_BYTES = 4096
MAX_METADATA_BYTES = 64 * 1024
# Objects and lists within one another: readers of JSON end at some hundreds, each at another number.
MAX_METADATA_DEPTH = 64
MAX_TEXT_BYTES = 64 * 1024
# Hits of one text.
MAX_TOP = 1000
# Ids of one lookup: more take seconds, in which no other is answered.
MAX_IDS = 4096
# Videos that a search names, and the bytes of their ids for all its texts.
MAX_CANDIDATES = 4096
MAX_CANDIDATE_BYTES = MAX_CANDIDATES * MAX_ID_BYTES
# Ids of one lookup that asks for facts.
MAX_SHOWN = 64
# Hits that the pages of one search reach.
MAX_PAGED = 4096
# A filter: its bytes, how deep it is nested, and how often it compares a field; and the fields of metadata that can be
# compared, in one gallery, and the characters of their texts.
MAX_WHERE_BYTES = 4096
MAX_FILTER_DEPTH = 32
MAX_FILTER_TESTS = 32
MAX_FIELDS = 1024
MAX_WORD = 256
# A cursor that names as many rows.
MAX_CURSOR_BYTES = 56 << 10
# What the facts of one text's hits, or of a page of a list, may fill: those of later videos are left out.
MAX_FACT_BYTES = 1 << 20
# What is to become of videos, in one request.
MAX_CHANGE_BYTES = 4 << 20
# What a bundle may ask for: frames of a video, their side in pixels, and the bytes of all; positions of a text;
# numbers of a vector; bytes of a tensor of a record.
MAX_FRAMES = 1024
# Pictures of a whole film: ten minutes of 24 a second.
MAX_FILM_FRAMES = 24 * 600
MAX_SIDE = 1024
MAX_CLIP_BYTES = 640 << 20
MAX_POSITIONS = 4096
MAX_WIDTH = 1 << 16
MAX_RECORD_BYTES = 256 << 20
# Videos of a short list.
MAX_SHORTLIST = 100_000
# Pairs of one scoring request; a scorer that holds much for every pair takes fewer, see ``models.MAX_ROWS``.
MAX_PAIRS = 1 << 16
# Segments of a film, and the bytes that say where they are.
MAX_SEGMENTS = 4096
MAX_SEGMENT_BYTES = 256 << 10
