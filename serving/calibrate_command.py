"""``framesift gallery calibrate``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..export.bundle.limits import MAX_TOP

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("calibrate")
@click.argument("folder", type=_FOLDER)
@click.option("--bundle", required=True, type=_FOLDER, help="The bundle whose gallery it is.")
@click.option("--texts", type=click.Path(dir_okay=False, path_type=Path), help="Texts that people search for.")
@click.option("--metadata", "key", metavar="KEY", help="Take the texts that videos have in their metadata's KEY.")
@click.option(
    "--recall",
    default=0.99,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="The share to be found.",
)
@click.option(
    "--top",
    default=10,
    show_default=True,
    type=click.IntRange(1, MAX_TOP),
    help="Of so many best videos; searches for more are exact.",
)
@click.option("--limit", default=500, show_default=True, type=click.IntRange(1), help="Texts to take, evenly spaced.")
def calibrate_command(
    folder: Path, bundle: Path, texts: Path | None, key: str | None, recall: float, top: int, limit: int
) -> None:
    """Find out which coarse stage the gallery in FOLDER allows, for `framesift serve --coarse`.

    A coarse stage scores averages of a video's frames, and then exactly as many of the best as the recall takes: the
    share of the exact search's --top best videos that are found. That differs from gallery to gallery, so it is
    measured. --texts is a file with a text a line, an access log of `framesift serve --log-texts`, or captions as
    `framesift evaluate` reads them; --metadata takes texts that the videos came with. Where a coarse stage of this
    recall is not much faster than the exact search, it is refused.

    What is found is kept in FOLDER, where `framesift gallery stats` shows it. A running server goes on with what it
    began with. Of a gallery in shards each gets a coarse stage of its own. Where films are cut, the recall is of
    films, and all segments of a film that is found are scored, which many of them make slow.

    \b
    Examples:
      framesift gallery calibrate galleries/films --bundle bundles/mine --texts queries.txt
      framesift gallery calibrate galleries/films --bundle bundles/mine --metadata title --recall 0.95
    """
    from dataclasses import replace

    from ..export.bundle.ports import SCORER
    from ..export.bundle.scorers import scorer_of
    from ..export.bundle.storages import COARSE, is_coarse
    from ..export.bundle.store import Bundle
    from .calibration_texts import text_records, texts_of_file, texts_of_metadata
    from .gallery.drift import drift_of, told_of
    from .gallery.shards import is_split
    from .gallery.split import sources_of
    from .gallery.store import CACHE, Gallery
    from .search.calibrating import Wish, calibrate
    from .search.rankers import ranker_of
    from .search.snapshot import Snapshot

    if (texts is None) == (key is None):
        raise click.UsageError("give --texts, a file of texts, or --metadata, where videos have some")
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    is_coarse(replace(manifest, options={**manifest.options, COARSE: True}))
    galleries = [Gallery.open(found.root, manifest) for found in sources_of(folder)]
    if texts is not None:
        found, origin = texts_of_file(texts, limit), f"{texts.name!a:.100}"
    else:
        assert key is not None
        found, origin = texts_of_metadata(galleries, key, limit), f"metadata {key!a:.100}"
    records = text_records(opened, found)
    ranker, read = ranker_of(manifest, opened.graph(SCORER))
    lanes = scorer_of(manifest).lanes
    for gallery in galleries:
        tried: list[str] = []
        click.echo(f"loading {gallery.count:,} videos of {gallery.root}", err=True)
        with (
            gallery,
            Snapshot(gallery.reader(), read, lanes, cache=gallery.root / CACHE) as snapshot,
            click.progressbar(length=len(found), label="searching exactly", file=sys.stderr) as bar,
        ):
            wish, asked = Wish(recall, top), (manifest, ranker, snapshot.view, records)
            made = calibrate(*asked, wish, origin, tried.append, bar.update)
        made.write(gallery.root)
        for line in (*tried, *told_of(made, drift_of(gallery, made))):
            click.echo(f"{gallery.root.name}: {line}" if is_split(folder) else line)
    click.echo("next: framesift serve --coarse", err=True)
