"""``framesift bench storages``: how much of the exact ranking each storage of the gallery keeps, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import bundle_argument, results_option, work_option
from .rows import Row, write

if TYPE_CHECKING:
    from .baselines.material import Material

TOP = 10
_ROUNDS = 41
_TIMED = 10_000


def measured(material: Material, queries: int) -> Iterator[Row]:
    """A row for each storage, judged by the published formula in float64 over ``queries`` of the material's queries.

    ``overlap`` is the mean share of the exact ten best that are found, ``first`` the share of queries whose best video
    is the exact one, ``error`` the largest difference of a score; times are of one query at a time on one thread.
    """
    import time

    import numpy as np
    import torch

    from ..export.build import eager_system
    from ..export.bundle.ports import FRAME_EMBEDDINGS
    from ..export.evaluation.overlap import best, overlap
    from ..export.training.evaluate import encode_texts
    from ..kernels.topk_attention import cpu, quantise
    from ..kernels.topk_attention.layout import pack_tables
    from ..kernels.topk_attention.operands import GalleryVectors, TextVectors
    from ..serving.search.topk_ranking import TopKRanker
    from .published import Published

    system = eager_system(material.bundle).eval()
    texts = encode_texts(system.published, material.bundle.tokenizer(), material.queries[:queries])
    frames = material.videos[FRAME_EMBEDDINGS]
    # The embeddings are rounded so that float16 holds them; another draw keeps what float16 would take from them.
    frames = frames * (1 + 2**-13 * torch.rand(frames.shape, generator=torch.Generator().manual_seed(0)))
    wide = Published(eager_system(material.bundle).eval().double(), material.bundle.manifest)
    exact = wide.scores(tuple(x.double() for x in texts), {FRAME_EMBEDDINGS: frames.double()}).numpy()
    kept = best(exact, TOP)
    shape = TopKRanker(material.bundle.manifest).shape
    with torch.inference_mode():
        vectors = TextVectors(*(part.contiguous().numpy() for part in system.reduce_text(texts)))
        parts = [system.reduce_video((some,)) for some in frames.split(1000)]
    streams, tables = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    affine = quantise.fit(streams)
    packed = pack_tables(tables)
    galleries = {
        "float32": (vectors, GalleryVectors(streams, packed)),
        "float16": (vectors, GalleryVectors(streams.astype(np.float16), packed)),
        "int8": (quantise.fold(vectors, affine), quantise.quantise(streams, tables, affine)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in galleries}
    for round_ in range(_ROUNDS):
        for name, (text, gallery) in galleries.items():
            one = TextVectors(*(part[round_ : round_ + 1] for part in (text.logit, text.readout, text.scalars)))
            started = time.perf_counter()
            cpu.search(one, gallery, shape, TOP, threads=1)
            seconds[name].append(time.perf_counter() - started)
    for name, (text, gallery) in galleries.items():
        scores, rows = cpu.search(text, gallery, shape, TOP)
        p20, p50, p80 = (round(1e3 * float(x), 4) for x in np.percentile(seconds[name], (20, 50, 80)))
        yield {
            "storage": name,
            "videos": len(frames),
            "queries": queries,
            "bytes_per_video": gallery.nbytes // len(gallery),
            "overlap": round(overlap(rows.tolist(), kept.tolist()), 5),
            "first": round(float((rows[:, 0] == kept[:, 0]).mean()), 5),
            "error": float(np.abs(scores - np.take_along_axis(exact, rows, 1)).max()),
            "p20_ms": p20,
            "p50_ms": p50,
            "p80_ms": p80,
        }


@click.command("storages")
@bundle_argument
@click.option("--videos", default=_TIMED, show_default=True, type=click.IntRange(100), help="Size of the gallery.")
@click.option("--queries", default=500, show_default=True, type=click.IntRange(_ROUNDS), help="That are ranked.")
@work_option
@results_option
def storages_command(bundle: Path | None, videos: int, queries: int, work: Path, results: Path | None) -> None:
    """Compare the storages of a gallery of BUNDLE, or of the demo: ranking kept, size, and time of a search.

    \b
    Example:
      framesift bench storages bundles/mine --queries 1000
    """
    from .baselines.material import prepare
    from .baselines.models import bundle_of

    opened = bundle_of(bundle or "demo", work, click.echo)
    name = bundle.name if bundle else "demo"
    material = prepare(opened, videos, work / f"material-{name}-{videos}", random=False, report=click.echo)
    found = []
    for row in measured(material, queries):
        found.append({"model": name, **row})
        click.echo(
            f"{row['storage']:9}{row['bytes_per_video']:>7} bytes a video  top-10 overlap {row['overlap']:.4f}  "
            f"first place kept {row['first']:.4f}  error {row['error']:.1e}  {row['p50_ms']:.2f} ms"
        )
    if results is not None:
        click.echo(f"written to {write('storages', found, results)}")
