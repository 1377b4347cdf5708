"""Films for models that read features, features for models that read films, and sizes: refused at the door."""

from __future__ import annotations

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidFeatures, InvalidRequest
from framesift.export.bundle.features.profile import FeatureArray, FeatureProfile
from framesift.export.bundle.limits import MAX_FEATURE_BYTES
from framesift.export.bundle.manifest_checks import check_manifest
from framesift.export.bundle.models import ARRAYS, ENCODE_FRAMES, ENCODE_VIDEO, INDEX_VIDEO
from framesift.serving.front.deployment import public_models
from framesift.serving.front.requests import read_request
from framesift.serving.repository.config import render
from framesift.serving.repository.plan import plan
from framesift.serving.repository.render import reference_manifest

from ..toy_ports import toy_manifest
from .requests_of import request

PROFILE = FeatureProfile("pooled", (FeatureArray("2d", ("rows", 6)), FeatureArray("3d", ("steps", 4))))
FEATURES = public_models(toy_manifest(3, 32, 8, features=PROFILE, attends=False))
FILMS = public_models(reference_manifest())
FILE = np.zeros((1, 40), np.uint8)


@pytest.mark.parametrize("model", [INDEX_VIDEO, ENCODE_VIDEO])
def test_the_other_kind_is_refused_with_what_to_bring(model: str) -> None:
    with pytest.raises(InvalidRequest) as film:
        read_request(request(model, {"video": FILE}), FEATURES[model])
    assert str(film.value) == (
        "the model reads feature files, not films: bring an npz or safetensors file of 2d [rows, 6], 3d [steps, 4]"
    )
    with pytest.raises(InvalidRequest) as features:
        read_request(request(model, {"features": FILE}), FILMS[model])
    assert str(features.value) == "the model reads films, not feature files: bring the film itself"
    with pytest.raises(InvalidRequest, match="search takes neither films nor feature files"):
        read_request(request("search", {"features": FILE}), FEATURES["search"])


def test_a_feature_file_has_a_limit() -> None:
    public = FEATURES[INDEX_VIDEO]
    made = request(INDEX_VIDEO, dict.fromkeys(public.inputs, FILE[:, :32]))
    features = next(tensor for tensor in made.inputs if tensor.name == "features")
    features.shape[1] = MAX_FEATURE_BYTES
    assert read_request(made, public).shape("features") == (1, MAX_FEATURE_BYTES)
    features.shape[1] += 1
    with pytest.raises(InvalidFeatures, match=f"has {MAX_FEATURE_BYTES + 1} bytes, the limit is {MAX_FEATURE_BYTES}"):
        read_request(made, public)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (FILE[0], r"features has the shape \[40\]"),
        (FILE.astype(np.float32), "features has the data-type 'FP32'"),
        (np.zeros((2, 3), np.uint8), "takes a batch of 1 to 1 rows"),
    ],
)
def test_the_tensor_of_a_feature_file_is_checked(array: np.ndarray, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_request(request(ENCODE_VIDEO, {"features": array}), FEATURES[ENCODE_VIDEO])


def test_models_of_features_have_no_decoder_and_tell_no_times() -> None:
    served = {each.name: each for each in plan(toy_manifest(3, 32, 8, features=PROFILE, attends=False))}
    assert {"feature_reader", "video_encoder", INDEX_VIDEO} < served.keys()
    assert not {"video_decoder", ENCODE_FRAMES} & served.keys()
    assert all("timestamps" not in {port.name for port in (*each.inputs, *each.outputs)} for each in served.values())
    config = render(served[INDEX_VIDEO])
    assert [step.model_name for step in config.ensemble_scheduling.step] == [
        "feature_reader",
        "video_encoder",
        "gallery_index",
    ]
    assert FEATURES[INDEX_VIDEO].parameters[ARRAYS] == PROFILE.describe()
    assert ARRAYS not in FILMS[INDEX_VIDEO].parameters


def test_a_manifest_of_features_is_read_back() -> None:
    manifest = toy_manifest(3, 32, 8, features=PROFILE, attends=False)
    assert type(manifest).from_json(manifest.to_json()) == manifest
    with pytest.raises(Exception, match=r"lists no .*scorer.onnx"):
        check_manifest(manifest)
