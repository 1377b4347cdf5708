"""The Triton kernels on this machine's GPU; where there is none, a process that runs them under the interpreter."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(scope="session")
def interpreted() -> Iterator[Callable[..., Any]]:
    """``interpreted("score", **arguments)`` calls a function of ``launch``; its errors are raised as RuntimeError."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        from .on_gpu import call as on_gpu

        yield on_gpu
        return
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "interpreter.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
    )
    assert child.stdin is not None
    assert child.stdout is not None

    def call(name: str, **arguments: Any) -> Any:
        buffer = io.BytesIO()
        torch.save((name, arguments), buffer)
        pickle.dump(buffer.getvalue(), child.stdin)
        child.stdin.flush()
        state, answer = torch.load(io.BytesIO(pickle.load(child.stdout)), weights_only=True)
        if state == "error":
            raise RuntimeError(answer)
        return answer

    yield call
    child.stdin.close()
    child.wait()
