"""Which published system a checkpoint is, from its keys and shapes alone, and the model that its weights make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from torch import Tensor

from ..bundle.errors import CheckpointError
from ..checkpoint import fit, normalised
from . import clip4clip, dgl, dong2026, stan, ts2net, xclip, xpool
from .contract import System
from .inspection import Findings, listed
from .preprocessing import PROFILES, Preprocessing

AUTO = "auto"
_MODULES: Mapping[str, ModuleType] = {
    "dong2026": dong2026,
    "xpool": xpool,
    "clip4clip": clip4clip,
    "xclip": xclip,
    "ts2net": ts2net,
    "dgl": dgl,
    "stan": stan,
    "mugstan": stan,
}
SYSTEMS = (AUTO, *_MODULES)
# Names that say more than which module: STAN and Mug-STAN have the same weights.
_IMPLIED: Mapping[str, Mapping[str, Any]] = {"stan": {"head": "stan"}, "mugstan": {"head": "mug"}}
# The first system that has a tensor whose name starts so is the checkpoint's: those above have what those below have.
_SIGNS: tuple[tuple[str, ModuleType, str], ...] = (
    ("temporal_encoding", dong2026, "it has the reference model's temporal_encoding"),
    ("clip.visual.STAN_", stan, "it has STAN's branch, STAN_S_layers and STAN_T_layers"),
    ("clip.unified_prompt_embedding.", dgl, "it has DGL's unified_prompt_embedding"),
    ("clip.visual_prompt_embedding", dgl, "it has DGL's visual_prompt_embedding"),
    ("visual_token_selector.", ts2net, "it has TS2-Net's visual_token_selector"),
    ("global_mat_weight", xclip, "it has X-CLIP's global_mat_weight"),
    ("pool_frames.", xpool, "it has X-Pool's pool_frames"),
    ("clip.visual.", clip4clip, "it has CLIP's towers and no other system's sign"),
)


@dataclass(frozen=True)
class Recognised:
    """A checkpoint's system.

    ``found`` was read off the weights, ``assumed`` is the authors' default for what the weights don't show and may be
    given as an option. ``reasons`` has a line for each; ``unused`` lists tensors that inference doesn't read.
    """

    system: str
    why: str
    found: Mapping[str, Any]
    assumed: Mapping[str, Any]
    reasons: Mapping[str, str]
    unused: tuple[str, ...]
    preprocessing: Preprocessing

    def describe(self, options: Mapping[str, Any] | None = None, preprocessing: Preprocessing | None = None) -> str:
        """What was found and why, and what was not, in lines for a person.

        Args:
            options: what was settled on, where it may be other than was assumed.
            preprocessing: the same, of pixels and token ids.
        """
        chosen, profile = options or {}, preprocessing or self.preprocessing
        authors = "assumed" if profile == self.preprocessing else "with what was given"
        lines = [f"{self.system}: {self.why}"]
        lines += [f"  towers: {self.reasons['clip']}"]
        lines += [
            f"  {name} = {_short(value)}: {self.reasons[name]}" for name, value in self.found.items() if name != "clip"
        ]
        for name, value in self.assumed.items():
            settled = chosen.get(name, value)
            origin = "assumed" if settled == value else "given"
            lines.append(f"  {name} = {_short(settled)}, {origin}: {self.reasons[name]}")
        lines += [f"  preprocessing, {authors}: {profile.describe()}"]
        if self.unused:
            lines += [f"  not read by the authors' inference: {listed(self.unused)}"]
        return "\n".join(lines)


def recognise(state: Mapping[str, Tensor], system: str = AUTO) -> Recognised:
    """Tell the system of a state_dict, in any spelling that ``normalised`` knows, or read it as ``system``.

    Raises:
        CheckpointError: no system here has such tensors, or one that the system needs is missing or misshapen.
    """
    module, findings = _examine(normalised(state), system)
    return _recognised(module, findings)


def build(state: Mapping[str, Tensor], options: Mapping[str, Any] | None = None, system: str = AUTO) -> System:
    """The system's model with the state_dict's weights, in evaluation mode, float32.

    Args:
        state: in any spelling that ``normalised`` knows.
        options: what the weights don't show, by the names in ``Recognised.assumed``; else the authors' defaults hold.
        system: one of ``SYSTEMS``.

    Raises:
        CheckpointError: as ``recognise``; or an option is unknown or contradicts the weights; or tensors are missing,
            left over or misshapen: all are listed, after what was recognised.
    """
    state = normalised(state)
    module, findings = _examine(state, system)
    values = findings.settle(options or {})
    prefixes = module.unused(findings)
    try:
        model: System = module.build(values)
        fit(model, {key: tensor for key, tensor in state.items() if not key.startswith(prefixes)})
    except (CheckpointError, ValueError) as error:
        raise findings.error(str(error)) from error
    return model.eval()


def settled(
    state: Mapping[str, Tensor], options: Mapping[str, Any] | None = None, system: str = AUTO
) -> dict[str, Any]:
    """The options that the weights don't show, as given or as assumed: plain values, to be kept beside the weights.

    ``build`` makes the same model of a model's own state_dict and these.

    Raises:
        CheckpointError: as ``build`` for the options.
    """
    _, findings = _examine(normalised(state), system)
    findings.settle(options or {})
    return {name: (options or {}).get(name, value) for name, value in findings.assumed.items()}


def _examine(state: Mapping[str, Tensor], system: str) -> tuple[ModuleType, Findings]:
    if system not in SYSTEMS:
        raise CheckpointError(f"there is no system {system}: framesift knows {', '.join(_MODULES)}")
    found = next(((m, why) for sign, m, why in _SIGNS if any(key.startswith(sign) for key in state)), None)
    if found is not None:
        module, why = found
        if system != AUTO:
            if _MODULES[system] is not module:
                why = f"as was asked for, though by its tensors it is {module.SYSTEM}: {why}"
            module = _MODULES[system]
        findings = Findings(module.SYSTEM, state, why)
        module.examine(findings)
        for name, value in _IMPLIED.get(system, {}).items():
            findings.assume(name, value, f"the system asked for is {system}")
        return module, findings
    raise CheckpointError(
        f"no system is known whose checkpoint holds {listed(state) or 'nothing'}: framesift knows {', '.join(_MODULES)}"
    )


def _recognised(module: ModuleType, findings: Findings) -> Recognised:
    prefixes = module.unused(findings)
    values = {**findings.assumed, **findings.found}
    lengths = {name: values[name] for name in ("frames", "max_tokens") if name in values}
    return Recognised(
        system=findings.system,
        why=findings.why,
        found=findings.found,
        assumed=findings.assumed,
        reasons=findings.reasons,
        unused=tuple(key for key in findings.state if key.startswith(prefixes)),
        preprocessing=replace(PROFILES[findings.system], size=findings.found["clip"].image_size, **lengths),
    )


def _short(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
