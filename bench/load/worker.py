"""A client process: sends requests when told to, and reports when each was to be sent, was sent and was answered.

Requests are what ``serving/client`` sends, over its channel. They are serialised before the clock starts, and answers
are read off the wire but not unpacked, because on one machine every cycle of a client is taken from the server; the
first answer of each job is unpacked, so that a server which answers nonsense is found out.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import selectors
import signal
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import grpc  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferResult, service_pb2
from tritonclient.grpc._utils import _get_inference_request
from tritonclient.utils import InferenceServerException

from ...export.bundle.errors import FramesiftError
from ...serving.client import wire
from ...serving.client.connection import channel_options, refused, waits
from ...serving.client.uploads import Upload, read_video
from .arrivals import poisson

METHOD = "/inference.GRPCInferenceService/ModelInfer"
# Ids of videos that a benchmark puts into a gallery begin like this.
PREFIX = "framesift-bench/"
OK = "OK"
# Sent instead of a job, it ends the one that runs; its report tells what was sent until then.
STOP = "stop"
_LISTEN_S = 0.2
# How many overdue requests are sent before answers are read again.
_BURST = 16


@dataclass(frozen=True)
class Work:
    """What a client sends: searches for ``queries``, or ``videos`` to index.

    Videos get a new id each time, and with ``renew`` the same ids again and again, so that the gallery does not grow.
    """

    address: str
    queries: Sequence[str] = ()
    top: int = 10
    videos: Sequence[Path] = ()
    renew: bool = False
    seed: int = 0
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Job:
    """When to send: an open loop at ``rate`` a second, or a closed loop of ``concurrency`` requests at a time.

    ``start`` is a moment of the machine's monotonic clock. Requests are sent for ``seconds``, and all answers awaited.
    With ``patient`` a request that the server refused is sent again, as framesift's own clients do with searches.
    """

    loop: Literal["open", "closed"]
    start: float
    seconds: float
    rate: float = 0.0
    concurrency: int = 0
    seed: int = 0
    patient: bool = False


@dataclass(frozen=True)
class Report:
    """What a client saw, one entry a request: seconds after the job's start, and the place in ``outcomes``.

    ``intended`` is when the request was to be sent; in a closed loop that is when it was. An outcome is the name of a
    gRPC status and whether the client would call it a refusal that may be tried again. Of a request that was sent
    several times, ``retried`` of them after a refusal, ``sent`` is the first time, and end and outcome are the last's.
    """

    intended: npt.NDArray[np.float64]
    sent: npt.NDArray[np.float64]
    ended: npt.NDArray[np.float64]
    outcome: npt.NDArray[np.int64]
    outcomes: list[tuple[str, bool]]
    cpu_s: float
    retried: npt.NDArray[np.int64]


Encoded = tuple[bytes, Callable[[InferResult], Any]]


def search_requests(work: Work) -> Iterator[Encoded]:
    """Endless requests, the queries in an order of this client's own."""
    order = np.random.default_rng(work.seed).permutation(len(work.queries))
    calls = [wire.search_calls(wire.encode_texts([work.queries[place]]), work.top, 1)[0] for place in order]
    return itertools.cycle([(serialised(call), call.read) for call in calls])


def index_requests(work: Work) -> Iterator[Encoded]:
    """Endless requests; a user's videos may be more than memory holds, so each is read when its turn has come."""
    for number, path in zip(itertools.count(), itertools.cycle(work.videos)):
        upload = read_video(path)
        name = f"{PREFIX}{work.seed}-{number % len(work.videos) if work.renew else number}-{upload.id}"
        call = wire.index_call(Upload(upload.data, name, upload.source), None, None, None)
        yield serialised(call), call.read


def serialised(call: wire.Call[Any]) -> bytes:
    """The bytes of a request as Triton server's client would send it."""
    request = _get_inference_request(call.model, call.inputs, "", "", None, 0, False, False, 0, None, None)
    raw: bytes = request.SerializeToString()
    return raw


class Sender:
    """One connection, and what came of each request sent through it since ``clear``.

    Attributes:
        stopping: whether no more requests are to be sent.
    """

    def __init__(self, work: Work) -> None:
        self._timeout = work.timeout_s
        channel = grpc.aio.insecure_channel(work.address, options=channel_options(work.address))
        # Bytes in, bytes out.
        self._call: Any = channel.unary_unary(METHOD)
        self._requests = index_requests(work) if work.videos else search_requests(work)
        self._outcomes: dict[tuple[str, bool], int] = {(OK, False): 0}
        self._told: dict[tuple[str, str], tuple[str, bool]] = {}
        self.clear()

    def clear(self) -> None:
        """Forget what was sent."""
        # Five numbers a request: a soak sends a million.
        self._rows = array("d")
        self._unread = True
        self.stopping = False

    async def send(self, intended: float | None = None, patient: bool = False) -> bool:
        """Send the next request, due at ``intended`` or now, and record it; whether it was answered."""
        raw, read = next(self._requests)
        sent, retried = time.monotonic(), 0
        again = waits(self._timeout) if patient else iter(())
        while True:
            call = self._call(raw, timeout=self._timeout)
            code = await call.code()
            answer = await call if code is grpc.StatusCode.OK else b""
            ended = time.monotonic()
            outcome = (OK, False) if code is grpc.StatusCode.OK else self._failure(code, await call.details() or "")
            wait = next(again, None) if outcome[1] else None
            if wait is None:
                break
            retried += 1
            await asyncio.sleep(wait)
        place = self._outcomes.setdefault(outcome, len(self._outcomes))
        self._rows.extend((sent if intended is None else intended, sent, ended, place, retried))
        if self._unread and answer:
            self._unread = False
            read(InferResult(service_pb2.ModelInferResponse.FromString(answer)))
        return code is grpc.StatusCode.OK

    def _failure(self, code: Any, details: str) -> tuple[str, bool]:
        if (code.name, details) not in self._told:
            error = InferenceServerException(details, f"StatusCode.{code.name}")
            self._told[code.name, details] = (code.name, refused(error))
        return self._told[code.name, details]

    def report(self, start: float, cpu_s: float) -> Report:
        """What was sent since ``clear``, in seconds after ``start``."""
        rows = np.array(self._rows).reshape(-1, 5)
        intended, sent, ended = (rows[:, column] - start for column in range(3))
        place, retried = (rows[:, column].astype(np.int64) for column in (3, 4))
        return Report(intended, sent, ended, place, list(self._outcomes), cpu_s, retried)


async def open_loop(sender: Sender, job: Job) -> None:
    """Send at the arrivals of a Poisson process, however long answers take, until ``sender`` is to stop."""
    waiting = set()
    for place, due in enumerate(job.start + poisson(job.rate, job.seconds, job.seed)):
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        elif place % _BURST == 0:
            await asyncio.sleep(0)
        if sender.stopping:
            break
        task = asyncio.create_task(sender.send(float(due), job.patient))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    await asyncio.gather(*waiting)


async def closed_loop(sender: Sender, job: Job) -> None:
    """Keep ``concurrency`` requests under way: each is followed by the next as soon as it is answered.

    After a failure the next one comes a little later, as from a client that tries again.
    """

    async def one() -> None:
        while time.monotonic() < job.start + job.seconds and not sender.stopping:
            if not await sender.send(patient=job.patient):
                await asyncio.sleep(next(waits(None)))

    await asyncio.sleep(max(0.0, job.start - time.monotonic()))
    await asyncio.gather(*(one() for _ in range(job.concurrency)))


async def _run(sender: Sender, job: Job, orders: Connection) -> None:
    listening = asyncio.create_task(_listen(sender, orders))
    await (open_loop if job.loop == "open" else closed_loop)(sender, job)
    listening.cancel()


async def _listen(sender: Sender, orders: Connection) -> None:
    while not orders.poll():
        await asyncio.sleep(_LISTEN_S)
    # Nothing else is said during a job; an end is left for ``serve`` to read.
    sender.stopping = True


def serve(work: Work, orders: Connection) -> None:
    """The process: says None when it is ready, then answers every job with a report or the exception it ended with.

    A job ends early if ``STOP`` comes meanwhile.
    """
    # Ctrl-C reaches every process of the terminal; what is to be done then the driver says.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Select keeps time to the microsecond; epoll, asyncio's own choice, rounds up to the millisecond.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    asyncio.set_event_loop(loop)
    try:
        sender = loop.run_until_complete(_connected(work))
        # What has been made so far lives for ever; a collection in mid-flight needn't look at it.
        gc.freeze()
        orders.send(None)
        while (job := orders.recv()) is not None:
            # It may come when the job has just ended by itself.
            if job == STOP:
                continue
            sender.clear()
            before = time.process_time()
            loop.run_until_complete(_run(sender, job, orders))
            orders.send(sender.report(job.start, time.process_time() - before))
    except (FramesiftError, OSError, ValueError) as error:
        orders.send(error)
    except EOFError:
        # The driver is gone.
        pass


async def _connected(work: Work) -> Sender:
    sender = Sender(work)
    if not work.videos:
        await sender.send()
    return sender
