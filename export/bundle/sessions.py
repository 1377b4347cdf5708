"""Graphs on ONNX Runtime, as they are served."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

SPINNING = "session.intra_op.allow_spinning"


def session_options(threads: int) -> ort.SessionOptions:
    """Options of a session beside others on one machine; ``threads`` run one operator."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A thread that spins while it waits takes the core from the server's other models.
    options.add_session_config_entry(SPINNING, "0")
    return options


def cpu_session(graph: Path, threads: int) -> ort.InferenceSession:
    """A graph on ONNX Runtime's CPU provider; ``threads`` run one operator."""
    return ort.InferenceSession(str(graph), session_options(threads), providers=["CPUExecutionProvider"])
