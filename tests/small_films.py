"""HowTo100M with networks of its own for films, small and random, as the files that its authors name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from framesift.export.build import build_bundle
from framesift.export.bundle.store import Bundle
from framesift.export.encoders.film_networks import FilmNetwork, NetworkSizes
from framesift.export.encoders.resnet import FrozenNorm, Stage
from framesift.export.systems.examples import write_word_vectors
from framesift.export.systems.howto100m import HOWTO100M, WORDS, HowTo100m, HowTo100mSizes
from framesift.export.systems.howto100m_film import EXTRACTOR, FilmSizes

SECONDS = 20


def _stages(inner: int, outer: int) -> tuple[Stage, ...]:
    return tuple(Stage(1 + place % 2, inner << place, outer << place) for place in range(4))


FILM = FilmSizes(NetworkSizes(2, 4, _stages(2, 4)), NetworkSizes(3, 4, _stages(4, 8), groups=2))
SIZES = HowTo100mSizes(96, 80, FILM.flat.width + FILM.deep.width, 30, 40, FILM)
OPTIONS = {"width_2d": FILM.flat.width, "film_seconds": SECONDS}


def randomise(network: nn.Module) -> None:
    """Give every normalisation statistics that do something."""
    for module in network.modules():
        if isinstance(module, FrozenNorm):
            for buffer in (module.weight, module.bias, module.running_mean):
                buffer.normal_(1.0 if buffer is module.weight else 0.0, 0.2)
            module.running_var.uniform_(0.5, 2.0)


def small_film_system() -> HowTo100m:
    """Always the same random weights."""
    torch.manual_seed(6)
    system = HOWTO100M.model(SIZES, OPTIONS)
    assert isinstance(system, HowTo100m)
    assert system.extractor is not None
    randomise(system.extractor)
    with torch.no_grad():
        system.word_vectors.weight[0] = 0
    return system.eval()


def write_files(folder: Path) -> tuple[Path, tuple[Path, Path], Path]:
    """The checkpoint, both networks as torchvision and its 3D kin save them, and the words."""
    state = small_film_system().state_dict()
    bare = {key: value for key, value in state.items() if key != WORDS and not key.startswith(EXTRACTOR)}
    torch.save(bare, folder / "howto100m.pth")
    files = folder / "resnet152-small.pth", folder / "resnext101.pth"
    for name, path in zip(("flat", "deep"), files, strict=True):
        prefix = f"{EXTRACTOR}{name}."
        kept = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        width = state[f"{prefix}layer4.0.conv3.weight"].shape[0]
        counted = {"bn1.num_batches_tracked": torch.tensor(7), "fc.weight": torch.ones(10, width)}
        wrapped = {f"module.{key}": value for key, value in {**kept, **counted}.items()}
        torch.save({"state_dict": wrapped} if name == "deep" else {**kept, **counted}, path)
    write_word_vectors(folder / "word_vectors.bin", state[WORDS][1:].numpy())
    return folder / "howto100m.pth", files, folder / "word_vectors.bin"


def film_bundle(folder: Path) -> Bundle:
    """The bundle, made of these files."""
    checkpoint, extractor, words = write_files(folder)
    return build_bundle(checkpoint, folder / "bundle", options=OPTIONS, extractor=extractor, merges=words)


def network(sizes: NetworkSizes, seed: int) -> FilmNetwork:
    """One of the networks, with random weights."""
    torch.manual_seed(seed)
    made = FilmNetwork(replace(sizes))
    randomise(made)
    return made.eval()
