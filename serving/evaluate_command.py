"""``framesift evaluate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..export.bundle.dependent import Dependent
from ..export.bundle.errors import InvalidInput
from ..export.evaluation.names import DEFAULT_RULE, DIRECTION_NAMES, RULE_NAMES, T2V, TABLE_NAMES
from .client.options import model_option, server_option

if TYPE_CHECKING:
    from ..export.evaluation.captions import CaptionSet
    from .served_scores import Served

_FILE = click.Path(dir_okay=False, path_type=Path)
_BOTH = "both"
# Of a server, which a matrix takes the place of.
_SERVED: Any = {"cls": Dependent, "bars": ("--scores",)}


@click.command("evaluate")
@click.argument("captions", type=_FILE, required=False)
@server_option("The server whose answers are evaluated.", bars=("--scores",))
@model_option(bars=("--scores",))
@click.option("--scores", type=_FILE, help="Evaluate this .npy or .npz matrix of captions by videos, without a server.")
@click.option(
    "--captions",
    "captions_of_scores",
    cls=Dependent,
    needs=("--scores",),
    type=_FILE,
    help="With --scores: the captions of its rows, in order.",
)
@click.option("--data", type=_FILE, help="Where the captions are, if CAPTIONS lists ids alone: MSRVTT_data.json, ...")
@click.option(
    "--id-suffix", **_SERVED, default="", help="What the gallery's ids have after those in CAPTIONS, e.g. .mp4"
)
@click.option("--rule", type=click.Choice(RULE_NAMES), default=DEFAULT_RULE, show_default=True, help="How to measure.")
@click.option(
    "--direction",
    type=click.Choice([*DIRECTION_NAMES, _BOTH]),
    default="t2v",
    show_default=True,
    help="Find videos by captions, or captions by videos.",
)
@click.option("--table", type=click.Choice(TABLE_NAMES), help="Put published results of this test set beside it.")
@click.option("--dsl", is_flag=True, help="Multiply by the softmax over all captions first. Can't be served.")
@click.option("--qb-norm", "bank", type=_FILE, metavar="BANK", help="QB-norm with a score matrix. Can't be served.")
@click.option(
    "--scale",
    cls=Dependent,
    needs=("--dsl", "--qb-norm"),
    type=float,
    default=1.0,
    show_default=True,
    help="Multiply scores before --dsl or --qb-norm.",
)
@click.option("--save", **_SERVED, type=_FILE, help="Keep the served scores in this .npz file, for --scores.")
@click.option(
    "--jobs", **_SERVED, type=click.IntRange(1, 64), default=4, show_default=True, help="Requests sent at once."
)
@click.option(
    "--timeout",
    **_SERVED,
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    help="Seconds for one request.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate_command(
    captions: Path | None,
    server: str,
    model: str | None,
    scores: Path | None,
    captions_of_scores: Path | None,
    data: Path | None,
    id_suffix: str,
    rule: str,
    direction: str,
    table: str | None,
    dsl: bool,
    bank: Path | None,
    scale: float,
    save: Path | None,
    jobs: int,
    timeout: float,
    as_json: bool,
) -> None:
    """Measure R@1, R@5, R@10, median and mean rank on CAPTIONS.

    Every caption is searched for on the server, and the rank of its video counted, among the videos that CAPTIONS
    names. CAPTIONS is an annotation file of MSR-VTT, LSMDC, MSVD or DiDeMo as published, or JSON lines
    {"video": "a.mp4", "captions": ["..."]}.

    Published code differs in ties, medians and captions per video. --rule measures as one system's code does; the
    default favours no system.

    \b
    Examples:
      framesift evaluate MSRVTT_JSFUSION_test.csv --id-suffix .mp4 --table msrvtt
      framesift evaluate --scores scores.npy --captions MSRVTT_JSFUSION_test.csv --direction both
    """
    from ..export.evaluation.captions import load_captions
    from ..export.evaluation.measure import measure
    from ..export.evaluation.published import published_tables
    from ..export.evaluation.report import text, to_dict
    from ..export.evaluation.scores import load_bank, load_scores, save_scores

    given = captions or captions_of_scores
    if (captions and captions_of_scores) or (given is None and scores is None):
        raise click.UsageError("give CAPTIONS, or --scores and, unless its matrix is square, --captions")
    directions = tuple(DIRECTION_NAMES) if direction == _BOTH else (direction,)
    found = None if given is None else load_captions(given, data)
    if scores is not None:
        matrix = load_scores(scores, None if found is None else found.target)
        if found is not None and matrix.scores.shape[1] != len(found.videos):
            raise InvalidInput(
                f"{scores} has {matrix.scores.shape[1]} columns and {given} names {len(found.videos)} videos: "
                "it needs a column a video, in the order in which the file first names them"
            )
        served = None
    else:
        assert found is not None
        need_all = bool(dsl or bank or save) or rule != DEFAULT_RULE or directions != (T2V,)
        served = _served(found, server, model, id_suffix, jobs, timeout, need_all)
        matrix = served.matrix
    if served is not None and not served.whole:
        report = served.truncated_report()
    else:
        if save is not None:
            save_scores(save, matrix)
        others = None if bank is None else load_bank(bank, matrix.scores.shape[1])
        report = measure(matrix, rule=rule, directions=directions, dual=dsl, bank=others, scale=scale)
    published = None if table is None else published_tables()[table]
    click.echo(json.dumps(to_dict(report, published)) if as_json else text(report, published))


def _served(
    captions: CaptionSet, server: str, model: str | None, suffix: str, jobs: int, timeout: float, need_all: bool
) -> Served:
    from .client.sync import Client
    from .served_scores import served_scores

    with (
        Client(server, timeout, model=model) as client,
        click.progressbar(length=len(captions.captions), label="searching", file=sys.stderr) as bar,
    ):
        return served_scores(client, captions, suffix=suffix, jobs=jobs, need_all=need_all, done=bar.update)
