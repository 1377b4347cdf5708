"""Plain searches of a version's own server, from a client's request to its answer, in processes of their own.

The gallery is small, so that what is measured is the way of a search and not its scan. The requests and the client that
sends them are the same for both versions. Of processor time all that the server's processes take counts, however many
they are: beside other work on a machine it says more than the time until an answer.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import psutil  # type: ignore[import-untyped]

from ...export.bundle.errors import FramesiftError
from ...serving.client.sync import Client
from ...serving.server.addresses import choose
from ..inputs import queries
from ..load.channels import OK
from ..load.clients import Clients, soon, together
from ..load.jobs import Job, Work
from ..load.sources import Searches
from .versions import Measure, Version

CLIPS = 24
_AT_ONCE = (1, 8)
_READY_S = 120.0
# The first searches after a start meet caches that are not filled.
_WARM_S = 1.0


def searches(versions: Sequence[Version], seconds: float, report: Callable[[str], None]) -> Measure:
    """Have every version make the demo's bundle and gallery; what is returned measures one of them.

    Raises:
        FramesiftError: a demo failed, or a server does not start or answers with an error; as what is returned does.
    """
    for version in versions:
        report(f"{version.name}: exporting the demo, indexing {CLIPS} films")
        version.run("demo", "--work", str(version.place / "work"), "--clips", str(CLIPS))

    def measure(version: Version) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        with (
            _served(version) as (address, process),
            Clients(Work(address, Searches(queries.generate(200))), 1) as clients,
        ):
            for at_once in _AT_ONCE:
                _run(clients, at_once, _WARM_S)
                before = _cpu_s(process)
                latencies = _run(clients, at_once, seconds)
                spent = _cpu_s(process) - before
                who = "1 client" if at_once == 1 else f"{at_once} clients"
                found[f"search, {who}: until the answer"] = latencies
                found[f"search, {who}: processor time"] = [spent / len(latencies)]
        return found

    return measure


def _run(clients: Clients, at_once: int, seconds: float) -> list[float]:
    """Seconds of every search."""
    (seen,) = together([(clients, Job("closed", soon(), seconds, concurrency=at_once))])
    wrong = {seen.outcomes[place][0] for place in np.unique(seen.outcome)} - {OK}
    if wrong or not len(seen.ended):
        raise FramesiftError(f"searches ended with {', '.join(wrong) or 'no answer'}")
    times: list[float] = (seen.ended - seen.sent).tolist()
    return times


@contextlib.contextmanager
def _served(version: Version) -> Iterator[tuple[str, psutil.Process]]:
    """The version's server: its address, and the process that all of its others come from."""
    port, work = choose("127.0.0.1", None), version.place / "work"
    words = ("serve", str(work / "bundle"), "--gallery", str(work / "gallery"), "--port", str(port))
    with (version.place / "server.log").open("wb") as log:
        process = subprocess.Popen(
            version.command(*words), cwd=version.place, env=version.environment, stdout=log, stderr=log
        )
    try:
        address = f"127.0.0.1:{port}"
        with Client(address) as client:
            deadline = time.monotonic() + _READY_S
            while not client.ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    told = (version.place / "server.log").read_text(encoding="utf-8", errors="replace")[-2000:]
                    raise FramesiftError(f"the server of {version.name} ({version.commit[:9]}) did not start:\n{told}")
                time.sleep(0.2)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _cpu_s(process: psutil.Process) -> float:
    """Processor seconds of a process and of all that it started."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = each.cpu_times()
            total += times.user + times.system
    return total
