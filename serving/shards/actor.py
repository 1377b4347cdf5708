"""A shard in an actor of a Ray cluster: what runs on a node."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import __version__
from ...export.bundle.errors import BundleError, FramesiftError, GalleryError, ServerError
from ...export.bundle.scratch import scratch_folder
from ...export.bundle.store import read_manifest
from ..gallery.shard import Shard as Part
from ..gallery.shards import check_shard
from ..gallery.store import Gallery
from .on_gpu import check_node, not_searched
from .service import Service
from .shard import Shard

_PREFIX = "framesift-shard-"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """How an actor is to work.

    Attributes:
        gallery: the shard's folder, the same on all nodes that may hold it.
        shard: which it has to be.
        secret: what its callers know.
        gpus: that it takes, or its share of one; with none processors search.
        version: of framesift, where this was made.
    """

    gallery: str
    shard: Part
    secret: str
    gpus: float
    version: str = field(default=__version__)


class ShardActor:
    """A shard, and the port at which it answers; in the place of one that can't be searched the reason why."""

    def __init__(self, setting: Setting, names: Sequence[str], *contents: bytes) -> None:
        self._held = ExitStack()
        self._where: str | FramesiftError
        try:
            self._where = self._serve(setting, dict(zip(names, contents, strict=True)))
        except FramesiftError as error:
            self._where = error
        except OSError as error:
            self._where = GalleryError(f"{setting.gallery} can't be searched here: {error}")
        # An actor whose beginning fails would be gone for good.
        except Exception as error:
            _log.exception("a shard could not be opened")
            self._where = ServerError(f"{setting.gallery} can't be searched here: {type(error).__name__}: {error}")

    def where(self) -> str | FramesiftError:
        """Host and port."""
        return self._where

    def stay(self) -> None:
        """Return never: whoever waits for it learns of the actor's end."""
        threading.Event().wait()

    def close(self) -> None:
        """End what is under way."""
        self._held.close()

    def _serve(self, setting: Setting, files: Mapping[str, bytes]) -> str:
        if setting.version != __version__:
            raise BundleError(
                f"this machine has framesift {__version__}, the server {setting.version}: install the same on all"
            )
        import ray

        folder = self._held.enter_context(scratch_folder(Path(os.environ.get("TMPDIR", "/tmp")), _PREFIX))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        gallery = Gallery.existing(setting.gallery)
        if setting.gpus:
            check_node(read_manifest(folder), gallery.reader().rows, setting.gpus)
        check_shard(gallery, setting.shard)
        shard = Shard(folder, Path(setting.gallery), 0 if setting.gpus else None)
        self._held.callback(shard.close)
        if setting.gpus and not shard.on_gpu:
            raise not_searched()
        # Without ray's types there is nothing to ignore.
        util: Any = ray.util
        host: str = util.get_node_ip_address()
        service = Service(shard, host, setting.secret)
        self._held.callback(service.close)
        return f"{host}:{service.port}"
