"""A client process: sends requests when told to, and reports when each was to be sent, was sent and was answered.

The first answer of each job is unpacked, so that a server that answers nonsense is noticed.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import signal
import time
from array import array
from multiprocessing.connection import Connection

import numpy as np

from ...export.bundle.errors import FramesiftError, ServerError
from ...serving.client.connection import waits
from .arrivals import poisson
from .channels import OK
from .jobs import Job, Report, Work
from .sources import Found, Searching

# Sent instead of a job, it ends the one that runs; its report holds what was sent until then.
STOP = "stop"
_LISTEN_S = 0.2
# How many overdue requests are sent before answers are read again.
_BURST = 16


class Sender:
    """One connection, and what came of each request sent through it since ``clear``.

    Attributes:
        stopping: whether no more requests are to be sent.
    """

    def __init__(self, work: Work) -> None:
        self._timeout = work.timeout_s
        self._channel = work.source.channel(work.address)
        self._requests = work.source.requests(work.seed)
        self._outcomes: dict[tuple[str, bool], int] = {(OK, False): 0}
        self.clear()

    def clear(self) -> None:
        """Forget what was sent."""
        # Five numbers a request: a soak sends a million.
        self._rows = array("d")
        self._unread = True
        self.stopping = False

    async def send(self, intended: float | None = None, patient: bool = False) -> bool:
        """Send the next request, due at ``intended`` or now, and record it; whether it was answered."""
        request = next(self._requests)
        sent, retried = time.monotonic(), 0
        again = waits(self._timeout) if patient else iter(())
        while True:
            answer = await self._channel.send(request.body, self._timeout)
            ended = time.monotonic()
            wait = next(again, None) if answer.refused else None
            if wait is None:
                break
            retried += 1
            await asyncio.sleep(wait)
        place = self._outcomes.setdefault((answer.status, answer.refused), len(self._outcomes))
        self._rows.extend((sent if intended is None else intended, sent, ended, place, retried))
        if self._unread and answer.status == OK:
            self._unread = False
            request.read(answer.body)
        return answer.status == OK

    def report(self, start: float, cpu_s: float) -> Report:
        """What was sent since ``clear``, in seconds after ``start``."""
        rows = np.array(self._rows).reshape(-1, 5)
        intended, sent, ended = (rows[:, column] - start for column in range(3))
        place, retried = (rows[:, column].astype(np.int64) for column in (3, 4))
        return Report(intended, sent, ended, place, list(self._outcomes), cpu_s, retried)


async def send_open(sender: Sender, job: Job) -> None:
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


async def send_closed(sender: Sender, job: Job) -> None:
    """Keep ``concurrency`` requests in flight: each is followed by the next as soon as it is answered.

    After a failure the next one comes a little later, as from a client that tries again.
    """

    async def one() -> None:
        while time.monotonic() < job.start + job.seconds and not sender.stopping:
            if not await sender.send(patient=job.patient):
                await asyncio.sleep(next(waits(None)))

    await asyncio.sleep(max(0.0, job.start - time.monotonic()))
    await asyncio.gather(*(one() for _ in range(job.concurrency)))


async def ask(address: str, source: Searching, timeout_s: float) -> list[Found]:
    """What every query of ``source`` finds, asked one after another.

    Raises:
        ServerError: a query was not answered.
    """
    channel, found = source.channel(address), []
    try:
        for request in source.each():
            answer = await channel.send(request.body, timeout_s)
            if answer.status != OK:
                raise ServerError(f"{address} did not answer: {answer.status}, {answer.details}")
            found.append(request.read(answer.body))
    finally:
        await channel.close()
    return found


def serve(work: Work, orders: Connection) -> None:
    """The process: says None when it is ready, then answers every job with a report or the exception it ended with.

    A job ends early if ``STOP`` comes meanwhile.
    """
    # Ctrl-C reaches every process of the terminal; the driver decides what to do.
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
        # The driver has ended.
        pass


async def _connected(work: Work) -> Sender:
    sender = Sender(work)
    if work.source.repeatable:
        await sender.send()
    return sender


async def _run(sender: Sender, job: Job, orders: Connection) -> None:
    listening = asyncio.create_task(_listen(sender, orders))
    await (send_open if job.loop == "open" else send_closed)(sender, job)
    listening.cancel()


async def _listen(sender: Sender, orders: Connection) -> None:
    while not orders.poll():
        await asyncio.sleep(_LISTEN_S)
    # Nothing else is said during a job; an end is left for ``serve`` to read.
    sender.stopping = True
