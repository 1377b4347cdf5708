"""``framesift index`` through a server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click

from ...export.bundle.errors import AccessDenied, DeadlineExceeded, InvalidRequest, ServerUnavailable
from ...export.bundle.segments import Cutting
from .digests import Digests
from .discover import Found, Named
from .index_report import Report
from .indexing import Outcome, index_files
from .metadata_lines import for_ids
from .printable import printable
from .results import Served
from .sync import Client


def index_served(
    address: str,
    model: str | None,
    named: Named,
    facts: Mapping[str, Mapping[str, Any]],
    digests: Digests,
    report: Report,
    *,
    jobs: int,
    timeout_s: float,
    force: bool,
    cutting: Cutting | None = None,
) -> None:
    """Send the files that the served model reads; see ``indexing.index_files``.

    Raises:
        UsageError: the model reads none of the files.
    """
    found = named.either
    try:
        with Client(address, timeout_s, model=model) as client:
            served = client.served()
            click.echo(where(served), err=True)
            found = _read_by(served, named)
            facts = facts_of(facts, found)
            with report.showing(len(found)):
                for refused in found.refused:
                    report.told(Outcome(refused.path, "failed", refused.reason))
                index_files(
                    client,
                    found.videos,
                    report.told,
                    jobs=jobs,
                    force=force,
                    metadata=facts,
                    digests=digests,
                    cutting=cutting,
                    reached=report.reached,
                )
            _wait_searchable(client, report)
    finally:
        report.end(len(found), found.images)


def where(served: Served) -> str:
    """One line that says where videos go."""
    model = f"{served.system} model {served.fingerprint[:12]}" if served.fingerprint else "a model that it doesn't name"
    gallery = f"the gallery {served.gallery}" if served.gallery else "its gallery"
    beside = f"; candidates are chosen by {served.shortlist}, which is filled too" if served.shortlist else ""
    return printable(f"{served.address} serves {model}, with {counted(served.count)} in {gallery}{beside}")


def counted(videos: int) -> str:
    """A number of videos as text."""
    return f"{videos} video{'' if videos == 1 else 's'}"


def facts_of(facts: Mapping[str, Mapping[str, Any]], found: Found) -> Mapping[str, Mapping[str, Any]]:
    """The metadata by the files' ids, after saying which belongs to none of them."""
    ids = {file.id for file in found.videos}
    given = for_ids(facts, ids)
    if unused := given.keys() - ids:
        click.echo(f"metadata of {len(unused)} ids that are not indexed here, e.g. {min(unused)!r}", err=True)
    return given


def _read_by(served: Served, named: Named) -> Found:
    """The files of those named that the served model reads."""
    try:
        return named.read_by(films=served.reads_films, features=served.reads_features)
    except InvalidRequest as error:
        reads = "films" if served.reads_films else f"feature files of {served.arrays}"
        raise click.UsageError(f"{error}. The model at {served.address} reads {printable(reads)}") from error


def _wait_searchable(client: Client, report: Report) -> None:
    """Whoever searches next finds what was indexed; a caller who may not search need not wait."""
    if report.last is None:
        return
    try:
        with suppress(AccessDenied):
            client.wait_searchable(report.last)
    except (DeadlineExceeded, ServerUnavailable) as error:
        click.echo(printable(f"all is kept in the gallery, but searches may not see it yet: {error}"), err=True)
