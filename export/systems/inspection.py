"""A checkpoint's system: which it is, what its weights show, what has to be assumed, and the model of given options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..bundle.errors import CheckpointError
from ..checkpoint import fit
from .card import SystemCard
from .contract import System
from .preprocessing import Preprocessing
from .registry import AUTO, SYSTEMS, card_of, cards
from .unfilled import Unfilled
from .weights import Weights, listed


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint's weights show of its system.

    ``found`` was read off the weights; ``assumed`` is the authors' default for what they don't show, and may be given
    otherwise. Each value has its reason.
    """

    card: SystemCard[Any]
    weights: Weights
    sizes: Any
    assumed: Mapping[str, tuple[Any, str]]

    @property
    def found(self) -> Mapping[str, Any]:
        """Options that the weights show."""
        return self.weights.found

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of tensors that the authors' inference doesn't read."""
        prefixes = self.card.unused(self.found)
        return tuple(key for key in self.weights.state if key.startswith(prefixes))

    def resolve(self, options: Mapping[str, Any] | None = None, *, saved: Mapping[str, Any] | None = None) -> Resolved:
        """Decide every option: as found, as given, as ``saved`` in the checkpoint, or else as assumed.

        Raises:
            CheckpointError: an option is unknown to the system, of another kind, or contradicts the weights.
        """
        # JSON has no tuples.
        asked = {**(saved or {}), **(options or {})}
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in asked.items()}
        declared = {option.name: option for option in self.card.options}
        for name, value in given.items():
            if name in self.found and value != self.found[name]:
                raise CheckpointError(
                    f"{name} is {value} by the options but {self.found[name]} by the checkpoint's weights "
                    f"({self.weights.reasons[name]})"
                )
            if name not in self.found and name not in self.assumed:
                known = ", ".join(sorted({*self.found, *self.assumed}))
                raise CheckpointError(f"{self.card.name} has no option {name}; it has {known}")
            if name in self.assumed:
                declared[name].check(value, self.assumed[name][0])
        kept = {name: given.get(name, value) for name, (value, _) in self.assumed.items()}
        for name, (most, why) in self.weights.most.items():
            if (value := {**kept, **self.found}.get(name, most)) > most:
                raise self.weights.error(f"{name} is {value}, {why}")
        return Resolved(self, kept, frozenset(options or ()), frozenset(saved or ()) - frozenset(options or ()))


@dataclass(frozen=True)
class Resolved:
    """An inspected checkpoint with all options decided.

    ``kept`` are those that the weights don't show, as given or as assumed: plain values, to be kept beside the weights.
    ``inspect`` and these make the same model of its own state_dict. ``given`` names those that the caller gave, and
    ``saved`` those that came with the weights.
    """

    inspection: Inspection
    kept: Mapping[str, Any]
    given: Collection[str] = ()
    saved: Collection[str] = ()

    @property
    def options(self) -> Mapping[str, Any]:
        """Every option."""
        return {**self.inspection.found, **self.kept}

    def build(self) -> System:
        """The system with the checkpoint's weights, in evaluation mode, float32.

        Raises:
            CheckpointError: options that make no model; or tensors are missing, left over or misshapen: all are
                listed, after what was recognised.
        """
        weights, unused = self.inspection.weights, set(self.inspection.unused)
        try:
            with Unfilled():
                system = self.inspection.card.build(self.inspection.sizes, self.options)
        except (CheckpointError, ValueError) as error:
            raise weights.error(str(error)) from error
        try:
            fit(system, {key: tensor for key, tensor in weights.state.items() if key not in unused})
        except (CheckpointError, ValueError) as error:
            raise weights.unfit(str(error)) from error
        return system.eval()

    def describe(self, preprocessing: Preprocessing, *, authors: bool = True) -> str:
        """What was found and why, and what was given or assumed, in lines for a person.

        Args:
            preprocessing: in the sizes of the system.
            authors: whether it is the authors'.
        """
        inspection = self.inspection
        weights = inspection.weights
        lines = [f"{inspection.card.name}: {weights.why}", f"  towers: {weights.towers}"]
        found = [f"{name} = {_short(value)}: {weights.reasons[name]}" for name, value in weights.found.items()]
        as_given = [f"{name} = {_short(value)}" for name, value in self.kept.items() if name in self.given]
        as_saved = [f"{name} = {_short(value)}" for name, value in self.kept.items() if name in self.saved]
        assumed = [
            f"{name} = {_short(value)}: {inspection.assumed[name][1]}"
            for name, value in self.kept.items()
            if name not in self.given and name not in self.saved
        ]
        for heading, entries in (
            ("found in the weights", found),
            ("as given", as_given),
            ("as saved with the weights", as_saved),
            ("assumed, can be given", assumed),
        ):
            lines += [f"  {heading}:", *(f"    {entry}" for entry in entries)] if entries else []
        rules = "the authors', assumed" if authors else "with rules as given"
        lines.append(f"  preprocessing, {rules}: {preprocessing.describe()}")
        if inspection.unused:
            lines.append(f"  not read by the authors' inference: {listed(inspection.unused)}")
        return "\n".join(lines)


def inspect(state: Mapping[str, Tensor], system: str = AUTO, given: Collection[str] = ()) -> Inspection:
    """Recognise the system of a state_dict by its keys and shapes alone, or read it as ``system``.

    Args:
        state: normalised, see ``checkpoint.normalised``.
        system: one of ``registry.SYSTEMS``, or ``AUTO``.
        given: names of options that are known; they may distinguish a system from another with the same weights.

    Raises:
        CheckpointError: no system here has such tensors, or one that the system needs is missing or misshapen.
    """
    if system not in (AUTO, *SYSTEMS):
        raise CheckpointError(f"there is no system {system}: framesift knows {', '.join(SYSTEMS)}")
    signs = ((card, sign) for card in cards() for sign in card.signs if sign.given is None or sign.given in given)
    found = next(((card, sign) for card, sign in signs if any(key.startswith(sign.prefix) for key in state)), None)
    if found is None:
        raise CheckpointError(
            f"no system is known whose checkpoint holds {listed(state) or 'nothing'}: framesift knows "
            f"{', '.join(SYSTEMS)}. If its model's names begin with something of their own, say what (--prefix)"
        )
    card, why = found[0], found[1].why
    asked = card if system == AUTO else card_of(system)
    if asked.signs != card.signs:
        why = f"as was asked for, though by its tensors it is {card.name}: {why}"
    weights = Weights(state, asked.name, why, _bring(asked))
    sizes = asked.infer(weights)
    assumed = asked.assume(sizes, weights.found)
    if system != AUTO:
        by_name = f"the system asked for is {system}"
        assumed |= {name: (value, by_name) for name, value in asked.implied.items()}
    return Inspection(asked, weights, sizes, assumed)


def _bring(card: SystemCard[Any]) -> str:
    """Which file would do, where the one at hand does not."""
    if card.code:
        return f"bring a whole checkpoint of {card.title}, with the names that {card.code} gives it"
    return f"bring a whole one in the layout that docs/systems/{card.page or card.name}.md describes"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
