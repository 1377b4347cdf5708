"""The whole job on one machine: export, serve, index, search, and a comparison with eager PyTorch."""

from __future__ import annotations

import os
import shutil
import sys
import time
import webbrowser
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlencode

import click
import numpy as np
from numpy.typing import NDArray

from ..export.build import build_bundle, eager_system
from ..export.bundle.errors import ParityError
from ..export.bundle.store import Bundle
from ..export.bundle.video.decode import decode
from ..export.corpus.generate import MANIFEST, write_corpus
from ..export.corpus.manifest import Clip, read_manifest
from ..export.evaluation.metrics import RetrievalMetrics, retrieval_metrics
from ..export.parity_rows import rows_of, table
from ..export.training.evaluate import as_stored, encode_texts, encode_videos, score_all
from .client.results import SearchResult
from .client.sync import Client
from .ranking_parity import compare
from .serve import running
from .server.deployment import stop_event
from .server.door import Reach
from .server.embedded import EmbeddedServer

CHECKPOINT = Path(str(files("framesift.export.demo") / "demo.safetensors"))
_QUERIES_SHOWN = 5
_HITS_SHOWN = 3
# Environment variables of a machine that can show a page.
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def run_demo(work: Path, clips: int, *, page: bool = False) -> None:
    """Run every step and print it.

    Args:
        page: end with the page in a browser, until Ctrl-C.

    Raises:
        ParityError: a served ranking differs from eager PyTorch's.
    """
    started = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    _title(1, "Videos: H.264 files of moving shapes, with captions that were not seen in training")
    corpus = _videos(work / "videos", clips)
    _title(2, "Export: the checkpoint to ONNX graphs, each compared with eager float64")
    bundle = build_bundle(CHECKPOINT, work / "bundle", options={}, overwrite=True)
    click.echo(table(rows_of(bundle.manifest.parity)))
    # Each run measures the whole job, so it starts from an empty gallery.
    gallery = work / "gallery"
    shutil.rmtree(gallery, ignore_errors=True)
    _title(3, "Serve: a Triton server with the bundle's model repository")
    reach = Reach(page=page, videos=work / "videos" if page else None)
    with ExitStack() as stack:
        server = stack.enter_context(running(bundle, gallery, reach))
        with Client(server.address) as client:
            click.echo(f"gRPC {server.address}  metrics http://{server.address}/metrics")
            _title(4, "Index: every file through the index_video ensemble")
            _index(client, corpus)
            _title(5, "Search: captions through the search ensemble")
            results, seconds = _search(client, corpus)
            _show(results, corpus)
        if not page:
            stack.close()
        _title(6, "Compare: served rankings with eager PyTorch's")
        _report(bundle, corpus, results, seconds)
        click.secho(f"\nDone in {time.monotonic() - started:.0f} s.", bold=True)
        if page:
            _show_page(server, corpus)
    click.secho("\nTo go on by hand:\n", bold=True)
    # The command as it was called: a checkout's .venv is not on the PATH.
    framesift = sys.argv[0] if Path(sys.argv[0]).name == "framesift" else "framesift"
    click.echo(f"  {framesift} serve {work / 'bundle'} --gallery {gallery} --page --videos {work / 'videos'}")
    click.echo(f'  {framesift} search "{corpus[0].captions[0]}"      (in another terminal)')


def _show_page(server: EmbeddedServer, corpus: list[Clip]) -> None:
    """Open the page at a search, and wait for Ctrl-C."""
    stopping = stop_event()
    url = f"http://{server.address}/?{urlencode({'q': corpus[0].captions[0]})}"
    click.echo(f"\nthe page: {url}\nCtrl-C ends it")
    # Elsewhere a browser for terminals would take this one.
    if any(os.environ.get(name) for name in _SCREENS):
        webbrowser.open(url)
    while server.alive and not stopping.wait(0.2):
        pass


def _title(number: int, text: str) -> None:
    click.secho(f"\n{number}/6  {text}", bold=True)


def _videos(folder: Path, count: int) -> list[Clip]:
    manifest = folder / MANIFEST
    if manifest.is_file() and len(found := read_manifest(manifest)) == count:
        click.echo(f"{count} clips in {folder} already")
        return found
    with click.progressbar(length=count, label="encoding", file=sys.stderr) as bar:
        return write_corpus(folder, count, "test", 0, done=bar.update)


def _index(client: Client, corpus: list[Clip]) -> None:
    started = time.monotonic()
    with click.progressbar(corpus, label="indexing", file=sys.stderr) as bar:
        for clip in bar:
            last = client.index(clip.video, id=clip.video.name)
    click.echo(f"{last.count} videos, {len(corpus) / (time.monotonic() - started):.0f} a second")
    client.wait_searchable(last)


def _search(client: Client, corpus: list[Clip]) -> tuple[list[SearchResult], list[float]]:
    # Every query asks for the whole gallery: ranks are then exact, and so is the comparison.
    results, seconds = [], []
    with click.progressbar(corpus, label="searching", file=sys.stderr) as bar:
        for clip in bar:
            results.append(client.search(clip.captions[0], top=len(corpus), facts=False))
            started = time.perf_counter()
            client.search(clip.captions[0], top=10, facts=False)
            seconds.append(time.perf_counter() - started)
    return results, seconds


def _show(results: list[SearchResult], corpus: list[Clip]) -> None:
    captions = {clip.video.name: clip.captions[0] for clip in corpus}
    for i in np.linspace(0, len(corpus) - 1, _QUERIES_SHOWN).astype(int):
        click.echo(f"\n  {corpus[i].captions[0]}")
        for rank, hit in enumerate(results[i].hits[:_HITS_SHOWN], start=1):
            mark = click.style("*", fg="green") if hit.id == corpus[i].video.name else " "
            moment = "" if hit.moment is None else f"  at {hit.moment:.1f} s"
            click.echo(f"  {mark} {rank}. {hit.score:.3f}  {hit.id}{moment}  ({captions[hit.id]})")


def _report(bundle: Bundle, corpus: list[Clip], results: list[SearchResult], seconds: list[float]) -> None:
    ids = [clip.video.name for clip in corpus]
    stored, exact = _eager_scores(bundle, corpus)
    served = np.array([[{h.id: h.score for h in r.hits}[name] for name in ids] for r in results])
    rankings = [[hit.id for hit in result.hits] for result in results]
    parity = compare(rankings, [np.array([h.score for h in r.hits]) for r in results], ids, stored)
    names = "".join(f"{name:>8}" for name in RetrievalMetrics.HEADINGS)
    click.echo(f"{'':24}{names}")
    for label, scores in (("served", served), ("eager, float16 records", stored), ("eager, float32", exact)):
        click.echo(f"{label:24}" + "".join(f"{cell:>8}" for cell in retrieval_metrics(scores).cells()))
    p50, p95 = np.percentile(np.array(seconds) * 1e3, [50, 95])
    click.echo(f"\nsearch, top 10 of {len(ids)}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, one client, over gRPC")
    click.echo(f"rankings equal to eager PyTorch's: {parity.equal} of {parity.queries}, all {len(ids)} places of each")
    click.echo(
        f"scores: {parity.scores - parity.off} of {parity.scores} within {parity.worst:.0e}"
        + (f", {parity.off} kept another frame (two logits closer than rounding)" if parity.off else "")
    )
    if parity.equal != parity.queries:
        raise ParityError(f"{parity.queries - parity.equal} served rankings differ from eager PyTorch's")


def _eager_scores(bundle: Bundle, corpus: list[Clip]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores from records rounded to float16, as the gallery stores them, and from unrounded ones."""
    system, profile = eager_system(bundle), bundle.manifest
    authors = system.published
    with click.progressbar(corpus, label="eager", file=sys.stderr) as bar:
        frames = np.stack([decode(clip.video, profile.pictures).frames for clip in bar])
    videos = encode_videos(authors, frames)
    text = encode_texts(authors, bundle.tokenizer(), [clip.captions[0] for clip in corpus])
    stored = score_all(system, system.reduce_text(text), as_stored(system, system.reduce_video(videos)))
    return stored, score_all(authors, text, videos)
