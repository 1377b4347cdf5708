"""Which of a file's tensors are the model's: what authors and their tools wrap around a state_dict, taken off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ..bundle.errors import CheckpointError
from .stored import StoredTensor

Tensors = TypeVar("Tensors")

# Under these keys lies the model, and under those an average of it or another model.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "student")
_BESIDE = ("ema", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema", "model_averaged", "teacher")
# What begins so is of training, and may hold as many tensors as the model and more.
_TRAINING = ("optim", "sched", "lr_", "scaler")
_DEEPEST = 8
# torch's own wrappers and Lightning's say nothing; the others are attributes in which training code kept the model.
_TORCHS = ("module.", "_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_INSIDE = tuple(f".{prefix}" for prefix in _TORCHS[1:])
_ATTRIBUTES = ("model.", "net.", "student.", "online_model.")
_AVERAGES = tuple(f"{name}." for name in _BESIDE)


def state_of(value: Any, key: str | None) -> tuple[dict[str, StoredTensor], list[str]]:
    """The mapping of names to tensors in what a torch file holds.

    Args:
        key: where it lies, as keys with dots between them; by default where most authors put it.

    Returns:
        The tensors, and a line for a person where there was a choice.

    Raises:
        CheckpointError: there is none.
    """
    path: list[str] = []
    notes: list[str] = []
    if key is not None:
        value, path = _follow(value, key), [key]
    seen: dict[tuple[int, int], bool] = {}
    for left in range(_DEEPEST, 0, -1):
        if not isinstance(value, Mapping):
            break
        # A configuration may be called model as well.
        others = [name for name in _BESIDE if _leads_to_tensors(value.get(name), left - 1, seen)]
        inner = next((name for name in _WRAPPERS if _leads_to_tensors(value.get(name), left - 1, seen)), None)
        state = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, StoredTensor)}
        if inner is None and state:
            models = {k: v for k, v in value.items() if k not in _BESIDE and not str(k).startswith(_TRAINING)}
            inner = _only(models, path, more_than=len(state))
            if inner is None:
                return _printable(state), notes
        taken = inner or (others[0] if others else _only(value, path))
        if taken is None:
            break
        if taken not in (*_WRAPPERS, *_BESIDE):
            which = f"which has more tensors than the {len(state)} beside it" if state else "which alone holds tensors"
            notes.append(f"weights: {'.'.join((*path, taken))} was taken, {which} by name")
        rest = [".".join((*path, name)) for name in others if name != taken]
        path.append(taken)
        if others:
            also = "".join(f"; there is also {name} (--key {name})" for name in rest)
            notes.append(f"weights: {'.'.join(path)} was taken{also}")
        value = value[taken]
    raise CheckpointError(
        f"{f'under {key} there' if key else 'it'} is no state_dict: no mapping of names to tensors"
        + ("" if key else "; if it lies under a key of its own, say which (--key)")
    )


def bare_names(state: Mapping[str, Tensors], prefix: str | None) -> tuple[dict[str, Tensors], list[str]]:
    """The model's tensors under its own names.

    torch's prefixes (``module.``, ``_orig_mod.`` and others) go wherever they are. Where most names share one of those
    under which training code keeps a model (``model.``, ``net.``, ``student.``), those that have it are taken and the
    others left out. An average of the model (``ema.``) is left out where the model is there, and is taken where it is
    not.

    Args:
        prefix: take the names that begin so, and no others.

    Returns:
        The tensors, and a line for a person about what was taken and left out.

    Raises:
        CheckpointError: no name begins with ``prefix``, or two are the same without what was taken off.
    """
    notes: list[str] = []
    if prefix is not None:
        under = prefix if prefix.endswith(".") else f"{prefix}."
        taken = _under(state, under)
        if not taken:
            raise CheckpointError(f"no tensor's name begins with {under}; they begin with {_groups(state)}")
        notes.append(_note(under, state))
        state = taken
    names = _renamed(state)
    for _ in range(_DEEPEST if prefix is None else 0):
        model = {name: tensor for name, tensor in names.items() if not name.startswith(_AVERAGES)}
        known, among = (_ATTRIBUTES, model) if model else (_AVERAGES, names)
        found = next((p for p in known if 2 * sum(name.startswith(p) for name in among) > len(among)), None)
        if found is None:
            if len(model) < len(names):
                notes.append(
                    f"weights: {_groups(sorted(names.keys() - model.keys()))} was left out (--prefix takes it)"
                )
            return model or names, notes
        notes.append(_note(found, names))
        names = _renamed(_under(names, found))
    return names, notes


def _leads_to_tensors(value: Any, left: int, seen: dict[tuple[int, int], bool]) -> bool:
    """Whether there are tensors by name in a mapping, or in those within it, ``left`` of them at most one in another.

    Args:
        seen: what was found of a mapping's identity and ``left``: a file may hold one mapping a million times.
    """
    if not isinstance(value, Mapping) or not left:
        return False
    place = id(value), left
    if place not in seen:
        seen[place] = any(
            isinstance(name, str) and (isinstance(inner, StoredTensor) or _leads_to_tensors(inner, left - 1, seen))
            for name, inner in value.items()
        )
    return seen[place]


def _only(value: Mapping[Any, Any], path: Iterable[str], more_than: int = 0) -> str | None:
    """The one key under which there are tensors by name, ``more_than`` so many.

    Raises:
        CheckpointError: there are several such keys.
    """
    counted: dict[int, int] = {}
    found = [
        key
        for key, inner in value.items()
        if isinstance(key, str) and isinstance(inner, Mapping) and _count(inner, counted) > more_than
    ]
    if len(found) > 1:
        under = f" under {'.'.join(path)}" if path else ""
        raise CheckpointError(f"it holds tensors by name{under} in {_groups(found)}: say which are the model's (--key)")
    return found[0] if found else None


def _count(value: Mapping[Any, Any], counted: dict[int, int]) -> int:
    """How many tensors a mapping holds by name; ``counted`` as ``seen`` above."""
    if id(value) not in counted:
        counted[id(value)] = sum(isinstance(k, str) and isinstance(v, StoredTensor) for k, v in value.items())
    return counted[id(value)]


def _follow(value: Any, key: str) -> Any:
    if isinstance(value, Mapping) and key in value:
        return value[key]
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            known = [name for name in value if isinstance(name, str)] if isinstance(value, Mapping) else []
            raise CheckpointError(f"there is no {key} in it; there is {_groups(known)}")
        value = value[part]
    return value


def _printable(state: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    for name in state:
        if not name.isprintable() or len(name) > 1000:
            raise CheckpointError(f"a tensor is called {name[:40]!r}, which is no name")
    return state


def _under(state: Mapping[str, Tensors], prefix: str) -> dict[str, Tensors]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _renamed(state: Mapping[str, Tensors]) -> dict[str, Tensors]:
    renamed: dict[str, Tensors] = {}
    for name, tensor in state.items():
        # A compiled or wrapped part of a model has torch's prefix in the middle.
        bare = name
        for inside in _INSIDE:
            bare = bare.replace(inside, ".")
        while bare.startswith(_TORCHS):
            bare = bare.partition(".")[2]
        if bare in renamed:
            raise CheckpointError(f"two tensors are called {bare}, with and without torch's prefixes")
        renamed[bare] = tensor
    return renamed


def _note(prefix: str, state: Mapping[str, object]) -> str:
    left = [name for name in state if not name.startswith(prefix)]
    return f"weights: the tensors under {prefix} were taken" + (f", not {_groups(left)}" if left else "")


def _groups(names: Iterable[str]) -> str:
    """The first parts of names, each once."""
    groups = list(dict.fromkeys(name.partition(".")[0] for name in names))
    shown = ", ".join(f"{group:.40}" for group in groups[:8]) or "nothing"
    return shown + (f" and {len(groups) - 8} more" if len(groups) > 8 else "")
