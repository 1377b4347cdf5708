"""The networks that make features of a film: ResNet of pictures, ResNeXt of clips (He et al., 2016; Hara et al., 2018).

Names and arrangement are torchvision's, in which a stage halves its input in the 3x3 convolution of its first block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.nn import functional as F

from .resnet import STEM, FrozenNorm, Stage

_CONVS: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_POOLS: dict[int, Callable[..., Tensor]] = {2: F.max_pool2d, 3: F.max_pool3d}


@dataclass(frozen=True)
class NetworkSizes:
    """A network of 2 or 3 dimensions: channels of its stem, its stages, and groups of the middle convolutions."""

    dims: int
    stem: int
    stages: tuple[Stage, ...]
    groups: int = 1

    @property
    def width(self) -> int:
        """Numbers of a vector of features."""
        return self.stages[-1].outer


RESNET_152 = NetworkSizes(2, STEM, (Stage(3, 64, 256), Stage(8, 128, 512), Stage(36, 256, 1024), Stage(3, 512, 2048)))
RESNEXT_101 = NetworkSizes(
    3, STEM, (Stage(3, 128, 256), Stage(4, 256, 512), Stage(23, 512, 1024), Stage(3, 1024, 2048)), 32
)


class Norm(FrozenNorm):
    """A batch normalisation that moves no more; nothing where it has gone into the convolution before it."""

    folded = False

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] to the same shape."""
        if self.folded:
            return x
        scale, shift = (vector.view(-1, *[1] * (x.dim() - 2)) for vector in self.affine())
        return x * scale + shift


class Bottleneck(nn.Module):
    """A convolution of ones, one of threes in groups, and one of ones, beside what came in."""

    def __init__(self, inside: int, stage: Stage, sizes: NetworkSizes, *, stride: int) -> None:
        super().__init__()
        conv = partial(_CONVS[sizes.dims], bias=False)
        self.conv1, self.bn1 = conv(inside, stage.inner, 1), Norm(stage.inner)
        self.conv2 = conv(stage.inner, stage.inner, 3, stride=stride, padding=1, groups=sizes.groups)
        self.bn2 = Norm(stage.inner)
        self.conv3, self.bn3 = conv(stage.inner, stage.outer, 1), Norm(stage.outer)
        if stride > 1 or inside != stage.outer:
            self.downsample = nn.Sequential(conv(inside, stage.outer, 1, stride=stride), Norm(stage.outer))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] to [N, C', ...]."""
        beside: Tensor = self.downsample(x) if hasattr(self, "downsample") else x
        inner = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        made: Tensor = self.bn3(self.conv3(inner))
        return (made + beside).relu()


class FilmNetwork(nn.Module):
    """The stem, the stages ``layer1`` and on, and the mean of the last one's map."""

    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        self.sizes = sizes
        # A clip's time is not halved by the stem.
        stride = (1, 2, 2) if sizes.dims == 3 else (2, 2)
        self.conv1 = _CONVS[sizes.dims](3, sizes.stem, 7, stride=stride, padding=3, bias=False)  # type: ignore[arg-type]
        self.bn1 = Norm(sizes.stem)
        inside = sizes.stem
        for number, stage in enumerate(sizes.stages, 1):
            blocks = []
            for place in range(stage.blocks):
                blocks.append(Bottleneck(inside, stage, sizes, stride=2 if number > 1 and not place else 1))
                inside = stage.outer
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pictures [N, 3, H, W] or clips [N, 3, T, H, W] to features [N, D]."""
        x = _POOLS[self.sizes.dims](self.bn1(self.conv1(x)).relu(), 3, stride=2, padding=1)
        for number in range(1, 1 + len(self.sizes.stages)):
            x = self.get_submodule(f"layer{number}")(x)
        return x.flatten(2).mean(2)

    def fold(self) -> None:
        """Let every normalisation go into the convolution before it, once."""
        _fold(self)
        for module in self.modules():
            if isinstance(module, Bottleneck):
                _fold(module)
                if hasattr(module, "downsample"):
                    module.downsample[0] = _folded(*module.downsample)


def one_by_one(network: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """What a network makes of rows [N, ...], [N, D], with one of them in memory at a time, in a graph as well."""
    if not torch.compiler.is_exporting():
        return torch.cat([network(row) for row in rows.split(1)])

    def step(carried: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        return carried.clone(), network(row.unsqueeze(0)).squeeze(0)

    made: Tensor = scan(step, torch.zeros(1), rows)[1]
    return made


def sizes_of(dims: int, shapes: Mapping[str, tuple[int, ...]]) -> NetworkSizes:
    """The sizes that a network's tensors show, by the shapes of those under its names.

    Raises:
        KeyError: a tensor that is not there.
    """
    stages: list[Stage] = []
    while any(name.startswith(f"layer{len(stages) + 1}.") for name in shapes):
        name = f"layer{len(stages) + 1}."
        blocks = {key.removeprefix(name).partition(".")[0] for key in shapes if key.startswith(name)}
        outer, inner = shapes[f"{name}0.conv3.weight"][:2]
        stages.append(Stage(len(blocks), inner, outer))
    width = shapes["layer1.0.conv2.weight"]
    return NetworkSizes(dims, shapes["conv1.weight"][0], tuple(stages), width[0] // width[1])


def _fold(module: nn.Module) -> None:
    for number in (1, 2, 3):
        if hasattr(module, f"conv{number}"):
            conv, norm = module.get_submodule(f"conv{number}"), module.get_submodule(f"bn{number}")
            module.add_module(f"conv{number}", _folded(conv, norm))


def _folded(conv: nn.Module, norm: nn.Module) -> nn.Module:
    """The one convolution that both are."""
    assert isinstance(conv, nn.Conv2d | nn.Conv3d)
    assert isinstance(norm, Norm)
    scale, shift = norm.affine()
    made = type(conv)(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        groups=conv.groups,
        device="meta",
    )
    made.weight = nn.Parameter(conv.weight * scale.view(-1, *[1] * (conv.weight.dim() - 1)), requires_grad=False)
    made.bias = nn.Parameter(shift, requires_grad=False)
    norm.folded = True
    return made
