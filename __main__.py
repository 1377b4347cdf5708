"""The ``framesift`` command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from . import __version__
from .bench.commands import bench_group
from .export.bundle.errors import FramesiftError
from .export.commands import check_command, export_command
from .export.corpus.commands import corpus_command, vocabulary_command
from .export.precision.commands import quantise_command
from .export.tensorrt.commands import build_command
from .export.training.commands import ablate_command, finetune_command
from .serving.calibrate_command import calibrate_command
from .serving.client.models_command import models_group
from .serving.client.search_command import search_command
from .serving.client.videos_command import videos_group
from .serving.commands import demo_command, serve_command, token_command
from .serving.evaluate_command import evaluate_command
from .serving.gallery.commands import gallery_group
from .serving.index_command import index_command
from .serving.migrate_command import migrate_command
from .serving.repository_commands import repository_group

# The extra that brings a module.
EXTRAS = {
    **dict.fromkeys(("ml_dtypes", "onnx", "onnxscript", "safetensors", "torch"), "export"),
    **dict.fromkeys(("lance", "pyarrow", "pytriton"), "server"),
    **dict.fromkeys(("PIL", "av", "ftfy", "onnxruntime", "regex"), "export,server"),
    **dict.fromkeys(("matplotlib", "psutil"), "bench"),
    **dict.fromkeys(("aiohttp", "anyio", "faiss", "fastapi", "pydantic", "transformers", "uvicorn"), "baselines"),
    **dict.fromkeys(("fsspec", "ray"), "server,ray"),
    "tensorrt": "gpu",
    "opentelemetry": "server,tracing",
}


class _Commands(click.Group):
    """Lists commands in the order in which a user meets them, and prints framesift's own errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever reads what is printed has seen enough, as `head` has: click ends quietly.
            raise
        except (FramesiftError, OSError) as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            extra = EXTRAS.get(missing)
            if extra is None:
                raise
            place = ", in an environment of its own: it holds numpy at 1.26" if extra == "server" else ""
            raise click.ClickException(
                f"this command needs {missing}, which is not installed: pip install 'framesift[{extra}]'{place}"
            ) from error


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if not asked or context.resilient_parsing:
        return
    from .kernels.library import NOT_COMPILED, compiled

    click.echo(f"framesift, version {__version__} from {Path(__file__).parent}")
    click.echo(f"scorer: {compiled() or NOT_COMPILED}")
    context.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the version, and the scorer that is installed.",
)
def main() -> None:
    """Deploy text-to-video retrieval on NVIDIA Triton Inference Server.

    \b
    framesift demo                         see it all run, on generated videos
    framesift export model.pt --out bundle
    framesift serve bundle --gallery gallery
    framesift index videos/
    framesift search "a dog catches a ball"
    """


gallery_group.add_command(calibrate_command)
gallery_group.add_command(migrate_command)

for _command in (
    demo_command,
    export_command,
    check_command,
    build_command,
    quantise_command,
    serve_command,
    token_command,
    index_command,
    search_command,
    videos_group,
    models_group,
    evaluate_command,
    gallery_group,
    repository_group,
    finetune_command,
    corpus_command,
    vocabulary_command,
    ablate_command,
    bench_group,
):
    main.add_command(_command)


if __name__ == "__main__":
    sys.exit(main())
