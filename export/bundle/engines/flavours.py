"""The two builders that one code drives: TensorRT, and TensorRT for RTX."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from typing import Any

from ..errors import EngineError


@dataclass(frozen=True)
class Flavour:
    """One builder.

    TensorRT times kernels on the GPU of its machine and builds for that GPU. TensorRT for RTX needs no GPU: it builds
    for ``targets``, and the rest is compiled where the engine runs.
    """

    name: str
    title: str
    module: str
    extra: str
    majors: tuple[int, ...]
    targets: tuple[str, ...] = ()

    @property
    def needs_gpu(self) -> bool:
        """Whether it builds on, and for, the GPU of this machine."""
        return not self.targets

    def load(self) -> Any:
        """The Python module.

        Raises:
            EngineError: not installed, its libraries can't be loaded, or a version that framesift does not know.
        """
        try:
            module = importlib.import_module(self.module)
        except ImportError as error:
            hint = f"pip install 'framesift[{self.extra}]'"
            if isinstance(error, ModuleNotFoundError) and error.name == self.module:
                raise EngineError(f"{self.title} is not installed: {hint}") from error
            raise EngineError(f"{self.title} can't be loaded: {error}. Install it again: {hint}") from error
        except OSError as error:
            raise EngineError(f"the libraries of {self.title} can't be loaded: {error}") from error
        found = str(module.__version__)
        if int(found.partition(".")[0]) not in self.majors:
            known = " and ".join(f"{major}.x" for major in self.majors)
            raise EngineError(f"{self.title} {found} is installed, framesift builds with {known}")
        return module

    def cuda(self) -> int | None:
        """The major version of CUDA for which the installed package was made, None where its name doesn't tell."""
        names = (
            *packages_distributions().get(self.module, ()),
            *packages_distributions().get(f"{self.module}_libs", ()),
        )
        found = [name.partition("cu1")[2][:1] for name in names if "cu1" in name]
        return 10 + int(found[0]) if found and found[0].isdigit() else None

    def check_targets(self, given: Sequence[str], here: str | None = None) -> tuple[str, ...]:
        """The compute capabilities to build for, without repetition, in ascending order.

        Args:
            here: that of this machine's GPU, for which a flavour that takes targets builds where none is given.

        Raises:
            EngineError: one that it can't build for, some where it builds for its own GPU alone, or none where it
                needs some.
        """
        if self.needs_gpu:
            if given:
                raise EngineError(
                    f"{self.title} builds for the GPU of its machine and takes no --target; "
                    f"--flavour {RTX.name} builds for {', '.join(RTX.targets)}"
                )
            return ()
        known = ", ".join(self.targets)
        if not given and here is not None:
            given = (here,)
        if not given:
            raise EngineError(f"{self.title} must be told what to build for: give --target, one or more of {known}")
        if unknown := sorted(set(given) - set(self.targets)):
            raise EngineError(
                f"{self.title} can't build for {', '.join(unknown)}; it builds for {known}. For another GPU run "
                f"--flavour {TENSORRT.name} on a machine that has it"
            )
        return tuple(target for target in self.targets if target in given)


TENSORRT = Flavour("tensorrt", "TensorRT", "tensorrt", "gpu", (10, 11))
RTX = Flavour(
    "rtx",
    "TensorRT for RTX",
    "tensorrt_rtx_bindings",
    "rtx",
    (1,),
    ("sm_75", "sm_80", "sm_86", "sm_89", "sm_120", "sm_121"),
)
FLAVOURS = {flavour.name: flavour for flavour in (TENSORRT, RTX)}


def flavour(name: str) -> Flavour:
    """A flavour by its name.

    Raises:
        EngineError: not one of ``FLAVOURS``.
    """
    if name not in FLAVOURS:
        raise EngineError(f"there is no flavour {name}; there are {', '.join(FLAVOURS)}")
    return FLAVOURS[name]
