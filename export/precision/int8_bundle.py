"""A bundle whose towers run in 8 bits on a CPU, made from a float32 bundle and passed by the gate."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import parity
from ..build import eager_system
from ..bundle.errors import BundleError, ParityError, PrecisionError
from ..bundle.manifest import Manifest
from ..bundle.manifest_checks import WEIGHTS
from ..bundle.ports import LIKE_ENCODER, SCORER
from ..bundle.store import Bundle, seal, sha256, staged
from ..parity_rows import Row, rows_of
from .calibration import CalibrationSet, Feeds
from .fitting import TOWERS, fitted
from .gate import Gate
from .int8 import Scheme, cpu_graph
from .verdict import GateLimits

PRECISION, INT8 = "precision", "int8"
# How much further than its worst recorded output a quantised graph may be from the eager model on other random inputs;
# another model's weights would show as an error of one.
_SLACK = 5.0


def int8_bundle(
    bundle: Bundle,
    out: Path,
    inputs: CalibrationSet,
    *,
    scheme: Scheme = "static",
    limits: GateLimits | None = None,
    overwrite: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Quantise a bundle's towers for ONNX Runtime's CPU; the new bundle appears only if it ranks well enough.

    Stages go back to float32 as ``fitting.fitted`` says. The scorer stays as it is. The records differ from the float32
    bundle's, so the fingerprint does too, and galleries can't be mixed.

    Args:
        inputs: what to range activations and to judge by; see ``calibration_inputs``. Other videos than a model is for
            give the static scheme ranges that clip the right ones, unseen by the gate.
        scheme: ``static`` makes a row's record independent of the other rows of its batch; ``dynamic`` does not, and
            needs no ranges. Both are equally fast.
        report: called with a line for every step.

    Raises:
        PrecisionError: the bundle is quantised already, or the gate does not hold; the message has the numbers.
        BundleError: ``out`` is taken.
    """
    check_float32(bundle)
    gate = Gate(bundle, inputs, limits)
    with staged(out, overwrite=overwrite) as folder:
        others = (f"{graph}.onnx" for graph in (SCORER, LIKE_ENCODER) if graph in bundle.manifest.graphs)
        for name in (WEIGHTS, *others, *bundle.manifest.tokenizer.files):
            shutil.copyfile(bundle.file(name), folder / name)

        def write(source: Path, to: Path, feeds: Sequence[Feeds], floating: Collection[str]) -> None:
            cpu_graph(source, to, feeds, scheme=scheme, floating=floating)

        floating, verdict = fitted(gate, folder, INT8, write, report=report)
        report("comparing every graph with eager float64, for the record")
        rows = list(parity.compare_graphs(eager_system(bundle), folder, seed=0))
        made = {
            "scheme": scheme,
            "floating": {graph: list(stages) for graph, stages in floating.items()},
            "float32_model": bundle.manifest.fingerprint,
            "verdict": verdict.as_json(),
        }
        manifest = replace(
            bundle.manifest,
            fingerprint=_fingerprint(bundle.manifest, folder),
            options={**bundle.manifest.options, PRECISION: INT8, INT8: made},
            parity=tuple(row.as_json() for row in rows),
        )
        seal(folder, manifest)
    return Bundle.open(out)


def check_float32(bundle: Bundle) -> None:
    """Raise PrecisionError where a bundle is quantised already."""
    if precision_of(bundle.manifest) != "fp32":
        raise PrecisionError(f"{bundle.root} is quantised already: start from the float32 bundle")


def precision_of(manifest: Manifest) -> str:
    """``fp32`` or, of a quantised bundle, ``int8``.

    Raises:
        BundleError: neither.
    """
    precision = manifest.options.get(PRECISION, "fp32")
    if precision not in ("fp32", INT8):
        raise BundleError(f"the bundle's precision is {str(precision)[:40]!r}, it must be fp32 or {INT8}")
    return str(precision)


def describe_int8(manifest: Manifest) -> str:
    """What a quantised bundle is and what its gate found, for `framesift check`.

    Raises:
        BundleError: the manifest doesn't say.
    """
    try:
        return _described(manifest.options[INT8])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"the manifest doesn't say how the bundle was quantised: quantise it again ({error})"
        ) from error


def _described(made: Mapping[str, Any]) -> str:
    verdict = made["verdict"]
    floating = sum(len(stages) for stages in made["floating"].values())
    return (
        f"this bundle is quantised to 8 bits ({made['scheme']}, {floating} stages left in float32): its records are "
        f"not those of the eager model. When it was made it found {100 * verdict['overlap']:.1f} % of the float32 "
        f"graphs' ten best videos and had R@1 {verdict['recall']:.1f} instead of {verdict['recall_float32']:.1f}, over "
        f"{verdict['videos']} videos of the {verdict['origin']}"
    )


def demand_recorded(rows: Sequence[Row], manifest: Manifest) -> None:
    """Raise ParityError where a quantised graph is further from the eager model than when it was made.

    Args:
        rows: of ``parity.compare_graphs``. The scorer is not quantised and must agree.
    """
    known: dict[str, float] = {}
    for row in rows_of(manifest.parity):
        graph = row.stage.partition(" ")[0]
        known[graph] = max(known.get(graph, 0.0), row.rms_error)
    limits = {graph: _SLACK * error for graph, error in known.items() if graph in TOWERS}
    far = [row for row in rows if not (row.ok or row.rms_error <= limits.get(row.stage.partition(" ")[0], 0.0))]
    if far:
        listing = "; ".join(f"{row.stage}: RMS {row.rms_error:.1e}" for row in far)
        raise ParityError(f"the quantised graphs are not those that were made: {listing}")


def _fingerprint(manifest: Manifest, folder: Path) -> str:
    digest = hashlib.sha256(f"{manifest.fingerprint} {INT8}".encode())
    for graph in TOWERS:
        digest.update(sha256(folder / f"{graph}.onnx").encode())
    return digest.hexdigest()
