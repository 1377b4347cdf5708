"""``framesift bench report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import FOLDER, OWN

if TYPE_CHECKING:
    from .results import Results

_ROOT = Path(__file__).parents[2]
# Lines of a document that a failed check names.
_SHOWN = 10


@click.command("report", short_help="A page of all results.")
@click.option(
    "--results",
    type=FOLDER,
    help="Folder of the rows. [default: bench-results, or else framesift's own of a checkout]",
)
@click.option("--out", default="work/report", show_default=True, type=FOLDER, help="Folder of the page and pictures.")
@click.option("--docs", is_flag=True, help="Write the tables of framesift's own documentation instead.")
@click.option("--check", is_flag=True, help="Fail where a table is not that of the rows; write nothing.")
def report_command(results: Path | None, out: Path, docs: bool, check: bool) -> None:
    """Draw the newest results of every kind: one HTML page, and a PNG of each picture.

    Results are what the other commands leave in the folder that their --results names. Where there are none of a kind,
    the page names the command that measures them.

    \b
    Examples:
      framesift bench report
      framesift bench report --results bench-results --out report
    """
    from ..schema.files import RESULTS
    from .results import Results

    if docs or check:
        _documents(Results(results or RESULTS), check)
        return
    folder = results or (OWN if any(OWN.glob("*.jsonl")) or not RESULTS.is_dir() else RESULTS)
    from .page import page, pictures

    found = Results(folder)
    if not any(folder.glob("*.jsonl")):
        raise click.ClickException(
            f"{folder} holds no results: measure some first, as with `framesift bench stages --results {folder}`"
        )
    out.mkdir(parents=True, exist_ok=True)
    drawn = pictures(found)
    for name, picture in drawn.items():
        (out / f"{name}.png").write_bytes(picture)
        click.echo(out / f"{name}.png")
    (out / "index.html").write_text(page(found, drawn), encoding="utf-8")
    click.echo(out / "index.html")


def _documents(results: Results, check: bool) -> None:
    from .documents import filled

    if not (_ROOT / "README.md").is_file():
        raise click.ClickException("the documentation's tables are made in a checkout of framesift: this is none")
    lacking: list[str] = []
    for path, wanted in filled(_ROOT, results).items():
        found = path.read_text(encoding="utf-8")
        if not check:
            path.write_text(wanted, encoding="utf-8")
        elif found != wanted:
            there = set(found.splitlines())
            lines = [line for line in wanted.splitlines() if line not in there][:_SHOWN]
            lacking += [f"  {path.relative_to(_ROOT)}", *(f"    {line}" for line in lines)]
    if lacking:
        raise click.ClickException(
            "\n".join(["the documentation is not that of the results; run `make docs`. It lacks:", *lacking])
        )
