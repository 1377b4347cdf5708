"""What the documents say of limits, served models, metrics and errors is what the code says."""

from __future__ import annotations

import re

import pytest

from framesift.export.bundle import errors
from framesift.export.bundle import limits as bounds
from framesift.export.bundle.models import (
    FEATURE_READER,
    INDEX_SEGMENT,
    SCORE_IDS,
    SEARCH_DETAILS,
    SEARCH_IDS,
    SEARCH_NAMED,
)
from framesift.export.bundle.scorers import CLIP_POOLING, CROSS_ENCODER, DOT, SCORERS
from framesift.export.bundle.video.limits import DEFAULT_LIMITS as VIDEO
from framesift.export.bundle.video.limits import VideoLimits
from framesift.export.bundle.video.work import PACE
from framesift.serving.client.discover import VIDEO_SUFFIXES
from framesift.serving.front.crowd import GROWN, UNREAD
from framesift.serving.front.deployment import public_models
from framesift.serving.front.gate import MAX_CALLS, MAX_STRANGERS
from framesift.serving.front.inference import MAX_REQUESTS
from framesift.serving.front.overload import HEAP_BYTES, MAX_CONNECTIONS
from framesift.serving.front.public import LARGEST_TENSORS
from framesift.serving.repository.plan import plan
from framesift.serving.repository.render import reference_manifest

from .documents import DOCUMENTS, ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
_VARIABLE = r"FRAMESIFT_[A-Z]+(?:_[A-Z]+)*"
ALL = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)


def section(text: str, title: str) -> str:
    """The part of a page below a heading, up to the next of its kind."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> dict[str, str]:
    """Lines of tables: the first cell, and what follows."""
    found = re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE)
    return {first.strip("`"): others for first, others in found}


def test_the_served_models_are_those_of_the_plan() -> None:
    manifest = reference_manifest()
    page = section(OPERATIONS, "What is served")
    assert set(rows(page)) - {"model"} == set(public_models(manifest))
    behind = set(
        re.findall(r"`(\w+)`", re.sub(r"\s+", " ", page).partition("the steps behind them")[2].partition(")")[0])
    )
    # The reference model takes films; the model that reads feature files stands in the place of its decoder.
    planned = {FEATURE_READER, *(model.name for model in plan(manifest))}
    ensembles = {INDEX_SEGMENT, SEARCH_IDS, SEARCH_DETAILS, SEARCH_NAMED, SCORE_IDS}
    assert behind == planned - public_models(manifest).keys() - ensembles


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("text", f"{bounds.MAX_TEXT_BYTES >> 10} KiB"),
        ("hits of a search", f"{bounds.MAX_TOP:,}"),
        ("id", f"{bounds.MAX_ID_BYTES:,} bytes"),
        ("source", f"{bounds.MAX_SOURCE_BYTES:,} bytes"),
        ("metadata", f"{bounds.MAX_METADATA_BYTES >> 10} KiB"),
        ("ids of one lookup", f"{bounds.MAX_IDS:,};"),
        (
            "a filter",
            f"{bounds.MAX_WHERE_BYTES:,} bytes, {bounds.MAX_FILTER_TESTS} tests, {bounds.MAX_FILTER_DEPTH} deep;",
        ),
        ("hits that pages reach", f"{bounds.MAX_PAGED:,},"),
        ("facts of one answer", f"{bounds.MAX_FACT_BYTES >> 20} MiB "),
        ("videos of a page of a list", f"{bounds.MAX_TOP:,},"),
        ("changes of one request", f"{bounds.MAX_CHANGE_BYTES >> 20} MiB "),
        ("candidates of a search", f"{bounds.MAX_CANDIDATES:,},"),
        (
            "texts of searches in flight",
            f"{DOT.texts_in_flight}; {CROSS_ENCODER.texts_in_flight} for a cross-encoder, "
            f"{CLIP_POOLING.texts_in_flight} where",
        ),
        ("other requests at once", f"{MAX_REQUESTS} "),
        ("open calls", f"{MAX_CALLS:,}; of those who need no token {MAX_STRANGERS:,},"),
        ("connections", f"{MAX_CONNECTIONS:,}, or half of the descriptors"),
        (
            "answers that their clients leave unread",
            f"{UNREAD >> 20} MiB together once the door has grown by {GROWN >> 20} MiB",
        ),
        ("memory of connections and answers", f"{HEAP_BYTES >> 30} GiB"),
        ("a request's tensors", f"{LARGEST_TENSORS >> 20} MiB"),
    ],
)
def test_limits(what: str, told: str) -> None:
    assert rows(section(OPERATIONS, "Limits"))[what].startswith(told)


def test_limits_of_videos() -> None:
    table = rows(section(OPERATIONS, "Videos"))
    names = VIDEO.settings().split()
    settings = [f"{name}={table[name].partition(' | ')[0]}" for name, _, _ in (one.partition("=") for one in names)]
    assert len(table) == len(settings) + 1
    assert VideoLimits(*range(1, len(settings) + 1)).with_settings(settings) == VIDEO
    assert f"8192 x {VIDEO.max_pixels // 8192}" in table["pixels"]
    assert f"at most {bounds.MAX_REQUEST_BYTES >> 20}M" in table["bytes"]
    assert f"less than {PACE / 1e6:.0f} megapixels" in table["work"]


def test_suffixes_of_videos() -> None:
    assert all(f"`{suffix}`" in OPERATIONS for suffix in VIDEO_SUFFIXES)


def test_named_errors_exist() -> None:
    named = set(re.findall(r"`((?:Invalid|Server|Gallery|Bundle|Checkpoint|Framesift)[A-Z]\w+)`", ALL))
    named -= {"ServerLive", "ServerReady"}  # KServe's methods.
    assert len(named) > 4
    assert all(issubclass(getattr(errors, name), errors.FramesiftError) for name in named)


def test_named_metrics_parameters_and_variables_exist() -> None:
    sources = "\n".join(path.read_text() for room in ("serving", "export") for path in (ROOT / room).rglob("*.py"))
    assert set(re.findall(r"`(framesift_[a-z_]+)", ALL)) == set(re.findall(r'"(framesift_[a-z_]+)"', sources))
    rendered = "\n".join(path.read_text() for path in (ROOT / "model_repository").rglob("*.pbtxt"))
    parameters = set(re.findall(r"`(framesift\.[a-z]+_?[a-z]+)`", section(OPERATIONS, "Load")))
    assert parameters
    assert all(f'"{parameter}"' in rendered for parameter in parameters)
    assert set(re.findall(_VARIABLE, ALL)) - set(re.findall(_VARIABLE, sources)) == set()


def test_variables_of_the_tests_exist() -> None:
    told, read = ("\n".join(path.read_text() for path in (ROOT / "tests").rglob(kind)) for kind in ("*.md", "*.py"))
    assert set(re.findall(_VARIABLE, told)) > set()
    assert set(re.findall(_VARIABLE, told)) - set(re.findall(_VARIABLE, read)) == set()


def test_named_scorers_exist() -> None:
    table = section(DESIGN, "One contract: three functions").partition("| scorer |")[2]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert len(named) > 4
    assert named <= set(SCORERS)


def test_named_files_exist() -> None:
    """Paths in the prose of the documents, from the repository's root."""
    prose = re.sub(r"^```.*?^```", "", ALL, flags=re.DOTALL | re.MULTILINE)
    paths = set(re.findall(r"`((?:bench|export|kernels|serving|tests|model_repository)/[\w./-]+)`", prose))
    assert len(paths) > 20
    assert {path for path in paths if "NAME" not in path and not (ROOT / path).exists()} == set()
