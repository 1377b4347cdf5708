"""A checkpoint to a bundle."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import parity
from .bundle.errors import BundleError, CheckpointError
from .bundle.manifest import Manifest
from .bundle.manifest_checks import WEIGHTS
from .bundle.ports import MEAN_EMBEDDING
from .bundle.store import Bundle, seal, staged
from .bundle.video.names import ResizeName, SamplerName
from .checkpoint import Checkpoint, fingerprint, load, save
from .checkpoints.parts import folder_of
from .expected import expected
from .extractors import with_extractor
from .freed import give_back
from .graphs import ports, with_pixels
from .onnx import OPSET, steps, write_graphs
from .parity_rows import demand
from .systems.contract import System
from .systems.inspection import Inspection, Resolved, inspect
from .systems.registry import AUTO
from .vocabulary import tokenizer_files, vocabulary_beside
from .word_vectors import with_word_vectors


def resolve(checkpoint: Checkpoint, options: Mapping[str, Any], system: str = AUTO) -> Resolved:
    """What a checkpoint is, with its options decided.

    Args:
        options: what the weights don't show; what is not given comes from the checkpoint, or is the authors' default.
        system: one of ``registry.SYSTEMS``, or ``AUTO``.

    Raises:
        CheckpointError: no system that is known, or options that it does not have or that contradict the weights.
    """
    inspection = inspect(checkpoint.state, system, checkpoint.options)
    known = {*inspection.found, *inspection.assumed}
    if strangers := sorted(options.keys() - known):
        _refuse_another(checkpoint, options, inspection, strangers)
    saved = {name: value for name, value in checkpoint.options.items() if name in known}
    return inspection.resolve(options, saved=saved)


def _refuse_another(
    checkpoint: Checkpoint, options: Mapping[str, Any], inspection: Inspection, strangers: Sequence[str]
) -> None:
    """Refuse an option that only another system has for which the same weights would do: it treats videos otherwise."""
    other = inspect(checkpoint.state, AUTO, {**checkpoint.options, **options}).card
    if other.name != inspection.card.name:
        raise CheckpointError(
            f"{', '.join(strangers)} is no option of {inspection.card.name}, as which the checkpoint was recognised "
            f"({inspection.weights.why}). Leave it out, or pass --system {other.name} if the weights shall be that "
            "system's, which resizes frames and scores otherwise"
        )


@contextmanager
def silent(_: str, __: int) -> Iterator[Callable[[int], None]]:
    """No progress bar."""
    yield lambda steps: None


def build_bundle(
    checkpoint: Path,
    out: Path,
    *,
    options: Mapping[str, Any],
    system: str = AUTO,
    sampler: SamplerName | None = None,
    resize: ResizeName | None = None,
    shortlist: int | None = None,
    scan_limit: int | None = None,
    merges: Path | None = None,
    extractor: Sequence[Path] = (),
    key: str | None = None,
    prefix: str | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda _: None,
    bar: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = silent,
) -> Bundle:
    """Export a checkpoint; the bundle appears at ``out`` only if every graph agrees with eager PyTorch.

    Args:
        options: what the checkpoint doesn't show, by the system's names: frames, top_k, heads and others.
        system: one of ``registry.SYSTEMS``, or ``AUTO``.
        sampler, resize: by name, where they shall not be the authors'.
        shortlist: how many videos are scored, where that is a short list; as many as the scorer's card says if None.
        scan_limit: the most videos that are scored for a text, where that is bounded; the scorer's card's if None.
        merges: the tokenizer's vocabulary, where it is neither beside the checkpoint nor the one that comes with
            framesift.
        extractor: files of the networks that make features of a film, for a system that has room for them.
        key, prefix: where the weights lie in the file, see ``checkpoint.load``.
        report: called with a line for every step.
        bar: makes a progress bar of a label and a number of steps, to be called with those done.

    Raises:
        CheckpointError, BundleError, ParityError: nothing is left behind.
    """
    file = load(checkpoint, key=key, prefix=prefix)
    file = with_extractor(file, extractor, system, options)
    file, given = with_word_vectors(file, merges, folder_of(checkpoint), system, options)
    for note in file.notes:
        report(note)
    resolved = resolve(file, options, system)
    model = resolved.build()
    authors = resolved.inspection.card.preprocessing.of(model)
    rules = authors.with_rules(sampler, resize)
    report(resolved.describe(rules, authors=rules == authors))
    search = _search_options(model, shortlist, scan_limit)
    vocabulary = given or vocabulary_beside(folder_of(checkpoint), rules.tokenizer)
    if vocabulary is not None and given is None:
        report(f"vocabulary: {vocabulary}, which lies beside the checkpoint, was taken")
    with_pixels(model, rules.pixels)
    with staged(out, overwrite=overwrite) as folder:
        try:
            tokenizer = tokenizer_files(
                file,
                vocabulary,
                folder,
                vocab_size=model.vocab_size,
                max_tokens=model.max_tokens,
                kind=rules.tokenizer,
                cleaning=rules.cleaning,
                fixed_length=model.fixed_length,
                sliced_from=rules.sliced_from,
            )
        except (CheckpointError, BundleError) as error:
            raise resolved.inspection.weights.error(str(error)) from error
        if tokenizer.sliced_from is not None:
            longest = tokenizer.context_length - 2
            report(f"texts of more than {longest} tokens lose their end token, as in the authors' code")
        save(folder / WEIGHTS, model, resolved.options, file.merges)
        options, kept = resolved.options, resolved.kept
        # The model's weights are the file's tensors: held here, they would lie beside those that are widened.
        del file, resolved
        give_back()
        report(expected(model))
        with bar("writing the ONNX graphs", steps(model)) as done:
            write_graphs(model, folder, done)
        frames = rules.frames
        chosen = {} if frames is None else {"sampler": frames.sampler, "resize": frames.resize}
        manifest = Manifest(
            system=model.name,
            scorer=model.scorer.name,
            fingerprint=fingerprint(model.state_dict(), {**kept, **chosen}),
            embed_dim=model.embed_dim,
            frames=rules.frames,
            features=rules.features,
            film=rules.film,
            tokenizer=tokenizer,
            graphs=ports(model),
            options={**options, **search, **model.search_options},
            versions={"opset": str(OPSET), "python": platform.python_version(), **_versions()},
        )
        with bar("comparing every graph with eager float64", parity.steps(model)) as done:
            rows = list(parity.compare_graphs(model, folder, done=done))
        demand(rows)
        seal(folder, replace(manifest, parity=tuple(row.as_json() for row in rows)))
    return Bundle.open(out)


def _search_options(model: System, shortlist: int | None, scan_limit: int | None) -> dict[str, int]:
    """What the manifest says of a search."""
    chooses = any(tensor.name == MEAN_EMBEDDING for tensor in model.video_record)
    usual = model.scorer.shortlist if chooses else None
    if shortlist is not None and usual is None:
        why = "scores every video" if model.scorer.shortlist is None else "keeps no vectors to choose videos by"
        raise CheckpointError(f"{model.name} {why} and has no short list: leave --shortlist out")
    limit = scan_limit or model.scorer.scan_limit
    if scan_limit is not None and model.scorer.scan_limit is None:
        raise CheckpointError(f"{model.name} scores any number of videos: leave --scan-limit out")
    chosen = {} if usual is None else {"shortlist": shortlist or usual}
    if limit is not None and chosen.get("shortlist", 0) > limit:
        raise CheckpointError(f"a short list of {shortlist} videos needs a --scan-limit of as many")
    return chosen if limit is None else {**chosen, "scan_limit": limit}


def eager_system(bundle: Bundle) -> System:
    """The bundle's own weights as the eager system, folded, for comparison.

    Raises:
        BundleError: the weights don't make the system that the manifest names.
    """
    manifest = bundle.manifest
    try:
        system = resolve(load(bundle.file(WEIGHTS)), {}, manifest.system).build().folded()
    except CheckpointError as error:
        raise BundleError(f"{bundle.root} holds no {manifest.system} that this framesift knows: {error}") from error
    return with_pixels(system, manifest.pixels)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("framesift", "torch", "onnx", "onnxruntime")}
