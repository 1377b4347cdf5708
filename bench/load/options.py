"""Options that the load commands share, and what they name."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...export.bundle.dependent import Dependent
from ..options import FOLDER, bundle_argument, results_option, videos_option

if TYPE_CHECKING:
    from .clients import Clients
    from .sources import Source
    from .target import Target

_INDEXERS = 1


def clips_option(**others: Any) -> Callable[..., Any]:
    """``--clips``: what is indexed; ``others`` go to ``Dependent``."""
    return click.option(
        "--clips",
        cls=Dependent,
        **others,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder of video files to index. [default: 48 generated ones]",
    )


probe_option = click.option(
    "--probe-seconds",
    default=8.0,
    show_default=True,
    type=click.FloatRange(1),
    help="For each level of load at the beginning, which find out how much the server can answer.",
)
_OPTIONS = (
    bundle_argument,
    click.option(
        "--server", "url", metavar="HOST:PORT", help="Load this running server (gRPC) instead of starting one."
    ),
    click.option(
        "--metrics",
        cls=Dependent,
        needs=("--server",),
        metavar="HOST:PORT",
        help="Metrics of the server at --server: where its CPU goes.",
    ),
    videos_option(least=1, bars=("--server",)),
    click.option(
        "--cache",
        cls=Dependent,
        bars=("--server",),
        type=FOLDER,
        help="Where made galleries are kept. [default: the user's cache]",
    ),
    click.option(
        "--queries",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Queries, one a line. [default: 4000 generated captions]",
    ),
    click.option(
        "--top", default=10, show_default=True, type=click.IntRange(1, 1000), help="Videos that a search finds."
    ),
    click.option(
        "--clients",
        "processes",
        default=2,
        show_default=True,
        type=click.IntRange(1, 64),
        help="Processes that send searches; more where it is said that the clients fell behind.",
    ),
    click.option(
        "--timeout",
        default=30.0,
        show_default=True,
        type=click.FloatRange(0, min_open=True),
        help="Seconds after which a request without an answer has failed.",
    ),
    results_option,
)


@dataclass(frozen=True)
class Given:
    """What was given of the shared options, and the ends of whatever is started for them."""

    stack: ExitStack
    bundle: Path | None
    url: str | None
    metrics: str | None
    videos: int
    cache: Path | None
    queries: Path | None
    top: int
    processes: int
    timeout: float
    results: Path

    def target(self) -> Target:
        """The server that the options name, running until the command ends.

        Raises:
            click.UsageError: they name none, or two.
        """
        from .target import embedded, existing

        if (self.bundle is None) == (self.url is None):
            raise click.UsageError("give either a BUNDLE to serve or the --server of a running server")
        if self.url is not None:
            return self.stack.enter_context(existing(self.url, self.metrics))
        return self.stack.enter_context(embedded(Path(str(self.bundle)), self.videos, self.cache))

    def texts(self) -> list[str]:
        """The queries."""
        from ..inputs import queries

        return queries.generate() if self.queries is None else queries.read(self.queries)

    def searching(self, target: Target) -> Clients:
        """Clients that search."""
        from .sources import Searches

        return self._clients(target, Searches(self.texts(), self.top), self.processes)

    def indexing(self, target: Target, folder: Path | None, *, renew: bool = False) -> Clients:
        """Clients that index the videos in ``folder``, or generated ones."""
        from ...serving.client.sync import Client
        from ..inputs import clips
        from .sources import Indexing

        with Client(target.address) as client:
            if not client.served().reads_films:
                raise click.UsageError(
                    "the model reads feature files, and films are indexed here: only searches can be measured"
                )
        if folder is not None:
            return self._clients(target, Indexing(clips.find(folder), renew), _INDEXERS)
        with click.progressbar(length=clips.COUNT, label="clips to index") as bar:
            made = clips.generate(self.scratch(), done=bar.update)
        return self._clients(target, Indexing(made, renew), _INDEXERS)

    def scratch(self) -> Path:
        """A folder that is removed when the command ends."""
        return Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="framesift-bench-")))

    def _clients(self, target: Target, source: Source, processes: int) -> Clients:
        from .clients import Clients
        from .jobs import Work

        # Ids of indexed videos must be new to the gallery in every run.
        seed = 0 if source.repeatable else int(time.time())
        return self.stack.enter_context(Clients(Work(target.address, source, seed, self.timeout), processes))


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """BUNDLE or ``--server``; the gallery; queries; client processes; where rows go: a ``Given`` for the command."""

    @wraps(command)
    def called(**named: Any) -> None:
        own = {name: named.pop(name) for name in list(named) if name not in Given.__dataclass_fields__}
        with ExitStack() as stack:
            command(Given(stack=stack, **named), **own)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called
