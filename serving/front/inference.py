"""Answering requests for inference: searches together, everything else one by one."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import InvalidRequest, ServerUnavailable
from ...export.bundle.limits import MAX_CANDIDATE_BYTES
from ...export.bundle.models import LIKE_SEARCHES
from ...export.bundle.ports import CANDIDATES, TEXT, TOP
from ...export.bundle.shortlist import PREFIX
from .admission import Admission
from .arena import Arena
from .background import Background
from .batches import SLOTS, Batches
from .cursors import queries, read_cursor, with_cursors
from .fair_queue import Entry
from .film_segments import cut_request, index_segments
from .forwarding import encoded, ids_tensor
from .jobs import Job, answer_to
from .metrics import Histogram
from .options import NO_OPTIONS, options_tensor
from .public import Public
from .record import QUEUE, TOKENISE, UPSTREAM, Record, now
from .texts import Encoder, candidate_tensors, read_texts, read_top
from .tracing import Tracing
from .upstream import Output, RegionUnknown, Tensor, Upstream
from .waiting import Client

if TYPE_CHECKING:
    from opentelemetry.trace import Span

# Requests for anything but a search by texts that are in the house at once; and of those that decode a video, the ones
# upstream: enough to keep every step busy. The others wait here, where waiting costs nothing. Of searches by a video of
# the gallery there are as many upstream as there are batches of texts, so neither fills the other's queue.
MAX_REQUESTS = 128
_CLIPS_UPSTREAM = 8
_BATCHES = (1, 2, 4, 8, 16, 32)
_UNTRACED = nullcontext("")
Ids = npt.NDArray[np.int64]
# No gallery takes such an id.
_NOBODY = "\0"


class Inference:
    """Runs jobs.

    Attributes:
        answered: called whenever a search was answered.

    Args:
        search: the model whose requests go together.
        texts: the most texts of searches in the house at once.
        decoder: the step of which few requests may be upstream.
        tracing: where spans go, if anywhere.
        costly: a search takes seconds; then a probe is refused by the last step, before any video is scored.
        chooser: encodes texts for the model that chooses candidates, if one does.
    """

    def __init__(
        self,
        search: Public,
        texts: int,
        decoder: str,
        upstream: Upstream,
        encoder: Encoder,
        arena: Arena,
        tracing: Tracing | None = None,
        *,
        costly: bool = False,
        chooser: Encoder | None = None,
    ) -> None:
        self._tracing, self._costly = tracing, costly
        self._chooser = chooser
        self._search, self._decoder = search, decoder
        always = tuple(name for name, port in search.outputs.items() if not port.optional)
        # Of a search without options, and with some.
        self._outputs = always, tuple(search.outputs)
        self._upstream, self._encoder, self._arena = upstream, encoder, arena
        self._texts, self._requests = Admission(texts), Admission(MAX_REQUESTS)
        self._clips, self._likes = asyncio.Semaphore(_CLIPS_UPSTREAM), asyncio.Semaphore(SLOTS)
        self._background = Background()
        self.answered: Callable[[], None] = lambda: None
        self.batch_rows = Histogram("framesift_batch_rows", "Texts of one request to the search models", _BATCHES)
        self.batches = Batches(
            self._send,
            search.max_batch,
            ended=lambda entry: self._texts.leave(entry.caller, entry.rows),
            observe=self.batch_rows.observe,
        )

    @property
    def texts(self) -> int:
        """Texts of searches that were let in and have not ended."""
        return self._texts.rows

    @property
    def requests(self) -> int:
        """Requests for anything else that were let in and have not ended."""
        return self._requests.rows

    @property
    def unfinished(self) -> bool:
        """Whether anything that was let in has not ended."""
        return bool(self.texts or self.requests)

    async def run(self, job: Job, client: Client, record: Record) -> bytes:
        """The ModelInferResponse to a job, whose memory is given back; ``record`` is told of the stages.

        Raises:
            FramesiftError: the job's own fault, or that the server has too much to do.
            ClientGone: the client has left.
        """
        if job.public is self._search:
            async with job.held:
                outputs, cut = await self._found(job, client, record)
                return answer_to(job, outputs, cut)
        return answer_to(job, *await self._forwarded(job, client, record))

    async def probe(self) -> None:
        """Search once, beside everybody's queue.

        Raises:
            FramesiftError: searches are not answered.
        """
        ids, chooser_ids = await self._read(["a"])
        if not self._costly:
            await self._send(ids, 1, ())
            return
        with contextlib.suppress(InvalidRequest):
            await self._search_among((_NOBODY,), ids, 1, chooser_ids=chooser_ids)

    async def stop(self) -> None:
        """Give up what is upstream."""
        await self.batches.stop()
        await self._background.stop()

    async def _found(self, job: Job, client: Client, record: Record) -> tuple[Sequence[Output], Sequence[int]]:
        """The answer to a search, and the rows whose texts are longer than what is read of them."""
        began = now()
        raw = {tensor.name: tensor.raw for tensor in job.tensors}
        texts, top = read_texts(raw, job.asked.shape(TEXT)), read_top(raw[TOP])
        asked = queries(texts) if job.asked.options else []
        options = read_cursor(job.asked.options, asked) if asked else b""
        candidates = await self._encoder.candidates(raw, len(texts))
        record.texts = texts
        if not self._texts.enter(client.caller, len(texts)):
            raise ServerUnavailable(f"the server is searching for {self._texts.rows} texts already: try again")
        try:
            ids, chooser_ids = await self._read(texts)
            cut = await self._encoder.cut(texts, ids)
        except BaseException:
            self._texts.leave(client.caller, len(texts))
            raise
        loop = asyncio.get_running_loop()
        entry = Entry(client.caller, ids, top, loop.time(), loop.create_future(), record.stage(TOKENISE, began))
        entry.span, entry.candidates, entry.chooser_ids = record.span, candidates, chooser_ids
        entry.options = options
        # They go upstream with every text anew.
        entry.alone = len(raw.get(CANDIDATES, b"")) * self._search.max_batch > MAX_CANDIDATE_BYTES
        self.batches.put(entry)
        try:
            outputs = await client.wait(entry.answer)
            return with_cursors(outputs, asked) if asked else outputs, cut
        finally:
            sent = record.stage(QUEUE, entry.queued, entry.sent or None)
            if entry.sent:
                record.batch_rows, record.shared = entry.batch_rows, entry.shared
                record.stage(UPSTREAM, sent, entry.answered or None)

    async def _send(self, ids: Ids, top: int, entries: Sequence[Entry]) -> list[Output]:
        spans = [entry.span for entry in entries if entry.span is not None]
        for entry in entries if spans else ():
            entry.shared = entry.span is not spans[0]
        with self._sent(self._search.upstream, spans, len(ids)) as headers:
            chosen = [entry.chooser_ids for entry in entries if entry.chooser_ids is not None]
            outputs = await self._search_among(
                entries[0].candidates if entries else (),
                ids,
                top,
                headers,
                entries[0].options if entries else b"",
                chooser_ids=np.concatenate(chosen) if chosen else None,
            )
        self.answered()
        return outputs

    async def _read(self, texts: list[str]) -> tuple[Ids, Ids | None]:
        """Token ids of texts, for the model that answers and for the one that chooses candidates, if one does."""
        ids = await self._encoder.encode(texts)
        return ids, None if self._chooser is None else await self._chooser.encode(texts)

    async def _search_among(
        self,
        candidates: Sequence[str],
        ids: Ids,
        top: int,
        headers: str = "",
        options: bytes = b"",
        *,
        chooser_ids: Ids | None = None,
    ) -> list[Output]:
        tensors = [
            ids_tensor(ids),
            *([] if chooser_ids is None else [ids_tensor(chooser_ids, PREFIX)]),
            Tensor(TOP, "INT32", (len(ids), 1), struct.pack("<i", top) * len(ids)),
        ]
        # Whatever a search asks for goes to the model that takes no more than that.
        detailed = bool(options)
        model = self._search.detailed if options else self._search.upstream
        if candidates:
            tensors += candidate_tensors(candidates, len(ids))
            model, options = self._search.named, options or NO_OPTIONS
        if options:
            tensors.append(options_tensor(options, len(ids)))
        return await self._upstream.infer(model, tensors, self._outputs[detailed], headers)

    async def _forwarded(self, job: Job, client: Client, record: Record) -> tuple[Sequence[Output], Sequence[int]]:
        async with AsyncExitStack() as held:
            await held.enter_async_context(job.held)
            if not self._requests.enter(client.caller):
                raise ServerUnavailable(f"the server has {self._requests.rows} requests to answer already: try again")
            held.callback(self._requests.leave, client.caller)
            sent = await encoded(job, self._encoder, record)
            answer: asyncio.Future[list[Output]] = asyncio.get_running_loop().create_future()
            self._background.start(self._forward(job, sent.tensors, answer, held.pop_all(), record))
        outputs = await client.wait(answer)
        return with_cursors(outputs, sent.queries) if sent.queries else outputs, sent.cut

    async def _forward(
        self,
        job: Job,
        tensors: Sequence[Tensor],
        answer: asyncio.Future[list[Output]],
        held: AsyncExitStack,
        record: Record,
    ) -> None:
        """Have a job answered. It runs to its end once it is sent, and is dropped before where nobody waits."""
        async with held:
            queued = now()
            if self._decoder in job.public.steps:
                await held.enter_async_context(self._clips)
            elif job.public.name in LIKE_SEARCHES:
                await held.enter_async_context(self._likes)
            if answer.done():
                return
            sent = record.stage(QUEUE, queued)
            try:
                outputs = await self._infer(job, tensors, record, lambda: not answer.done())
            except Exception as error:
                record.stage(UPSTREAM, sent)
                if not answer.done():
                    answer.set_exception(error)
            else:
                record.stage(UPSTREAM, sent)
                if not answer.done():
                    answer.set_result(outputs)

    async def _infer(
        self, job: Job, tensors: Sequence[Tensor], record: Record, there: Callable[[], bool]
    ) -> list[Output]:
        async def send(model: str, tensors: Sequence[Tensor], outputs: Sequence[str]) -> list[Output]:
            with self._sent(model, () if record.span is None else (record.span,)) as headers:
                try:
                    return await self._upstream.infer(model, tensors, outputs, headers)
                except RegionUnknown:
                    # The first large request since the server was started.
                    await self._upstream.register(self._arena.region, self._arena.key, self._arena.size)
                    return await self._upstream.infer(model, tensors, outputs, headers)

        cutting = cut_request(tensors)
        if cutting is None:
            return await send(job.public.upstream, tensors, job.asked.outputs)
        return await index_segments(partial(send, job.public.detailed), cutting, tensors, job.asked.outputs, there)

    def _sent(self, model: str, spans: Sequence[Span], rows: int = 1) -> AbstractContextManager[str]:
        """The headers that carry the traces of some requests to Triton server, while their answer is awaited."""
        return _UNTRACED if self._tracing is None or not spans else self._tracing.send(model, spans, rows)
