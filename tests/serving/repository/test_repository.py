"""The plan, its configurations, and what a deployment holds."""

from __future__ import annotations

import filecmp
import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.features.profile import FeatureArray, FeatureProfile
from framesift.export.bundle.ports import LIKE_ENCODER, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.bundle.scorers import max_pairs
from framesift.export.bundle.spec import GraphPorts, TensorSpec
from framesift.export.bundle.storages import storage_of
from framesift.export.bundle.store import Bundle, read_manifest
from framesift.serving.repository.config import parse, render, to_text
from framesift.serving.repository.deploy import deploy, link_encoders
from framesift.serving.repository.placement import Placement
from framesift.serving.repository.plan import plan
from framesift.serving.repository.render import differences, reference_manifest, shim, write
from framesift.serving.repository.served import Ensemble, Model

from ..toy_ports import toy_manifest, whole_pairs

COMMITTED = Path(__file__).parents[3] / "model_repository"
PLAN = plan(reference_manifest())
# What a video encoder, a text encoder and a scorer may take and give beside the reference model's.
NOISY = toy_manifest(3, 32, 8, mask=True, noise=(4, 6))
FIXED = toy_manifest(3, 32, 8, scorer="token_frame", dtype="float32", words=20, attends=False)
SLOW = toy_manifest(3, 32, 8, scorer="cross_encoder", mask=True, attends=False)
PAIRS = whole_pairs()
LIKED = replace(
    NOISY,
    graphs={
        **NOISY.graphs,
        LIKE_ENCODER: GraphPorts(NOISY.graphs[VIDEO_ENCODER].outputs[:1], NOISY.graphs[TEXT_ENCODER].outputs),
    },
)
PLANS = {
    "liked": plan(LIKED),
    "reference": PLAN,
    "noisy": plan(NOISY),
    "fixed": plan(FIXED),
    "slow": plan(SLOW),
    "chosen": plan(PAIRS, NOISY),
    "features": plan(whole_pairs(features=FeatureProfile("rows", (FeatureArray("2d", ("rows", 4)),))), FIXED),
}
SERVED = [pytest.param(served, id=f"{name}-{served.name}") for name, found in PLANS.items() for served in found]

# Runs without the environment's .pth files, so that framesift can come from the deployment alone, as in the container.
_IMPORT_ALL = """
import sys
sys.path[:0] = sys.argv[1:3]
import framesift
assert framesift.__file__.startswith(sys.argv[1]), framesift.__file__
import importlib.util
from pathlib import Path
names = []
for path in sorted(Path(sys.argv[3]).glob("*/1/model.py")):
    spec = importlib.util.spec_from_file_location(path.parts[-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names.append(module.TritonPythonModel.__name__)
    if path.parts[-3] == "video_decoder":
        decoder = module.TritonPythonModel()
        decoder.setup({}, path.parent)
        import numpy as np
        (answer,) = decoder.run([{"video": np.frombuffer(b"no video", np.uint8)[None]}])
        assert "unknown or unsupported format" in str(answer), answer
assert "torch" not in sys.modules
print(*names)
"""


@pytest.mark.parametrize("served", SERVED)
def test_a_configuration_survives_its_text(served: Model | Ensemble) -> None:
    config = render(served)
    assert parse(to_text(config)) == config
    assert [tuple(port.dims) for port in config.input] == [port.shape for port in served.inputs]


def test_the_committed_repository_is_what_the_plan_says() -> None:
    assert differences(COMMITTED, reference_manifest()) == []


@pytest.mark.parametrize("ensemble", [p for p in SERVED if isinstance(p.values[0], Ensemble)])
def test_every_step_finds_its_inputs(ensemble: Ensemble) -> None:
    known = {port.name for port in ensemble.inputs}
    for member in ensemble.steps:
        assert {member.called(port.name) for port in member.inputs} - member.optional <= known, member.name
        known |= {member.called(port.name) for port in member.outputs}
    assert {port.name for port in ensemble.outputs} <= known


@pytest.mark.parametrize("served", SERVED)
def test_no_output_is_text_and_no_port_comes_twice(served: Model | Ensemble) -> None:
    assert all(port.dtype in {"uint8", "int32", "int64", "float32", "float64", "bool"} for port in served.outputs)
    for ports in (served.inputs, served.outputs):
        assert len({port.name for port in ports}) == len(ports)


def _named(name: str) -> dict[str, Model | Ensemble]:
    return {served.name: served for served in PLANS[name]}


def test_a_decoder_writes_all_that_the_encoder_reads() -> None:
    found = _named("noisy")
    decoder, encoder = found["video_decoder"], found["video_encoder"]
    assert [(p.name, p.dtype, p.shape) for p in decoder.outputs] == [
        ("frames", "uint8", (3, 3, 32, 32)),
        ("mask", "float32", (3,)),
        ("noise", "float32", (3, 4, 6)),
        ("timestamps", "float32", (3,)),
        ("duration", "float32", (1,)),
        ("span", "float64", (4,)),
    ]
    assert decoder.outputs[:3] == encoder.inputs == found["encode_frames"].inputs
    assert [p.name for p in decoder.inputs] == ["video", "id", "part"]
    assert [p.name for p in found["encode_video"].inputs] == ["video", "id"]
    assert [p.name for p in found["index_video"].inputs] == ["video", "id", "source", "digest", "metadata"]
    assert [p.name for p in found["encode_video"].outputs][-2:] == ["timestamps", "duration"]


def test_only_a_segment_is_asked_for_a_part_and_answered_with_its_span() -> None:
    for name in ("reference", "noisy", "chosen"):
        for ensemble, cut in (("index_video", False), ("index_segment", True)):
            steps = {step.model_name: step for step in render(_named(name)[ensemble]).ensemble_scheduling.step}
            assert ("part" in steps["video_decoder"].input_map) is cut
            assert ("span" in steps["video_decoder"].output_map) is cut
            assert ("part" in steps["gallery_index"].input_map) is cut
            assert ("span" in steps["gallery_index"].input_map) is cut
    assert dict(steps["shortlist_video_decoder"].input_map)["part"] == "part"
    assert "index_segment" not in _named("features")


def test_a_video_without_noise_needs_no_id_to_be_encoded() -> None:
    for name in ("reference", "slow"):
        assert [p.name for p in _named(name)["encode_video"].inputs] == ["video"]
        assert [p.name for p in _named(name)["index_video"].inputs] == ["video", "id", "source", "digest", "metadata"]


def test_only_a_scorer_that_weighs_frames_tells_attention() -> None:
    for name, told in (("reference", True), ("noisy", True), ("fixed", False), ("slow", False)):
        for served in ("scorer", "score_ids", "gallery_search", "search_ids"):
            assert ("attention" in {port.name for port in _named(name)[served].outputs}) is told, (name, served)


def test_a_models_first_request_is_one_that_it_takes() -> None:
    text = render(_named("fixed")["text_encoder"]).model_warmup[0].inputs["token_ids"]
    assert list(text.dims) == [20]
    assert list(render(_named("noisy")["text_encoder"]).model_warmup[0].inputs["token_ids"].dims) == [16]
    warmup = render(_named("noisy")["video_encoder"]).model_warmup[0].inputs
    assert {name: list(entry.dims) for name, entry in warmup.items()} == {
        "frames": [3, 3, 32, 32],
        "mask": [3],
        "noise": [3, 4, 6],
    }
    encoder = _named("noisy")["video_encoder"]
    assert isinstance(encoder, Model)
    assert encoder.warmup is not None
    assert warmup["mask"].input_data_file == "mask"
    assert np.frombuffer(encoder.warmup.files["mask"], np.float32).tolist() == [1, 1, 1]


def test_a_scoring_request_has_as_many_pairs_as_memory_allows() -> None:
    assert max_pairs(reference_manifest()) == max_pairs(NOISY) == 65536
    large = toy_manifest(12, 32, 512, scorer="cross_encoder", attends=False)
    assert max_pairs(large) == (512 << 20) // (4 * 26 * 13 * 512)
    (scorer,) = (served for served in plan(large) if served.name == "scorer")
    assert render(scorer).parameters["framesift.max_rows"].string_value == str(max_pairs(large))
    assert _named("slow")["search_ids"].max_batch < _named("fixed")["search_ids"].max_batch


def test_a_graph_can_not_take_the_name_of_what_a_request_has() -> None:
    graphs = dict(NOISY.graphs)
    graphs["text_encoder"] = replace(graphs["text_encoder"], outputs=(TensorSpec("text", "float32", ("batch", 8)),))
    with pytest.raises(BundleError, match="tensors of the text_encoder can't be named text"):
        plan(replace(NOISY, graphs=graphs))


@pytest.mark.parametrize("name", ["like_words", "shortlist_words"])
def test_a_graph_can_not_take_a_prefix_that_tensors_of_a_search_have(name: str) -> None:
    graphs = dict(NOISY.graphs)
    graphs["text_encoder"] = replace(graphs["text_encoder"], outputs=(TensorSpec(name, "float32", ("batch", 8)),))
    with pytest.raises(BundleError, match=f"tensors of the text_encoder can't be named {name}"):
        plan(replace(NOISY, graphs=graphs))


def test_what_a_search_by_a_video_and_a_text_has_of_both_is_named_apart() -> None:
    graphs = dict(reference_manifest().graphs)
    record, text = graphs["video_encoder"].outputs, graphs["text_encoder"]
    graphs["text_encoder"] = replace(text, inputs=(*text.inputs, replace(text.inputs[0], name=record[0].name)))
    with pytest.raises(BundleError, match=f"tensors of both encoders are named {record[0].name}"):
        plan(replace(reference_manifest(), graphs=graphs))


def test_two_bundles_are_filled_by_one_request_and_searched_by_one() -> None:
    found = _named("chosen")
    assert [p.name for p in found["index_video"].inputs] == ["video", "id", "source", "digest", "metadata"]
    assert [step.name for step in found["index_video"].steps] == [  # type: ignore[union-attr]
        *("video_decoder", "video_encoder", "shortlist_video_decoder", "shortlist_video_encoder", "gallery_index")
    ]
    assert [p.name for p in found["encode_video"].inputs] == ["video"]
    search = render(found["search_ids"])
    plain = ["token_ids", "shortlist_token_ids", "top"]
    assert [port.name for port in search.input] == plain
    for served, beside in (
        ("search_details", ["options"]),
        ("search_named", ["candidates", "candidate_lengths", "options"]),
    ):
        assert [port.name for port in render(found[served]).input] == [*plain, *beside]
    assert search.output[-1].name == "shortlist"
    steps = {step.model_name: dict(step.input_map) for step in search.ensemble_scheduling.step}
    assert steps["shortlist_text_encoder"] == {"token_ids": "shortlist_token_ids"}
    assert steps["gallery_search"]["shortlist_text_embedding"] == "shortlist_text_embedding"
    indexed = {step.model_name: dict(step.input_map) for step in render(found["index_video"]).ensemble_scheduling.step}
    # The film and its id come once, whatever is made of them.
    assert indexed["shortlist_video_decoder"] == {"video": "video", "id": "id"}
    assert indexed["shortlist_video_encoder"] == {name: f"shortlist_{name}" for name in ("frames", "mask", "noise")}
    assert (
        shim(found["shortlist_video_decoder"])
        .splitlines()[2]
        .startswith(  # type: ignore[arg-type]
            "from framesift.serving.backends.video_decoder import VideoDecoder as"
        )
    )
    assert [p.name for p in _named("features")["index_video"].inputs][:2] == ["features", "video"]


def test_only_a_model_with_vectors_chooses_and_only_for_one_that_reads_pairs() -> None:
    with pytest.raises(BundleError, match="finds videos by vectors of its own: serve it without --shortlist-from"):
        plan(SLOW, NOISY)
    with pytest.raises(BundleError, match="reads texts and videos together itself"):
        plan(PAIRS, SLOW)
    rows = FeatureProfile("rows", (FeatureArray("2d", ("rows", 4)),))
    with pytest.raises(BundleError, match="both read a feature file of every video, and a request has one"):
        plan(whole_pairs(features=rows), toy_manifest(3, 32, 8, features=rows, attends=False))


def test_what_no_later_step_reads_is_not_asked_for() -> None:
    graphs = dict(SLOW.graphs)
    text = graphs["text_encoder"]
    graphs["text_encoder"] = replace(text, outputs=(*text.outputs, TensorSpec("first_stage", "float32", ("batch", 8))))
    found = {served.name: render(served) for served in plan(replace(SLOW, graphs=graphs))}
    for ensemble, asked in (("score_ids", False), ("search_ids", True)):
        (step,) = (s for s in found[ensemble].ensemble_scheduling.step if s.model_name == "text_encoder")
        assert ("first_stage" in step.output_map) is asked


@pytest.mark.parametrize("name", ["reference", "liked"])
def test_a_search_by_a_video_writes_no_tensor_twice(name: str) -> None:
    found = _named(name)
    for search, first in (
        ("search_like", "gallery_like"),
        ("search_like_text", "text_encoder"),
        ("search_video", "video_decoder"),
        ("search_video_text", "video_decoder"),
    ):
        config = render(found[search])
        steps = config.ensemble_scheduling.step
        assert (steps[0].model_name, [step.model_name for step in steps][-2:]) == (
            first,
            ["gallery_like", "gallery_search"],
        )
        written = [port.name for port in config.input] + [t for step in steps for t in step.output_map.values()]
        assert len(set(written)) == len(written)
        assert {tensor for step in steps for tensor in step.input_map.values()} <= set(written)
        # A model that draws noise draws it by the id.
        assert ("id" in written) is (name == "liked" and "video" in search)
        brought = {tensor for tensor in steps[-2].input_map if tensor != "options"}
        assert bool(brought) is (search != "search_like")
    for manifest in (SLOW, PAIRS, FIXED):
        assert not [served.name for served in plan(manifest) if "like" in served.name]


def test_frames_travel_as_bytes() -> None:
    for served in PLAN:
        if isinstance(served, Model):
            assert all(port.dtype == "uint8" for port in (*served.inputs, *served.outputs) if port.name == "frames")


def test_queues_of_videos_are_bounded_and_those_of_searches_are_not() -> None:
    models = {served.name: served for served in PLAN if isinstance(served, Model)}
    for name, most in (("video_decoder", 16), ("video_encoder", 16), ("gallery_index", 64)):
        policy = render(models[name]).dynamic_batching.default_queue_policy
        assert (policy.max_queue_size, policy.default_timeout_microseconds) == (most, 60_000_000)
    # A bounded queue would make the server fetch batches late; the door bounds these.
    for name in ("text_encoder", "gallery_search"):
        config = render(models[name])
        assert config.HasField("dynamic_batching")
        assert not config.dynamic_batching.HasField("default_queue_policy")


def test_indexing_stands_back() -> None:
    nice = {served.name: render(served).parameters["framesift.nice"].string_value for served in PLAN}
    assert {name for name, value in nice.items() if value} == {"video_decoder", "video_encoder", "gallery_index"}


def test_the_embedded_server_batches_texts_of_all_lengths() -> None:
    for served in PLAN:
        usual, embedded = render(served), render(served, "embedded")
        if served.name == "text_encoder":
            assert [port.allow_ragged_batch for port in usual.input] == [False]
            assert [port.allow_ragged_batch for port in embedded.input] == [True]
            embedded.input[0].allow_ragged_batch = False
        assert usual == embedded


def test_differences_are_found(tmp_path: Path) -> None:
    write(tmp_path, reference_manifest())
    assert differences(tmp_path, reference_manifest()) == []
    config = tmp_path / "search_ids/config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 32", "max_batch_size: 8"))
    (tmp_path / "video_decoder/1/model.py").write_text("")
    (tmp_path / "scorer/config.pbtxt").unlink()
    (tmp_path / "stranger").mkdir()
    assert sorted(differences(tmp_path, reference_manifest())) == [
        "scorer/config.pbtxt is missing",
        "search_ids/config.pbtxt differs",
        "stranger is not in the plan",
        "video_decoder/1/model.py differs",
    ]
    # Another order of fields or other white space is the same configuration.
    write(tmp_path, reference_manifest())
    config.write_text("# a comment\n" + config.read_text().replace("  ", "      "))
    assert "search_ids/config.pbtxt differs" not in differences(tmp_path, reference_manifest())


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_both_targets_hold_the_same_repository(bundle: Bundle, tmp_path: Path) -> None:
    embedded = deploy(bundle, tmp_path / "e", "embedded")
    container = deploy(bundle, tmp_path / "c", "container")
    assert _files(embedded) == _files(container)
    _, mismatch, errors = filecmp.cmpfiles(embedded, container, sorted(_files(embedded)), shallow=False)
    assert (mismatch, errors) == ([], [])
    # Jobs that index find the graph beside the manifest; all else is copied.
    (link,) = (path for path in tmp_path.rglob("*") if path.is_symlink())
    assert link == tmp_path / "c/door/video_encoder.onnx"
    assert not link.readlink().is_absolute()
    assert link.resolve() == container / "video_encoder/1/model.onnx"


def test_a_storage_is_a_deployment_s_and_tells_what_was_proved(bundle: Bundle, tmp_path: Path) -> None:
    plain = deploy(bundle, tmp_path / "f", "embedded")
    proved = deploy(bundle, tmp_path / "i", "embedded", placement=Placement("int8"))
    for repository, storage in ((plain, "float16"), (proved, "int8")):
        for folder in (repository / "gallery_search" / "1", repository.parent / "door"):
            assert storage_of(read_manifest(folder)) == storage
        for ensemble in ("gallery_search", "search_ids"):
            config = (repository / ensemble / "config.pbtxt").read_text()
            assert ("exact" in config, "rescored" in config) == ((storage == "int8",) * 2)
    assert storage_of(bundle.manifest) == "float16"


def test_jobs_find_the_graph_of_each_of_two_bundles(tmp_path: Path) -> None:
    (tmp_path / "door/shortlist").mkdir(parents=True)
    for served in plan(PAIRS, NOISY):
        (tmp_path / "model_repository" / served.name / "1").mkdir(parents=True)
        (tmp_path / "model_repository" / served.name / "1/model.onnx").write_text(served.name)
    link_encoders(tmp_path, PAIRS, NOISY)
    assert (tmp_path / "door/video_encoder.onnx").read_text() == "video_encoder"
    assert (tmp_path / "door/shortlist/video_encoder.onnx").read_text() == "shortlist_video_encoder"


def test_the_container_needs_nothing_of_this_checkout(bundle: Bundle, tmp_path: Path) -> None:
    repository = deploy(bundle, tmp_path / "c", "container")
    packages = sysconfig.get_path("purelib")
    run = subprocess.run(
        [sys.executable, "-S", "-c", _IMPORT_ALL, str(tmp_path / "c/python"), packages, str(repository)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["GalleryIndex", "GalleryLike", "GalleryLookup", "GallerySearch", "VideoDecoder"]
    requirements = (tmp_path / "c/requirements.txt").read_text()
    assert "pylance" in requirements
    assert "pytriton" not in requirements
    script = tmp_path / "c/run.sh"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


@pytest.mark.parametrize(
    "package",
    [
        "kernels",
        "export/bundle",
        *(f"serving/{name}" for name in ("gallery", "search", "backends", "repository", "front", "server")),
    ],
)
def test_a_package_is_deployed_whole(bundle: Bundle, tmp_path: Path, package: str) -> None:
    deploy(bundle, tmp_path / "c", "container")
    source = COMMITTED.parent / package
    found = {name for name in _files(source) if "__pycache__" not in name}
    assert _files(tmp_path / "c/python/framesift" / package) == found


def test_a_folder_in_use_is_not_written_into(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(BundleError, match="is not empty"):
        deploy(bundle, tmp_path, "embedded")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
