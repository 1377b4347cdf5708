"""A system's card: how its checkpoints are recognised, its options, how it is built, and its authors' preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .contract import System
from .options import Option
from .preprocessing import Preprocessing
from .weights import Weights

Sizes = TypeVar("Sizes")


@dataclass(frozen=True)
class Sign:
    """What identifies a system's checkpoint: a tensor whose name begins with ``prefix``, and the reason to print.

    Attributes:
        given: an option without which the sign does not count, where the weights of two systems are the same.
    """

    prefix: str
    why: str
    given: str | None = None


@dataclass(frozen=True)
class Example(Generic[Sizes]):
    """A small model with random weights, for tests and benchmarks.

    Attributes:
        name: what distinguishes it from the system's other examples; empty where there is one.
        sizes: of its towers.
        options: those that differ from ``SystemCard.shown`` and from the defaults.
        small: further options that only make it small.
    """

    name: str
    sizes: Sizes
    options: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SystemCard(Generic[Sizes]):
    """What the rest of framesift has to know of a system beside its module.

    Attributes:
        name: what ``--system`` calls it, and the manifest of a bundle.
        title: what its page calls it.
        signs: one of them identifies a checkpoint, unless a card before this one has a sign of its own in it.
        infer: reads the options that the weights show, and the sizes of the towers.
        options: those that the weights may not show; what is neither shown nor given is assumed.
        shown: those that the weights always show, as the authors' models have them.
        build: the module, with random weights, of the towers' sizes and all options that apply.
        preprocessing: the authors' rules.
        unused: by what the weights show, prefixes of tensors that the authors' inference does not read.
        implied: options that asking for the system by its name decides.
        sizes: of the towers that the authors published with.
        lengths: frames and token positions that the authors tested with, those for MSR-VTT first.
        code: the authors' repository on GitHub.
        paddles: whether their checkpoints are Paddle's, not torch's.
        checkpoints: which checkpoints of the authors there are.
        page: the page in ``docs/systems``, where it is another system's.
        vectors: the tensor of word vectors that a file beside the checkpoint brings, where the system needs one.
        networks: begins the names of the networks that make features of a film, which files of their own may bring.
        examples: at least one.
    """

    name: str
    title: str
    signs: tuple[Sign, ...]
    infer: Callable[[Weights], Sizes]
    options: tuple[Option, ...]
    build: Callable[[Sizes, Mapping[str, Any]], System]
    preprocessing: Preprocessing
    sizes: Sizes
    examples: tuple[Example[Sizes], ...]
    shown: Mapping[str, Any] = field(default_factory=dict)
    unused: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda found: ()
    implied: Mapping[str, Any] = field(default_factory=dict)
    lengths: tuple[tuple[int, int], ...] = ((12, 32),)
    code: str = ""
    paddles: bool = False
    checkpoints: str = "none known"
    page: str = ""
    vectors: str = ""
    networks: str = ""

    def assume(self, sizes: Sizes, found: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
        """What is assumed of all options that apply and are not ``found``, with the reasons."""
        missing = (option for option in self.options if option.name not in found and option.applies(sizes, found))
        return {option.name: option.assumed(sizes, found) for option in missing}

    def model(self, sizes: Sizes, options: Mapping[str, Any]) -> System:
        """A system with random weights, the authors' where ``options`` do not say otherwise."""
        known = {**self.shown, **options}
        return self.build(sizes, {name: value for name, (value, _) in self.assume(sizes, known).items()} | known)
