"""Between the server's requests and a model's arrays."""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError, InvalidInput, ServerUnavailable
from .configured import configured
from .cpu_accounting import CpuAccounting
from .gauges import Gauges
from .heartbeat import Heartbeat

Arrays = dict[str, np.ndarray[Any, Any]]
Run = Callable[[Sequence[Mapping[str, np.ndarray[Any, Any]]]], Sequence[Arrays | FramesiftError]]

# gRPC carries a message in its metadata, of which a client accepts 8 KiB; a character may take twelve bytes there.
_LONGEST_MESSAGE = 600
_LONGEST_BUG = 512
# A report of metrics takes the server two exchanges with this process for each, so it is made while there are requests.
_REPORT_S = 1.0
_PATH = re.compile(r"(?<![\w.~-])/+(?:[^\s/'\"<>|]+/)+([^\s/'\"<>|]*)")


class Exchange:
    """Reads requests, has them run, and writes responses: one for every request, whatever happens.

    Args:
        server: the module ``triton_python_backend_utils``, which exists in a model's process alone.
        name: the model's name.
        config: the model's configuration.
        gauges: what the model tells of its state, by the metrics' names.
    """

    def __init__(
        self, server: Any, name: str, config: Mapping[str, Any], gauges: Callable[[], Mapping[str, float]]
    ) -> None:
        self._server, self._name = server, name
        self._outputs = configured(config, "output")
        self._heartbeat = Heartbeat()
        self._accounting, self._gauges = CpuAccounting(server, name), Gauges(server, name, gauges)
        self._reported = 0.0

    def execute(self, requests: Sequence[Any], run: Run) -> list[Any]:
        """The responses to ``requests``, in their order; one that can't be read or run does not touch the others."""
        with self._heartbeat.busy():
            read = [self._read(request) for request in requests]
            good = [found for found in read if isinstance(found, dict)]
            answers = iter(self._answers(good, run) if good else ())
            results = [next(answers) if isinstance(found, dict) else found for found in read]
            responses = [self._response(*pair) for pair in zip(requests, results, strict=True)]
            self._report()
        return responses

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported >= _REPORT_S:
            self._reported = now
            self._accounting.report()
            self._gauges.report()

    def _read(self, request: Any) -> Arrays | FramesiftError:
        try:
            return {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        except Exception as error:
            return defect(self._name, error)

    def _answers(self, inputs: list[Arrays], run: Run) -> Sequence[Arrays | FramesiftError]:
        try:
            with self._accounting.computing():
                results = run(inputs)
            if len(results) != len(inputs):
                raise ValueError(f"{len(results)} answers to {len(inputs)} requests")
        except FramesiftError as error:
            return [error] * len(inputs)
        except Exception as error:
            return [defect(self._name, error)] * len(inputs)
        return results

    def _response(self, request: Any, result: Arrays | FramesiftError) -> Any:
        codes = self._server.TritonError
        if not isinstance(result, FramesiftError):
            try:
                return self._server.InferenceResponse(self._tensors(request, result))
            except Exception as error:
                result = defect(self._name, error)
        # An error that is both returned and raised refers to the frames that hold it: a cycle that would keep the
        # request's tensors, and with them shared memory, until the garbage collector comes by.
        result.__traceback__ = result.__context__ = result.__cause__ = None
        code = codes.INTERNAL
        if isinstance(result, InvalidInput):
            code = codes.INVALID_ARG
        elif isinstance(result, ServerUnavailable):
            code = codes.UNAVAILABLE
        return self._refusal(shorten(self._told(result), _LONGEST_MESSAGE), code)

    def _told(self, error: FramesiftError) -> str:
        """What a client learns of an error: nothing of where this server keeps its files, which its log has."""
        wire = error.wire()
        # It speaks of what the client sent.
        if isinstance(error, InvalidInput):
            return wire
        if (told := without_paths(wire)) != wire:
            print(f"{self._name}: {wire}", file=sys.stderr)
        return told

    def _refusal(self, message: str, code: Any) -> Any:
        return self._server.InferenceResponse(error=self._server.TritonError(message, code))

    def _tensors(self, request: Any, result: Arrays) -> list[Any]:
        """The outputs that the request asked for. The server would send a wrong one unseen, so it is refused here."""
        tensors = []
        for name in request.requested_output_names():
            if name not in result:
                raise ValueError(f"the output {name} is missing, there are {sorted(result)}")
            array = np.asarray(result[name], order="C")
            spec = self._outputs.get(name)
            if spec is not None and (fault := spec.mismatch(array, "expected")) is not None:
                raise ValueError(f"the output {fault}")
            tensors.append(self._server.Tensor(name, array))
        return tensors


def defect(name: str, error: Exception) -> FramesiftError:
    """What a client of the model ``name`` learns of a defect; the whole of it goes to the server's log."""
    traceback.print_exception(error, file=sys.stderr)
    reason = str(error).partition("\n")[0]
    message = f"internal error in {name}: {type(error).__name__}: {reason}"
    return FramesiftError(shorten(message, _LONGEST_BUG - len("[error] ")))


def without_paths(text: str) -> str:
    """``text`` with the last part alone of every absolute path of two parts or more."""
    return _PATH.sub(r"\1", text)


def shorten(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` characters."""
    return text if len(text) <= limit else text[: limit - 4] + " ..."
