"""framesift's engines in one function under PyTriton's decorator: ``python -m ... FOLDER --port P``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from ...export.bundle.ports import IDS, SCORES, TEXT, TOP
from ..inputs.corpus import Corpus
from .engines import Engines
from .parent import end_with_parent
from .sources import PYTRITON_MODEL

_MOST = 32

Arrays = dict[str, NDArray[Any]]


def searcher(engines: Engines) -> Callable[..., Any]:
    """The function that PyTriton serves: texts bytes [B, 1] and ``top`` int32 [B, 1] to ids and scores [B, n]."""

    def search(**given: NDArray[Any]) -> Arrays:
        texts = [text.decode("utf-8") for text in given[TEXT].ravel().tolist()]
        ranked = engines.search(texts, int(given[TOP].max()))
        return {
            IDS: np.array([engines.ids(one) for one in ranked], np.bytes_),
            SCORES: np.stack([one.scores for one in ranked]),
        }

    # The decorator hands over all waiting requests at once, as one array an input.
    found: Callable[..., Any] = batch(search)
    return found


def main() -> None:
    """Serve a folder of corpus until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True, help="gRPC; HTTP and metrics take the next two.")
    given = parser.parse_args()
    end_with_parent()
    engines = Engines(Corpus.open(given.folder))
    config = TritonConfig(
        grpc_address="127.0.0.1",
        http_address="127.0.0.1",
        grpc_port=given.port,
        http_port=given.port + 1,
        metrics_port=given.port + 2,
        allow_sagemaker=False,
        allow_vertex_ai=False,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name=PYTRITON_MODEL,
            infer_func=searcher(engines),
            inputs=[Tensor(name=TEXT, dtype=bytes, shape=(1,)), Tensor(name=TOP, dtype=np.int32, shape=(1,))],
            outputs=[
                Tensor(name=IDS, dtype=bytes, shape=(-1,)),
                Tensor(name=SCORES, dtype=np.float32, shape=(-1,)),
            ],
            config=ModelConfig(max_batch_size=_MOST, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
            strict=True,
        )
        triton.serve()


if __name__ == "__main__":
    main()
