"""The networks that make features of films, against the same written another way; and their files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from framesift.export.bundle.engines.flavours import FLAVOURS
from framesift.export.bundle.errors import CheckpointError, EngineError, InvalidInput
from framesift.export.bundle.features.profile import FeatureArray, FeatureProfile
from framesift.export.bundle.ports import FILM_CLIPS, FILM_SECONDS, VIDEO_ENCODER
from framesift.export.bundle.store import Bundle
from framesift.export.checkpoint import Checkpoint, load
from framesift.export.encoders.film_networks import RESNET_152, RESNEXT_101, FilmNetwork
from framesift.export.extractors import with_extractor
from framesift.export.graphs import VideoEncoder, ports
from framesift.export.onnx import write_graph
from framesift.export.precision.calibration import calibration_inputs
from framesift.export.systems.examples import small_system
from framesift.export.systems.howto100m_film import CLIP_MEAN, MEAN, film_profile
from framesift.export.systems.inspection import inspect
from framesift.export.tensorrt.build import build_engines
from framesift.export.tensorrt.builder import Settings
from framesift.serving.repository.render import reference_manifest

from ..small_films import FILM, OPTIONS, SECONDS, network, small_film_system, write_files

STD = (58.395, 57.12, 57.375)


def published(state: dict[str, Tensor], x: Tensor, *, groups: int) -> Tensor:
    """The network of a state_dict, written out with torch's own batch normalisation. [N, 3, ...] to [N, D]."""
    conv, pool = (F.conv2d, F.max_pool2d) if x.dim() == 4 else (F.conv3d, F.max_pool3d)

    def normed(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias, eps=1e-5)

    stem: Any = 2 if x.dim() == 4 else (1, 2, 2)
    x = pool(normed(conv(x, state["conv1.weight"], stride=stem, padding=3), "bn1").relu(), 3, 2, 1)
    layer = 1
    while f"layer{layer}.0.conv1.weight" in state:
        block = 0
        while (name := f"layer{layer}.{block}.") + "conv1.weight" in state:
            stride = 2 if layer > 1 and block == 0 else 1
            inner = normed(conv(x, state[name + "conv1.weight"]), name + "bn1").relu()
            inner = conv(inner, state[name + "conv2.weight"], stride=stride, padding=1, groups=groups)
            inner = normed(conv(normed(inner, name + "bn2").relu(), state[name + "conv3.weight"]), name + "bn3")
            if name + "downsample.0.weight" in state:
                x = normed(conv(x, state[name + "downsample.0.weight"], stride=stride), name + "downsample.1")
            x = (inner + x).relu()
            block += 1
        layer += 1
    return x.flatten(2).mean(2)


@pytest.mark.parametrize(("kind", "shape"), [("flat", (2, 3, 70, 101)), ("deep", (2, 3, 16, 50, 61))])
def test_a_network_is_the_published_one_before_and_after_folding(kind: str, shape: tuple[int, ...]) -> None:
    sizes = FILM.flat if kind == "flat" else FILM.deep
    made = network(sizes, 3).double()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    want = published(made.state_dict(), x, groups=sizes.groups)
    with torch.no_grad():
        torch.testing.assert_close(made(x), want, atol=1e-12, rtol=1e-12)
        made.fold()
        torch.testing.assert_close(made(x), want, atol=1e-12, rtol=1e-12)
    assert want.std() > 1e-3


def test_the_published_sizes_have_the_published_weights() -> None:
    with torch.device("meta"):
        flat, deep = FilmNetwork(RESNET_152), FilmNetwork(RESNEXT_101)
    # torchvision's 932 tensors without a counter for each of 155 normalisations, and without the classifier's two.
    assert (len(flat.state_dict()), len(deep.state_dict())) == (932 - 155 - 2, 626 - 104 - 2)
    weights = [sum(x.numel() for x in net.parameters()) + sum(x.numel() for x in net.buffers()) for net in (flat, deep)]
    assert weights[0] == pytest.approx(58.3e6, rel=0.01)
    assert weights[1] == pytest.approx(47.7e6, rel=0.02)
    assert flat.state_dict()["layer3.35.conv2.weight"].shape == (256, 256, 3, 3)
    assert deep.state_dict()["layer3.22.conv2.weight"].shape == (512, 16, 3, 3, 3)


def film(generator: torch.Generator, rows: int, seconds: int, clips: int, side: int = 150) -> tuple[Tensor, Tensor]:
    return (
        torch.randint(0, 256, (rows, seconds, 3, 112, side), generator=generator, dtype=torch.uint8),
        torch.randint(0, 256, (rows, clips, 16, 3, 112, 112), generator=generator, dtype=torch.uint8),
    )


def reference(seconds: Tensor, clips: Tensor) -> Tensor:
    """The authors' extractor and model in float64: rows are normalised, run, made unit, and their largest taken."""
    system = small_film_system().double()
    rows = []
    for pictures, parts in zip(seconds.double(), clips.double(), strict=True):
        flat = (pictures / 255 - torch.tensor([0.485, 0.456, 0.406]).double()[:, None, None]) / (
            torch.tensor([0.229, 0.224, 0.225]).double()[:, None, None] + 1e-8
        )
        deep = (parts - torch.tensor([110.6, 103.2, 96.3]).double()[:, None, None]).transpose(1, 2)
        found = []
        for name, x in (("flat", flat), ("deep", deep)):
            net = system.extractor[name]  # type: ignore[index]
            made = published(net.state_dict(), x, groups=net.sizes.groups)
            found.append(F.normalize(made, dim=1).amax(0))
        rows.append(torch.cat([F.normalize(one, dim=0) for one in found]))
    return system.GU_video(torch.stack(rows))  # type: ignore[no-any-return]


@torch.no_grad()
def test_a_films_record_is_that_of_its_features() -> None:
    seconds, clips = film(torch.Generator().manual_seed(2), 2, 3, 2)
    (got,) = VideoEncoder(small_film_system().double())(seconds, clips)
    torch.testing.assert_close(got, reference(seconds, clips), atol=1e-7, rtol=0)
    assert [round(x / 255, 3) for x in (*MEAN, *STD)] == [0.485, 0.456, 0.406, 0.229, 0.224, 0.225]
    assert CLIP_MEAN == (110.6, 103.2, 96.3)


@pytest.mark.slow
@torch.no_grad()
def test_the_graph_reads_films_of_any_length_and_size(tmp_path: Path) -> None:
    system, generator = small_film_system().folded(), torch.Generator().manual_seed(4)
    path = tmp_path / "video_encoder.onnx"
    write_graph(VideoEncoder(system), film(generator, 2, 3, 2, 104), ports(system)[VIDEO_ENCODER], path)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows, seconds, clips, side in ((1, 1, 1, 112), (1, 7, 11, 199), (3, 2, 3, 150)):
        given = film(generator, rows, seconds, clips, side)
        (got,) = session.run(None, dict(zip((FILM_SECONDS, FILM_CLIPS), (x.numpy() for x in given), strict=True)))
        want = reference(*given).numpy()
        assert np.sqrt(np.mean((got - want) ** 2)) < 1e-4 * np.sqrt(np.mean(want**2))


def test_networks_come_in_files_of_their_own(tmp_path: Path) -> None:
    checkpoint, extractor, _ = write_files(tmp_path)
    file = load(checkpoint)
    found = with_extractor(file, extractor[::-1], "auto", OPTIONS)
    assert "films are read by " in found.notes[-1]
    inspection = inspect(found.state, "auto", OPTIONS)
    assert inspection.sizes.film == FILM
    assert inspection.unused == ("extractor.deep.fc.weight", "extractor.flat.fc.weight")
    assert inspection.assumed["film_seconds"][0] == 180
    resolved = inspection.resolve({**OPTIONS, "max_tokens": 20})
    assert "networks of 20 and 20 layers" in resolved.inspection.weights.towers
    assert with_extractor(file, (), "auto", OPTIONS) is file
    assert inspect(file.state, "auto", OPTIONS).sizes.film is None
    film_read = small_film_system().film
    assert film_read is not None
    assert (film_read.seconds.count, film_read.clips.count) == (SECONDS, 24 * SECONDS)


def test_what_is_wrong_with_the_files_is_said(tmp_path: Path) -> None:
    checkpoint, (flat, deep), _ = write_files(tmp_path)
    file = load(checkpoint)
    with pytest.raises(CheckpointError, match="take two networks: give ResNeXt-101 in three dimensions"):
        with_extractor(file, [flat], "auto", OPTIONS)
    with pytest.raises(CheckpointError, match="both hold ResNet-152"):
        with_extractor(file, [flat, flat], "auto", OPTIONS)
    with pytest.raises(CheckpointError, match="holds neither ResNet-152"):
        with_extractor(file, [flat, checkpoint], "auto", OPTIONS)
    state = load(deep).state
    torch.save({key: value for key, value in state.items() if not key.startswith("layer1.0.conv2")}, tmp_path / "cut")
    broken = with_extractor(file, [flat, tmp_path / "cut"], "auto", OPTIONS)
    with pytest.raises(
        CheckpointError, match=r"recognised as howto100m .* has no extractor.deep.layer1.0.conv2.weight"
    ):
        inspect(broken.state, "auto", OPTIONS)
    other = Checkpoint(small_system("clip4clip meanP").state_dict())
    with pytest.raises(CheckpointError, match="no networks that make features of a film: leave --extractor out"):
        with_extractor(other, [flat, deep], "auto", {})
    narrow = with_extractor(file, [flat, deep], "auto", OPTIONS)
    with pytest.raises(CheckpointError, match="the film's networks make 32 and 64 numbers, the weights read 40 and 56"):
        inspect(narrow.state, "auto", OPTIONS).resolve({**OPTIONS, "width_2d": 40, "max_tokens": 20}).build()


def test_lower_precision_and_engines_are_refused_in_words() -> None:
    film = replace(reference_manifest(), system="howto100m", frames=None, film=film_profile(SECONDS))
    rows = FeatureProfile("pooled", (FeatureArray("2d", ("rows", 4)),))
    bundle = Bundle(Path("films"), film)
    with pytest.raises(InvalidInput, match="howto100m reads whole films, and a calibration set is of chosen frames"):
        calibration_inputs(bundle)
    with pytest.raises(InvalidInput, match="reads features, and a calibration set is of chosen frames"):
        calibration_inputs(replace(bundle, manifest=replace(film, film=None, features=rows)))
    with pytest.raises(EngineError, match="reads films of any length, and an engine is built for shapes of a few"):
        build_engines(bundle, FLAVOURS["tensorrt"], Settings())
