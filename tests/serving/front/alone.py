"""A door without a Triton server behind it: it starts within a second, and who may call shows without any model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from framesift.serving.front.telemetry import NOTHING, Telemetry
from framesift.serving.server.addresses import choose, reachable
from framesift.serving.server.cleanup import new_mark
from framesift.serving.server.door import Reach, door_program
from framesift.serving.server.files import of_wheel
from framesift.serving.server.kept import Kept
from framesift.serving.server.run_folder import RunFolder

from ...waiting import until


@contextmanager
def standing(
    deployment: Path, folder: Path, reach: Reach | None = None, telemetry: Telemetry = NOTHING
) -> Iterator[tuple[str, RunFolder]]:
    """A door of ``deployment`` in ``folder``; its address, and the folder of its run."""
    reach, run, mark = reach or Reach(), RunFolder(folder), new_mark()
    run.build(of_wheel())
    port = choose(reach.host, reach.port)
    environment = run.environment({})
    program = door_program(deployment, reach, reach.host, port, run, mark, environment, 1 << 30, telemetry)
    kept = Kept([program], run, mark, environment, temporary=False)
    try:

        def stands() -> bool:
            assert kept.alive, run.log.read_text()
            return reachable(reach.host, port)

        until(stands, told=run.log.read_text)
        kept.all_answer()
        yield f"{reach.host}:{port}", run
    finally:
        kept.end()
