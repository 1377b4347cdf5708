"""``framesift bench``: every measurement as a command."""

from __future__ import annotations

import click

from .baselines.commands import against_command
from .compare.commands import compare_command
from .engines.commands import engines_command
from .gallery.commands import gallery_command
from .gpu.commands import gpu_group
from .indexing.commands import indexing_command
from .inputs.commands import checkpoint_command
from .load.commands import load_command, overload_command, soak_command
from .report.commands import report_command
from .runs.commands import ablation_command, demo_command
from .scale.commands import scale_command
from .shards.commands import shards_command
from .stages.commands import stages_command
from .storages.commands import storages_command


class _Commands(click.Group):
    """Lists commands in the order of their questions."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group("bench", cls=_Commands)
def bench_group() -> None:
    """Measure how fast each stage and the server are, on your own bundle and server.

    \b
    framesift bench stages bundles/mine     each stage by itself, every engine
    framesift bench load bundles/mine       a server under growing load, up to saturation
    framesift bench against bundles/mine    the same search, served in other ways
    framesift bench gallery                 a gallery of any size: import, load, restart, freshness
    framesift bench indexing                filling one: by processes, and on Ray
    framesift bench report                  a page of all results
    """


for _command in (
    stages_command,
    load_command,
    overload_command,
    soak_command,
    against_command,
    storages_command,
    gallery_command,
    indexing_command,
    shards_command,
    engines_command,
    gpu_group,
    ablation_command,
    demo_command,
    scale_command,
    checkpoint_command,
    report_command,
    compare_command,
):
    bench_group.add_command(_command)
