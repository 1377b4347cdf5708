"""Systems that read text and video together: what of their checkpoints is recognised, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from framesift.export.build import resolve
from framesift.export.bundle.errors import CheckpointError, InvalidFeatures
from framesift.export.bundle.features.checks import check_arrays
from framesift.export.bundle.features.reading import feature_inputs
from framesift.export.checkpoint import load, normalised
from framesift.export.encoders.resnet import NormedConv
from framesift.export.systems.examples import small_system
from framesift.export.systems.inspection import inspect
from framesift.kernels.rolled_encoder.reference import roll

from ..small_systems import given_options, write_checkpoint
from .golden_cases import FOLDERS


def state_of(name: str) -> dict[str, Tensor]:
    return normalised(small_system(name).state_dict())


def built(state: Mapping[str, Tensor], **options: Any) -> Any:
    return inspect(state).resolve(options).build()


def test_a_film_of_more_frames_than_were_trained_has_frames_without_a_time() -> None:
    state = state_of("all_in_one both")
    trained, longer = built(state, heads=1), built(state, heads=1, frames=7)
    frames = torch.rand(1, 7, 3, 32, 32)
    first, all_ = trained.place_video(frames[:, :5]), longer.place_video(frames)
    torch.testing.assert_close(all_[:, :5], first)
    times = state["transformer.temporal_embed"]
    timed = trained.place_video(frames[:, 5:].expand(-1, 2, -1, -1, -1))
    torch.testing.assert_close(timed[:, :, 1:] - times[:, :2, None], all_[:, 5:, 1:])
    assert built(state, heads=1, frames=2).video_record[0].shape[0] == 2


def test_a_box_may_be_all_zeros() -> None:
    """A region at the corner without a size, as detectors write it behind those that they found."""
    model = small_system("actbert")
    arrays = dict(model.random_arrays(torch.Generator().manual_seed(2)))
    arrays["boxes"][0] = 0
    assert model.features is not None
    ports = {port.name: port for port in model.video_inputs}
    made = feature_inputs(check_arrays(arrays, model.features), model.features, ports)
    assert made["features_locations"][1].tolist() == [0] * 5
    arrays["regions"][0] = 0
    with pytest.raises(InvalidFeatures, match="regions has only zeros in row 0"):
        check_arrays(arrays, model.features)


def test_tokens_are_exchanged_around_the_circle_of_frames() -> None:
    frames = torch.arange(3.0)[None, :, None, None].expand(1, 3, 17, 1)
    rolled = roll(frames)[0, :, :, 0]
    assert rolled[0].tolist() == [0, 2, 2, *[0] * 12, 1, 1]
    assert rolled[2].tolist() == [2, 1, 1, *[2] * 12, 0, 0]


@pytest.mark.parametrize(
    ("trained", "head", "possible"),
    [
        (("vtc",), "vtc", {"vtc"}),
        (("irtr",), "irtr", {"irtr"}),
        (("itm",), "irtr", {"irtr"}),
        (("vtc", "irtr"), "both", {"vtc", "irtr", "both"}),
        (("vtc", "itm"), "vtc", {"vtc", "irtr", "both"}),
    ],
)
def test_the_head_is_what_the_weights_were_trained_for(trained: tuple, head: str, possible: set) -> None:
    state = {key: value for key, value in state_of("all_in_one both").items() if not key.startswith("rank_output")}
    if "vtc" not in trained:
        state = {key: value for key, value in state.items() if not key.startswith(("txt_proj", "vid_proj"))}
    if "irtr" in trained:
        state |= {"rank_output.weight": torch.rand(1, 64), "rank_output.bias": torch.rand(1)}
    state |= {"itm_score.fc.weight": torch.rand(2, 64), "itm_score.fc.bias": torch.rand(2)} if "itm" in trained else {}
    state |= {"mlm_score.bias": torch.rand(9)}
    inspection = inspect(state)
    assert inspection.card.name == "all_in_one"
    assert inspection.assumed["head"][0] == head
    assert inspection.unused == ("mlm_score.bias",)
    for name in ("vtc", "irtr", "both"):
        if name in possible:
            assert built(state, head=name, heads=1).scorer.name == ("dot" if name == "vtc" else "rolled_encoder")
        else:
            with pytest.raises(CheckpointError, match=f"head is '{name}', these weights allow"):
                built(state, head=name)


def test_a_pretrained_matching_head_ranks_by_its_second_row() -> None:
    state = {key: value for key, value in state_of("all_in_one irtr").items() if not key.startswith("rank_output")}
    weight, bias = torch.rand(2, 64), torch.rand(2)
    pretrained = built(state | {"itm_score.fc.weight": weight, "itm_score.fc.bias": bias}, heads=1)
    tuned = built(state | {"rank_output.weight": weight[1:], "rank_output.bias": bias[1:]}, heads=1)
    ids, frames = tuned.random_token_ids(2, 24, torch.Generator().manual_seed(1)), torch.rand(3, 5, 3, 32, 32)
    with torch.no_grad():
        scores = [model.score(model.encode_text(ids), model.encode_video(frames)) for model in (pretrained, tuned)]
    torch.testing.assert_close(*scores)
    assert scores[0].std() > 0


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("all_in_one both", {"transformer.pos_embed": (1, 16, 64)}, "16 rows, which is no square and one"),
        ("all_in_one vtc", {"txt_proj.weight": None, "vid_proj.weight": None}, "none of the heads that score a pair"),
        ("all_in_one irtr", {"pooler.dense.weight": None}, "missing: pooler.dense.weight"),
        ("clipbert", {"transformer.classifier.2.weight": (1500, 32)}, "1500 answers: a model for retrieval has 2"),
        ("clipbert", {"transformer.classifier.0.weight": None}, "it has no transformer.classifier.0.weight"),
        ("clipbert", {"cnn.feature.backbone.res5.0.conv3.weight": None}, "it has no cnn.feature.backbone.res5.0.conv3"),
        ("actbert", {"bert.v_embeddings.image_embeddings.weight": (24,)}, "should have 2 dimensions"),
        ("actbert", {"cls.seq_relationship.weight": (2, 64)}, "mis-shaped: cls.seq_relationship.weight"),
    ],
)
def test_a_damaged_checkpoint_or_another_variant_says_what_it_is(name: str, change: dict, fault: str) -> None:
    state = state_of(name)
    for key, shape in change.items():
        del state[key]
        state |= {} if shape is None else {key: torch.rand(shape)}
    known = "the checkpoint was recognised as " + name.split()[0]
    with pytest.raises(CheckpointError, match=fault) as refused:
        built(state)
    assert str(refused.value).startswith(known)


@pytest.mark.parametrize(
    ("name", "options", "fault"),
    [
        ("clipbert", {"pooling": "median"}, "one of lse, mean, max"),
        ("clipbert", {"image_size": 1000}, "from 64 to 512"),
        ("clipbert", {"max_tokens": 41}, "40 positions"),
        ("all_in_one irtr", {"max_tokens": 25}, "24 positions"),
        ("actbert", {"connection_heads": 7}, "7 heads don't divide the width 64"),
        ("actbert", {"heads": 5}, "5 heads don't divide the width 32"),
    ],
)
def test_options_that_make_no_model_are_refused(name: str, options: dict, fault: str) -> None:
    with pytest.raises(CheckpointError, match=fault):
        built(state_of(name), **options)


def test_paddles_file_gives_the_weights_it_was_written_from(tmp_path: Path) -> None:
    file, _ = write_checkpoint("actbert", tmp_path)
    model = small_system("actbert")
    for protocol in (2, 3, 4):
        arrays = {key: np.asfortranarray(value.numpy()) for key, value in model.state_dict().items()}
        file.write_bytes(pickle.dumps(arrays, protocol=protocol))
        made = resolve(load(file), given_options("actbert")).build()
        for key, value in model.state_dict().items():
            assert torch.equal(made.state_dict()[key], value), (protocol, key)


PADDLES = [
    pytest.param(file, id=f"{folder.name}-{file.stem}") for folder in FOLDERS for file in folder.rglob("*.pdparams")
]


@pytest.mark.parametrize("file", PADDLES)
def test_a_file_that_paddle_wrote_is_read(file: Path) -> None:
    stored = load_file(file.with_suffix(".safetensors"))
    state = load(file).state
    wanted = {key[3:]: value for key, value in stored.items() if key.startswith("sd.")}
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[key], value) for key, value in wanted.items())
    assert inspect(state).card.name == "actbert"


class Runs:
    """Would run if it were unpickled."""

    def __reduce__(self) -> Any:
        return print, ("unpickled",)


class Huge:
    """Would be an array of no numbers whose other size is beyond any."""

    def __reduce__(self) -> Any:
        make, args, state = np.zeros(0, "f4").__reduce__()
        return make, args, (state[0], (0, 1 << 70), *state[2:])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"a": Runs()}, "builtin.*print"),
        ({"a": np.zeros(3, ">f4")}, "big end first"),
        ({"a": np.zeros(3, "U2")}, "big end|no plain numbers"),
        ({"a": np.array([{}])}, "numbers"),
        ({"a": "text"}, "no state_dict"),
    ],
)
def test_what_is_no_state_dict_of_paddles_is_refused(
    content: dict, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.pdparams"
    for protocol in (2, 4):
        file.write_bytes(pickle.dumps(content, protocol=protocol))
        with pytest.raises(CheckpointError, match=fault):
            load(file)
    assert capsys.readouterr().out == ""


def test_a_cut_or_inflated_paddle_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.pdparams"
    whole = pickle.dumps({"a": np.arange(300.0)}, protocol=4)
    for cut in range(0, len(whole), 37):
        file.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError):
            load(file)
    # As many arrays as one likes may name the same bytes.
    shared = np.arange(4096.0)
    many = pickle.dumps({str(n): shared for n in range(2000)}, protocol=4)
    file.write_bytes(many)
    with pytest.raises(CheckpointError, match="claim"):
        load(file)


def test_an_array_of_nothing_beside_a_size_beyond_all_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.pdparams"
    file.write_bytes(pickle.dumps({"a": Huge()}, protocol=4))
    with pytest.raises(CheckpointError, match="sizes are no whole numbers"):
        load(file)


def test_folded_convolutions_are_the_same() -> None:
    model = small_system("clipbert").double()
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, NormedConv):
            for name, buffer in module.norm.named_buffers():
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + (0.5 if "var" in name else 0))
    frames = torch.rand(1, 4, 3, 128, 128, generator=generator).double()
    with torch.no_grad():
        torch.testing.assert_close(model.folded().encode_video(frames), model.encode_video(frames))


def test_regions_are_placed_in_the_picture_and_padded() -> None:
    model: Any = small_system("actbert")
    model = built(model.state_dict(), regions=4, actions=3)
    ports = {port.name: port for port in model.video_inputs}
    arrays = {
        "regions": np.stack([np.full(24, value, np.float32) for value in (1, 3)]),
        "boxes": np.array([[0, 0, 160, 120], [80, 60, 320, 240]], np.float32),
        "actions": np.ones((2, 16), np.float32),
        "width_height": np.array([320, 240], np.float32),
    }
    regions, places, mask, actions = feature_inputs(arrays, model.features, ports).values()
    assert regions[:, 0].tolist() == [2, 1, 3, 0]
    assert places.tolist() == [[0, 0, 1, 1, 1], [0, 0, 0.5, 0.5, 0.25], [0.25, 0.25, 1, 1, 0.5625], [0] * 5]
    assert mask.tolist() == [1, 1, 1, 0]
    assert actions[:, 0].tolist() == [1, 1, 0]
    for change, fault in (
        ({"actions": np.ones((4, 16), np.float32)}, "4 rows, the model reads at most 3"),
        ({"width_height": np.array([0, 240], np.float32)}, "picture's size"),
    ):
        with pytest.raises(InvalidFeatures, match=fault):
            feature_inputs({**arrays, **change}, model.features, ports)
    many = {**arrays, "regions": np.ones((9, 24), np.float32), "boxes": np.ones((9, 4), np.float32)}
    assert feature_inputs(many, model.features, ports)["features_mask"].tolist() == [1] * 4
    assert replace(model.features).describe().startswith("regions [regions, 24], boxes [regions, 4]")
