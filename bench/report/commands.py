"""``framesift bench report``."""

from __future__ import annotations

from pathlib import Path

import click

from ..rows import OWN, RESULTS

_ROOT = Path(__file__).parents[2]
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("report", short_help="A page of all results.")
@click.option(
    "--results",
    type=_FOLDER,
    help="Folder of the rows. [default: bench-results, or else framesift's own of a checkout]",
)
@click.option("--out", default="work/report", show_default=True, type=_FOLDER, help="Folder of the page and pictures.")
@click.option("--readme", is_flag=True, help="Write the tables of framesift's own README instead.")
@click.option("--check", is_flag=True, help="Fail if the README's tables are not those of the rows; write nothing.")
def report_command(results: Path | None, out: Path, readme: bool, check: bool) -> None:
    """Draw the newest results of every kind: one HTML page, and a PNG of each picture.

    Results are what the other commands leave in the folder that their --results names. Where there are none of a kind,
    the page tells the command.

    \b
    Examples:
      framesift bench report
      framesift bench report --results bench-results --out report
    """
    if readme or check:
        _readme(results or RESULTS, check)
        return
    folder = results or (OWN if OWN.is_dir() or not RESULTS.is_dir() else RESULTS)
    from .page import page, pictures
    from .page import results as newest

    rows = newest(folder)
    if not any(rows.values()):
        raise click.ClickException(
            f"{folder} holds no results: measure some first, as with `framesift bench stages --results {folder}`"
        )
    out.mkdir(parents=True, exist_ok=True)
    drawn = pictures(rows)
    for name, picture in drawn.items():
        (out / f"{name}.png").write_bytes(picture)
        click.echo(out / f"{name}.png")
    (out / "index.html").write_text(page(rows, drawn), encoding="utf-8")
    click.echo(out / "index.html")


def _readme(results: Path, check: bool) -> None:
    from .readme import filled

    path = _ROOT / "README.md"
    if not path.is_file():
        raise click.ClickException("the README's tables are made in a checkout of framesift: there is no README here")
    found = path.read_text(encoding="utf-8")
    wanted = filled(found, results)
    if not check:
        path.write_text(wanted, encoding="utf-8")
    elif found != wanted:
        lines = [line for line in wanted.splitlines() if line not in set(found.splitlines())]
        shown = "\n".join(f"  {line}" for line in lines[:10])
        raise click.ClickException(
            f"README.md does not show the newest results; run `framesift bench report --readme`. It lacks:\n{shown}"
        )
