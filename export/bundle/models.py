"""The served models and ensembles: names, parameters of their configurations, and how much one call takes.

The graphs are served under their own names, see ``ports.GRAPHS``.
"""

from __future__ import annotations

# Python models.
VIDEO_DECODER = "video_decoder"
FEATURE_READER = "feature_reader"
GALLERY_INDEX = "gallery_index"
GALLERY_SEARCH = "gallery_search"
GALLERY_LOOKUP = "gallery_lookup"
GALLERY_LIKE = "gallery_like"
GALLERY_MODELS = frozenset({GALLERY_INDEX, GALLERY_SEARCH, GALLERY_LOOKUP, GALLERY_LIKE})

# What clients call. The texts of a search, and of scoring, the front door encodes; ensembles answer the rest.
ENCODE_VIDEO = "encode_video"
ENCODE_FRAMES = "encode_frames"
SCORE_TEXT = "score_text"
INDEX_VIDEO = "index_video"
SEARCH = "search"
# Searches by a video of the gallery and by one that is sent, each alone and beside a text.
SEARCH_LIKE = "search_like"
SEARCH_LIKE_TEXT = "search_like_text"
SEARCH_VIDEO = "search_video"
SEARCH_VIDEO_TEXT = "search_video_text"
LIKE_SEARCHES = (SEARCH_LIKE, SEARCH_LIKE_TEXT, SEARCH_VIDEO, SEARCH_VIDEO_TEXT)
GALLERY_LIST = "gallery_list"
GALLERY_EDIT = "gallery_edit"

# Ensembles that the front door alone calls, with token ids; the second answers searches with options.
SEARCH_IDS = "search_ids"
SEARCH_DETAILS = "search_details"
SEARCH_NAMED = "search_named"
SCORE_IDS = "score_ids"
# One segment of a film.
INDEX_SEGMENT = "index_segment"

# Parameter: how far a model's process stands back when others want the cores, 0 to 19.
NICE = "framesift.nice"
# Parameter of the scorer, for the embedded server's ONNX models and for clients: the most pairs of one request.
MAX_ROWS = "framesift.max_rows"
# Parameter of an encoder on a GPU, for the embedded server: sizes of batches that are recorded as CUDA graphs.
RECORDED = "framesift.recorded"
# Parameter that the front door tells clients: the most bytes of a video.
MAX_VIDEO = "framesift.max_video"

# Parameter that the front door tells clients: the arrays of a feature file, in words.
ARRAYS = "framesift.arrays"

# Parameter of the answer to a search: the rows, joined by commas, whose texts are longer than what is read of them.
CUT = "framesift.cut"
# Parameters of the indexing model, for clients: which model it is, and the folder of its gallery.
SYSTEM = "framesift.system"
FINGERPRINT = "framesift.fingerprint"
GALLERY = "framesift.gallery"
# And, in words, which other model chooses candidates, and its gallery's folder.
CHOOSER = "framesift.shortlist"

# Environment of the models' processes: set in the embedded server's, and the folders of their gallery and of the one
# that chooses candidates.
EMBEDDED_VARIABLE = "FRAMESIFT_EMBEDDED"
GALLERY_VARIABLE = "FRAMESIFT_GALLERY"
SHORTLIST_VARIABLE = "FRAMESIFT_SHORTLIST_GALLERY"

# The server's batches are an engine's largest shapes.
VIDEO_BATCH = 8
TEXT_BATCH = 64
# Of records that are kept in one commit: one of 64 takes half as long again as one of 16.
INDEX_BATCH = 64
